//! The target directory before anything is changed: looked at, and locked.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, flock, mkdirat};
use rustix::io::Errno;

use super::ledger::What;
use super::tree::Tree;
use super::{Policy, Spec};
use crate::error::Error;
use crate::format::preallocation::Preallocation;
use crate::sink::{Existing, SinkError};

/// What lies in a fresh file system and belongs to it.
const BELONGINGS: &str = "lost+found";

/// A directory that can take an archive; nothing in it has changed yet.
pub struct Place {
    path: PathBuf,
    /// The directory, where it was there, and locked.
    found: Option<File>,
    existing: Existing,
    pub(super) max_size: Option<u64>,
    pub(super) preallocation: Preallocation,
    pub(super) policy: Policy,
}

/// Looks at the directory of `spec`.
///
/// # Errors
/// [`SinkError::Unfit`] for what is no directory, or not empty and not given up; [`SinkError::Busy`]
/// for one that another process of ours fills; whatever the system fails with.
pub fn open(spec: &Spec) -> Result<Place, SinkError> {
    let found = match fs::metadata(&spec.dir) {
        Ok(found) if found.is_dir() => Some(existing(&spec.dir, spec.existing)?),
        Ok(_) => return unfit(&spec.dir, "is no directory; an archive is unpacked into one"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            absent(&spec.dir)?;
            None
        }
        Err(cause) => return Err(SinkError::failed("look at", &spec.dir, None, cause)),
    };
    Ok(Place {
        path: spec.dir.clone(),
        found,
        existing: spec.existing,
        max_size: spec.max_size,
        preallocation: spec.preallocation,
        policy: spec.policy,
    })
}

impl Place {
    /// The directory, made now if it was not there.
    pub(super) fn tree(&self) -> Result<Tree, Error> {
        let failed = |action, cause| SinkError::failed(action, &self.path, None, cause);
        if let Some(found) = &self.found {
            let root = found.try_clone().map_err(|cause| failed("open", cause))?;
            let tree = Tree::new(self.path.clone(), root.into(), What::Found)?;
            return Ok(Tree { existing: self.existing, policy: self.policy, ..tree });
        }
        let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO;
        mkdirat(rustix::fs::CWD, &self.path, mode).map_err(|errno| failed("create", errno.into()))?;
        let root = directory(&self.path, libc::O_NOFOLLOW).map_err(|cause| failed("open", cause))?;
        let tree = Tree::new(self.path.clone(), root.into(), What::Made)?;
        Ok(Tree { existing: self.existing, policy: self.policy, ..tree })
    }
}

fn existing(path: &Path, existing: Existing) -> Result<File, SinkError> {
    let failed = |action, cause| SinkError::failed(action, path, None, cause);
    let file = directory(path, 0).map_err(|cause| failed("open", cause))?;
    // Some file systems have no locks for directories, which then stay unlocked.
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        let why = "is being filled by another process; wait for its end or stop it";
        return Err(SinkError::Busy { path: path.to_path_buf(), why });
    }
    if existing == Existing::Refuse {
        for entry in fs::read_dir(path).map_err(|cause| failed("read", cause))? {
            if entry.map_err(|cause| failed("read", cause))?.file_name() != BELONGINGS {
                return unfit(path, "is not empty; use --force to replace what the archive holds too");
            }
        }
    }
    Ok(file)
}

fn directory(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | flags).open(path)
}

fn absent(path: &Path) -> Result<(), SinkError> {
    if fs::symlink_metadata(path).is_ok() {
        return unfit(path, "is a symbolic link that leads to nothing; remove it or name its target");
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent.is_dir() { Ok(()) } else { unfit(path, "its directory does not exist; make it first") }
}

fn unfit<T>(path: &Path, why: &'static str) -> Result<T, SinkError> {
    Err(SinkError::Unfit { path: path.to_path_buf(), why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn spec(path: &Path, existing: Existing) -> Spec {
        Spec {
            dir: path.to_path_buf(),
            existing,
            max_size: None,
            preallocation: Preallocation::Off,
            policy: Policy::Foreign,
        }
    }

    fn why(path: &Path, existing: Existing) -> String {
        match open(&spec(path, existing)) {
            Ok(_) => "taken".to_owned(),
            Err(SinkError::Unfit { why, .. } | SinkError::Busy { why, .. }) => why.to_owned(),
            Err(other) => other.to_string(),
        }
    }

    #[test]
    fn a_directory_is_taken_when_it_is_empty_or_given_up() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        assert_eq!(why(base.path(), Existing::Refuse), "taken");
        fs::create_dir(at("lost+found")).unwrap();
        assert_eq!(why(base.path(), Existing::Refuse), "taken");
        fs::write(at("file"), "x").unwrap();
        assert!(why(base.path(), Existing::Refuse).contains("use --force"));
        assert_eq!(why(base.path(), Existing::Overwrite), "taken");
        symlink("lost+found", at("link")).unwrap();
        assert_eq!(why(&at("link"), Existing::Refuse), "taken");
        symlink("nowhere", at("dangling")).unwrap();
        assert!(why(&at("dangling"), Existing::Overwrite).contains("leads to nothing"));
        assert!(why(&at("file"), Existing::Overwrite).contains("is no directory"));
        assert!(why(&at("no/where"), Existing::Overwrite).contains("make it first"));
        assert_eq!(why(&at("new/"), Existing::Refuse), "taken");
        assert!(!at("new").exists());
    }

    #[test]
    fn a_directory_is_taken_by_one_at_a_time() {
        let base = tempfile::tempdir().unwrap();
        let spec = spec(base.path(), Existing::Refuse);
        let tree = open(&spec).unwrap().tree().unwrap();
        assert!(why(base.path(), Existing::Overwrite).contains("another process"));
        drop(tree);
        assert_eq!(why(base.path(), Existing::Overwrite), "taken");
    }
}
