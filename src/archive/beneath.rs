//! Opening a name in a directory, and never what lies elsewhere.
//!
//! Names here are single parts, without slashes, so that the fallback for kernels and sandboxes
//! without openat2 is as strict.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, retry_on_intr};

/// Opens `name` in `dir`; a symbolic link there is refused by `ELOOP` or `ENOTDIR`.
pub(super) fn open(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match retry_on_intr(|| openat2(dir, name, flags, mode, resolve)) {
        // Sandboxes answer EPERM to what they do not know.
        Err(Errno::NOSYS | Errno::PERM) => plainly(dir, name, flags, mode),
        opened => opened,
    }
}

fn plainly(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    if name.contains(&b'/') || name == b".." || name.is_empty() {
        return Err(Errno::XDEV);
    }
    retry_on_intr(|| openat(dir, name, flags, mode))
}

/// Opens the directory `name` in `dir`, only to find names in it: that needs no right to list them.
pub(super) fn passage(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    open(dir, name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn both_ways_open_what_lies_there_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("dir");
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(base.path().join("outside"), "x").unwrap();
        fs::write(dir.join("inside"), "x").unwrap();
        symlink("../outside", dir.join("link")).unwrap();
        symlink("sub", dir.join("round")).unwrap();
        let fd = fs::File::open(&dir).unwrap();
        for way in [open, plainly] {
            let read = |name: &[u8]| {
                way(fd.as_fd(), name, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty()).map(|_| ())
            };
            assert_eq!(read(b"inside"), Ok(()));
            assert_eq!(read(b"sub"), Ok(()));
            assert_eq!(read(b"link"), Err(Errno::LOOP));
            assert_eq!(read(b"round"), Err(Errno::LOOP));
            assert_eq!(read(b"../outside"), Err(Errno::XDEV));
            assert_eq!(read(b".."), Err(Errno::XDEV));
        }
        assert!(passage(fd.as_fd(), b"sub").is_ok());
        assert!(passage(fd.as_fd(), b"round").is_err());
    }
}
