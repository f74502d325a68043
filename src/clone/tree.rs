//! A walk over the files of a directory that nothing leads out of.
//!
//! Refuses to know: what is done with the files. Whoever writes to the volume meanwhile may turn a
//! directory into a link, so that every step goes from an open directory, and follows no link.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::CloneError;
use crate::error::Error;

/// What lies in a fresh file system and belongs to it.
const BELONGINGS: &[u8] = b"lost+found";

/// The most directories in one another; each of them is open at the same time.
const DEPTH: usize = 256;

/// Something in the file system.
pub(super) struct Entry<'a> {
    /// Its name, from the volume's root on.
    pub(super) path: &'a Path,
    /// What the system says of it.
    pub(super) stat: Stat,
    parent: BorrowedFd<'a>,
    name: &'a CStr,
}

/// The directory where a volume is mounted.
pub(super) fn root(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(rustix::fs::CWD, path, flags, Mode::empty())?)
}

/// Shows `visit` all that lies below `root`, sorted by name, each directory before what is in it.
pub(super) fn walk(
    root: &OwnedFd,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    directory(root.as_fd(), Path::new(""), 0, visit)
}

fn directory(
    here: BorrowedFd<'_>,
    path: &Path,
    depth: usize,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if depth > DEPTH {
        return Err(unfit(path, "lies deeper than 256 directories").into());
    }
    for name in names(here).map_err(|errno| failed("list", path, errno))? {
        if depth == 0 && name.to_bytes() == BELONGINGS {
            continue;
        }
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        let stat = statat(here, &name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|errno| failed("look at", &path, errno))?;
        let entry = Entry { path: &path, stat, parent: here, name: &name };
        visit(&entry)?;
        if entry.file_type() == FileType::Directory {
            let inner = entry.open(OFlags::DIRECTORY)?;
            directory(inner.as_fd(), &path, depth.saturating_add(1), visit)?;
        }
    }
    Ok(())
}

/// The names in a directory, sorted, so that two walks are alike.
fn names(here: BorrowedFd<'_>) -> Result<Vec<std::ffi::CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(here)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

impl Entry<'_> {
    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// The length in bytes.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// The bytes that it takes on disk.
    pub(super) fn allocated(&self) -> u64 {
        u64::try_from(self.stat.st_blocks).unwrap_or(0).saturating_mul(512)
    }

    /// The file, open for reading.
    pub(super) fn file(&self) -> Result<File, CloneError> {
        // What has become a pipe meanwhile is not waited for.
        let file = File::from(self.open(OFlags::NONBLOCK)?);
        match file.metadata() {
            Ok(found) if found.is_file() => Ok(file),
            Ok(_) => Err(self.unfit("is no file any more; the volume must not change meanwhile")),
            Err(cause) => Err(CloneError::Read { action: "look at", path: self.shown(), cause }),
        }
    }

    /// Where the symbolic link leads.
    pub(super) fn target(&self) -> Result<PathBuf, CloneError> {
        let target =
            readlinkat(self.parent, self.name, Vec::new()).map_err(|errno| self.failed("read", errno))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.to_bytes())))
    }

    /// The path for messages.
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn unfit(&self, why: &'static str) -> CloneError {
        unfit(self.path, why)
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, CloneError> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.parent, self.name, flags, Mode::empty()).map_err(|errno| self.failed("open", errno))
    }

    fn failed(&self, action: &'static str, errno: Errno) -> CloneError {
        failed(action, self.path, errno)
    }
}

fn failed(action: &'static str, path: &Path, errno: Errno) -> CloneError {
    let path = if path.as_os_str().is_empty() { "the volume".to_owned() } else { path.display().to_string() };
    CloneError::Read { action, path, cause: errno.into() }
}

fn unfit(path: &Path, why: &'static str) -> CloneError {
    CloneError::Unfit { path: path.display().to_string(), why }
}
