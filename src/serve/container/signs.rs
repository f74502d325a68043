//! The two files by which server and importer talk: one says that the image can be fetched and what
//! it is called, the other that it was.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Classify, Kind};

/// Where the files are.
pub(super) struct Signs<'a> {
    pub(super) ready: &'a Path,
    pub(super) done: &'a Path,
}

/// Why the importer cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {cause}", .path.display())]
pub(super) struct SignError {
    path: PathBuf,
    cause: io::Error,
}

impl Classify for SignError {
    fn kind(&self) -> Kind {
        Kind::Other
    }
}

impl Signs<'_> {
    /// Says that the image `name` can be fetched.
    ///
    /// The file appears with its content: an importer that finds it empty would ask for another name.
    pub(super) fn say_ready(&self, name: &OsStr) -> Result<(), SignError> {
        let failed = |cause| SignError { path: self.ready.to_owned(), cause };
        let mut draft = self.ready.as_os_str().to_owned();
        draft.push(".draft");
        fs::write(&draft, name.as_bytes()).map_err(failed)?;
        fs::rename(&draft, self.ready).map_err(failed)
    }

    /// Whether the importer has said that it is done.
    pub(super) fn is_done(&self) -> bool {
        self.done.exists()
    }

    /// Removes both files.
    pub(super) fn remove(&self) {
        for path in [self.done, self.ready] {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_replaces_one_of_an_earlier_start_and_leaves_no_draft() {
        let place = tempfile::tempdir().unwrap();
        let (ready, done) = (place.path().join("ready"), place.path().join("done"));
        let signs = Signs { ready: &ready, done: &done };
        fs::write(&ready, "a much longer name.img").unwrap();
        signs.say_ready("disk.img".as_ref()).unwrap();
        assert_eq!(fs::read_to_string(&ready).unwrap(), "disk.img");
        assert!(!signs.is_done());
        fs::write(&done, "").unwrap();
        assert!(signs.is_done());
        signs.remove();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        let nowhere = place.path().join("absent/ready");
        let error = Signs { ready: &nowhere, done: &done }.say_ready("x".as_ref()).unwrap_err();
        assert!(error.to_string().contains("absent/ready"), "{error}");
    }
}
