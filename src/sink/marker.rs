//! The small file beside a target that says: what lies there is ours and not complete. It holds the
//! journal, where there is one.
//!
//! Refuses to know: what is in the target, and what the journal says.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::SinkError;
use crate::journal::{LONGEST, NOTE};

/// `.NAME.diskpour` for the target NAME.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    path: PathBuf,
    directory: PathBuf,
}

/// Neither a link that somebody laid there is followed, nor is a pipe waited for.
const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

impl Marker {
    /// The marker of `target` in its own directory, whether it is there or not.
    pub(super) fn beside(target: &Path) -> Self {
        match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Self::within(parent, target),
            _ => Self::within(Path::new("."), target),
        }
    }

    /// The marker of `target` in `directory`, for a target that has nothing beside it.
    pub(super) fn within(directory: &Path, target: &Path) -> Self {
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(".diskpour");
        Self { path: directory.join(name), directory: directory.to_path_buf() }
    }

    /// Its own path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there.
    pub(super) fn exists(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_file())
    }

    /// Puts it there, durably.
    pub(super) fn create(&self) -> Result<(), SinkError> {
        write(&self.path, NOTE).map_err(|cause| self.failed("create the marker", cause))?;
        self.sync_directory()
    }

    /// Puts one there that says `text`, in place of the old one in one step, durably.
    pub(super) fn replace(&self, text: &str) -> Result<(), SinkError> {
        let new = self.new_path();
        write(&new, text).map_err(|cause| self.failed("write the journal", cause))?;
        fs::rename(&new, &self.path).map_err(|cause| self.failed("replace the journal", cause))?;
        self.sync_directory()
    }

    /// What it says; `None` where there is none, or none that could be ours.
    pub(super) fn text(&self) -> Option<String> {
        let file = OpenOptions::new().read(true).custom_flags(FLAGS).open(&self.path).ok()?;
        let found = file.metadata().ok()?;
        let mut text = String::new();
        let ours = found.is_file() && found.len() <= LONGEST;
        ours.then(|| file.take(LONGEST).read_to_string(&mut text)).and_then(Result::ok).map(|_| text)
    }

    fn new_path(&self) -> PathBuf {
        self.path.with_added_extension("new")
    }

    fn failed(&self, action: &'static str, cause: io::Error) -> SinkError {
        SinkError::failed(action, &self.path, None, cause)
    }

    /// Takes it away; what is not there needs not go.
    pub(super) fn remove(&self) -> Result<(), SinkError> {
        for path in [self.new_path(), self.path.clone()] {
            match fs::remove_file(path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("remove the marker", cause));
                }
                _ => {}
            }
        }
        self.sync_directory()
    }

    /// Makes the directory's entries durable, where its file system knows of such a thing.
    fn sync_directory(&self) -> Result<(), SinkError> {
        match File::open(&self.directory).and_then(|directory| directory.sync_all()) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other.map_err(|cause| SinkError::failed("flush", &self.directory, None, cause)),
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).custom_flags(FLAGS).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let marker = Marker::beside(&dir.path().join("disk.img"));
        assert!(!marker.exists());
        marker.create().unwrap();
        marker.create().unwrap();
        let text = fs::read_to_string(dir.path().join(".disk.img.diskpour")).unwrap();
        assert_eq!(text.lines().count(), 1);
        marker.remove().unwrap();
        marker.remove().unwrap();
        assert!(!marker.exists());
    }

    #[test]
    fn what_it_says_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let marker = Marker::within(dir.path(), Path::new("/dev/sdx"));
        assert_eq!(marker.text(), None);
        for text in ["first", "second"] {
            marker.replace(text).unwrap();
            assert_eq!(marker.text().as_deref(), Some(text));
        }
        fs::write(marker.new_path(), "cut").unwrap();
        marker.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_its_place_is_neither_followed_nor_believed() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("precious");
        fs::write(&other, "keep").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join(".disk.img.diskpour")).unwrap();
        let marker = Marker::beside(&dir.path().join("disk.img"));
        assert!(!marker.exists());
        marker.create().unwrap_err();
        assert_eq!(marker.text(), None);
        assert_eq!(fs::read_to_string(&other).unwrap(), "keep");
    }

    #[test]
    fn a_bare_name_has_its_marker_in_the_present_directory() {
        assert_eq!(Marker::beside(Path::new("a.img")).path, Path::new("./.a.img.diskpour"));
    }
}
