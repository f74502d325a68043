//! The one disk image that a container image holds, by the rules of CDI.
//!
//! Refuses to know: the network. A link is not followed: it could lead to a secret of the pod.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::error::{Classify, Kind};

/// Directories at the root of images that boot by themselves.
const BOOTC: [&str; 2] = ["sysroot", "ostree"];

/// A file that would answer to the path of the environment.
const TAKEN: &str = "info";

/// Why there is no image to serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    #[error(
        "bootc image detected: /{0} is there, so the image is booted by its own tools and holds no disk image"
    )]
    Bootc(&'static str),
    #[error("the image directory {} does not exist", .0.display())]
    NoDirectory(PathBuf),
    #[error("the image directory {} cannot be read", .0.display())]
    Unread(PathBuf, #[source] io::Error),
    #[error("the image directory {} is empty", .0.display())]
    Nothing(PathBuf),
    #[error("the image directory {} contains more than one file", .0.display())]
    Several(PathBuf),
    #[error("{} is a directory, and no disk image", .0.display())]
    Directory(PathBuf),
    #[error("{} is no regular file; links are not followed", .0.display())]
    NoFile(PathBuf),
    #[error("{} cannot be served under this name; rename it", .0.display())]
    Taken(PathBuf),
    #[error("{} cannot be opened", .0.display())]
    Unopened(PathBuf, #[source] io::Error),
}

impl Classify for EntryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unread(..) | Self::Unopened(..) => Kind::Other,
            _ => Kind::Image,
        }
    }
}

/// A disk image that is open for reading.
#[derive(Debug)]
pub(super) struct Entry {
    name: OsString,
    file: Arc<File>,
}

impl Entry {
    /// The one entry of `dir`, in a container whose root is `root`.
    pub(super) fn find(root: &Path, dir: &Path) -> Result<Self, EntryError> {
        if let Some(mark) = BOOTC.into_iter().find(|mark| root.join(mark).is_dir()) {
            return Err(EntryError::Bootc(mark));
        }
        let (name, path) = only(dir)?;
        let unopened = |cause| EntryError::Unopened(path.clone(), cause);
        let kind = fs::symlink_metadata(&path).map_err(unopened)?.file_type();
        if kind.is_dir() {
            return Err(EntryError::Directory(path));
        }
        if !kind.is_file() {
            return Err(EntryError::NoFile(path));
        }
        if name == TAKEN {
            return Err(EntryError::Taken(path));
        }
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(unopened)?;
        // It may have been replaced since.
        if !file.metadata().map_err(unopened)?.is_file() {
            return Err(EntryError::NoFile(path));
        }
        Ok(Self { name, file: Arc::new(file) })
    }

    /// Its name within the directory.
    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What the system says of it now.
    pub(super) fn facts(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}

/// An entity tag that is another when a byte may be.
pub(super) fn tag(facts: &Metadata) -> String {
    let times = (facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec());
    format!(
        "\"{:x}-{:x}-{:x}.{:x}-{:x}.{:x}\"",
        facts.ino(),
        facts.size(),
        times.0,
        times.1,
        times.2,
        times.3
    )
}

/// The name and the path of the only entry of `dir`.
fn only(dir: &Path) -> Result<(OsString, PathBuf), EntryError> {
    let unread = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => EntryError::NoDirectory(dir.to_owned()),
        _ => EntryError::Unread(dir.to_owned(), cause),
    };
    let mut entries = fs::read_dir(dir).map_err(unread)?;
    let first = entries.next().ok_or_else(|| EntryError::Nothing(dir.to_owned()))?.map_err(unread)?;
    match entries.next() {
        None => Ok((first.file_name(), first.path())),
        Some(_) => Err(EntryError::Several(dir.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a container with these files and directories, the latter with a / at the end.
    fn found(paths: &[&str]) -> Result<OsString, String> {
        let root = tempfile::tempdir().unwrap();
        for path in paths {
            let at = root.path().join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            match path.strip_suffix('/') {
                Some(_) => fs::create_dir_all(&at).unwrap(),
                None => fs::write(&at, b"disk").unwrap(),
            }
        }
        let entry = Entry::find(root.path(), &root.path().join("disk"));
        entry.map(|entry| entry.name).map_err(|error| error.to_string())
    }

    #[test]
    fn there_is_exactly_one_file() {
        assert_eq!(found(&["disk/downloaded", "other/x"]), Ok("downloaded".into()));
        for (paths, words) in [
            (&[][..], "does not exist"),
            (&["disk/"], "is empty"),
            (&["disk/a", "disk/b"], "more than one file"),
            (&["disk/a/"], "is a directory"),
            (&["disk/a", "disk/b/"], "more than one file"),
            (&["disk/info"], "rename it"),
            (&["disk"], "cannot be read"),
            (&["disk/a", "sysroot/"], "bootc image detected: /sysroot"),
            (&["ostree/repo/", "disk/a"], "bootc image detected: /ostree"),
        ] {
            let error = found(paths).unwrap_err();
            assert!(error.contains(words), "{paths:?}: {error}");
        }
        assert_eq!(found(&["disk/a", "sysroot"]), Ok("a".into()));
    }

    #[test]
    fn a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("disk")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("disk/disk.img")).unwrap();
        let error = Entry::find(root.path(), &root.path().join("disk")).unwrap_err();
        assert!(matches!(error, EntryError::NoFile(_)), "{error}");
    }

    #[test]
    fn the_tag_changes_with_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let now = |len: u64| {
            file.as_file().set_len(len).unwrap();
            tag(&file.as_file().metadata().unwrap())
        };
        let (first, second) = (now(5), now(6));
        assert_ne!(first, second);
        assert!(first.starts_with('"') && first.ends_with('"'), "{first}");
    }
}
