//! Looks at what a path names and opens the sink for it, without changing anything yet.
//!
//! Refuses to know: how a file or a device is written.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::BlockSink;
use super::file::FileSink;
use super::resume::{Lasting, Resumable};
use super::{FirstMibLast, NullSink, Sink, SinkError};
use crate::format::preallocation::Preallocation;
use crate::progress::Progress;

/// What becomes of a file that is there and not empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It is refused, unless it is the leftover of an import that was killed.
    #[default]
    Refuse,
    /// It is overwritten.
    Overwrite,
}

/// A target as the user means it.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// A file, which need not be there, a block device, or /dev/null; links to one are followed.
    pub path: PathBuf,
    /// Whether space is set aside.
    pub preallocation: Preallocation,
    /// What becomes of a file that is not empty.
    pub existing: Existing,
    /// The most bytes that the disk may have.
    pub max_size: Option<u64>,
}

/// Opens the target of `spec`, its first MiB kept back until the end; counts into `progress`.
///
/// Nothing changes before [`Sink::prepare`]: neither is a file made nor emptied.
///
/// # Errors
/// [`SinkError::Unfit`] for what cannot be a target, a file that is not empty included;
/// [`SinkError::Busy`] for what somebody else uses; whatever the system fails with.
pub fn open(spec: &TargetSpec, progress: Arc<Progress>) -> Result<Box<dyn Sink>, SinkError> {
    let counters = Arc::clone(&progress);
    let inner: Arc<dyn Lasting> = match look(&spec.path)? {
        Found::Nothing(path) => Arc::new(FileSink::absent(path, spec, progress)),
        Found::File(path) => Arc::new(FileSink::existing(path, spec, progress)?),
        Found::Device(path) => Arc::new(BlockSink::open(&path, spec, progress)?),
        Found::Null => return Ok(Box::new(FirstMibLast::new(Box::new(NullSink::new(progress))))),
    };
    Ok(Box::new(FirstMibLast::new(Box::new(Resumable::new(inner, counters)))))
}

/// What a path names, its links resolved.
#[derive(Debug)]
enum Found {
    Nothing(PathBuf),
    File(PathBuf),
    Device(PathBuf),
    /// Who pours into /dev/null wants to know whether the image is good.
    Null,
}

/// The number of the device that forgets (Linux, admin-guide/devices.txt: 1 char, 3).
const NULL: u64 = libc::makedev(1, 3);

fn look(path: &Path) -> Result<Found, SinkError> {
    let failed = |cause| SinkError::failed("look at", path, None, cause);
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_char_device() && found.rdev() == NULL => Ok(Found::Null),
        Ok(found) => match unfit(&found) {
            Some(why) => Err(SinkError::Unfit { path: path.to_path_buf(), why }),
            None if found.is_file() => Ok(Found::File(path.canonicalize().map_err(failed)?)),
            None => Ok(Found::Device(path.canonicalize().map_err(failed)?)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => absent(path),
        Err(cause) => Err(failed(cause)),
    }
}

/// Why what was found is no target.
fn unfit(found: &Metadata) -> Option<&'static str> {
    let kind = found.file_type();
    if kind.is_file() || kind.is_block_device() {
        None
    } else if kind.is_dir() {
        Some("is a directory; name a file in it or a block device")
    } else if kind.is_char_device() {
        Some("is a character device; the target must be a file or a block device")
    } else if kind.is_fifo() {
        Some("is a pipe; the target must be a file or a block device, which can be written at any place")
    } else {
        Some("is a socket; the target must be a file or a block device")
    }
}

/// A file that will be made in a directory that is there.
fn absent(path: &Path) -> Result<Found, SinkError> {
    let unfit = |why| Err(SinkError::Unfit { path: path.to_path_buf(), why });
    if fs::symlink_metadata(path).is_ok() {
        return unfit("is a symbolic link that leads to nothing; remove it or name its target");
    }
    let Some(name) = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/")) else {
        return unfit("names no file");
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.canonicalize() {
        Ok(parent) => Ok(Found::Nothing(parent.join(name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            unfit("its directory does not exist; make it first")
        }
        Err(cause) => Err(SinkError::failed("look at", parent, None, cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn why(path: &Path) -> String {
        let spec = TargetSpec {
            path: path.to_path_buf(),
            preallocation: Preallocation::Off,
            existing: Existing::Overwrite,
            max_size: None,
        };
        match open(&spec, Arc::default()) {
            Ok(_) => String::from("accepted"),
            Err(SinkError::Unfit { why, .. }) => why.to_owned(),
            Err(other) => other.to_string(),
        }
    }

    #[test]
    fn what_is_no_target_is_refused_in_words_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let [link, pipe, socket] = ["link", "pipe", "socket"].map(|name| dir.path().join(name));
        symlink("nowhere", &link).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let cases = [
            (dir.path(), "is a directory"),
            (&link, "is a symbolic link that leads to nothing"),
            (&pipe, "is a pipe"),
            (&socket, "is a socket"),
            (Path::new("/dev/zero"), "is a character device"),
            (Path::new("/dev/null"), "accepted"),
            (&dir.path().join("no/where.img"), "its directory does not exist"),
            (&dir.path().join("new/"), "names no file"),
            (Path::new(""), "names no file"),
        ];
        for (path, words) in cases {
            assert!(why(path).starts_with(words), "{}: {}", path.display(), why(path));
        }
        assert!(fs::symlink_metadata(dir.path().join("nowhere")).is_err());
    }

    #[test]
    fn a_link_to_a_file_leads_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("disk.img");
        fs::write(&file, "").unwrap();
        symlink(&file, dir.path().join("link")).unwrap();
        assert!(matches!(look(&dir.path().join("link")), Ok(Found::File(path)) if path == file));
    }
}
