//! The small file beside a target that says: what lies there is ours and not complete.
//!
//! Refuses to know: what is in the target.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::SinkError;

/// `.NAME.diskpour` in the directory of the target NAME.
#[derive(Debug)]
pub(super) struct Marker {
    path: PathBuf,
    directory: PathBuf,
}

impl Marker {
    /// The marker of `target`, whether it is there or not.
    pub(super) fn beside(target: &Path) -> Self {
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(".diskpour");
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        Self { path: directory.join(name), directory }
    }

    /// Whether it is there.
    pub(super) fn exists(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_file())
    }

    /// Puts it there, durably.
    pub(super) fn create(&self) -> Result<(), SinkError> {
        self.write().map_err(|cause| SinkError::failed("create the marker", &self.path, None, cause))?;
        self.sync_directory()
    }

    fn write(&self) -> io::Result<()> {
        // Neither a link that somebody laid there is followed, nor is a pipe waited for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(flags)
            .open(&self.path)?;
        file.write_all(
            b"diskpour is writing the file of this name; while this marker lies here it is partial\n",
        )?;
        file.sync_all()
    }

    /// Takes it away; what is not there needs not go.
    pub(super) fn remove(&self) -> Result<(), SinkError> {
        match fs::remove_file(&self.path) {
            Ok(()) => self.sync_directory(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.sync_directory(),
            Err(cause) => Err(SinkError::failed("remove the marker", &self.path, None, cause)),
        }
    }

    /// Makes the directory's entries durable, where its file system knows of such a thing.
    fn sync_directory(&self) -> Result<(), SinkError> {
        match File::open(&self.directory).and_then(|directory| directory.sync_all()) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other.map_err(|cause| SinkError::failed("flush", &self.directory, None, cause)),
        }
    }
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
    fn a_link_in_its_place_is_neither_followed_nor_believed() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("precious");
        fs::write(&other, "keep").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join(".disk.img.diskpour")).unwrap();
        let marker = Marker::beside(&dir.path().join("disk.img"));
        assert!(!marker.exists());
        marker.create().unwrap_err();
        assert_eq!(fs::read_to_string(&other).unwrap(), "keep");
    }

    #[test]
    fn a_bare_name_has_its_marker_in_the_present_directory() {
        assert_eq!(Marker::beside(Path::new("a.img")).path, Path::new("./.a.img.diskpour"));
    }
}
