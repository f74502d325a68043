//! One file that takes over bytes of another by reference, as file systems with shared blocks do.
//!
//! Refuses to know: whether that is wanted, and what to do where it cannot be.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `struct file_clone_range` of <linux/fs.h>.
#[repr(C)]
struct CloneRange {
    from: i64,
    from_at: u64,
    len: u64,
    to_at: u64,
}

const FICLONERANGE: Opcode = opcode::write::<CloneRange>(0x94, 13);

/// Makes `len` bytes of `to` at `to_at` the same blocks as those of `from` at `from_at`.
///
/// # Errors
/// `EXDEV`, `EOPNOTSUPP` and `EINVAL` where the file systems, or the offsets, do not allow it.
pub fn share((from, from_at): (&File, u64), (to, to_at): (&File, u64), len: u64) -> io::Result<()> {
    let range = CloneRange { from: i64::from(from.as_raw_fd()), from_at, len, to_at };
    // SAFETY: FICLONERANGE reads one `file_clone_range` through the pointer that `Setter` passes, and
    // the descriptor in it stays open meanwhile.
    Ok(unsafe { ioctl(to, Setter::<FICLONERANGE, CloneRange>::new(range)) }?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_cannot_be_shared_is_an_error_and_changes_nothing() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(&[7; 8192], 0).unwrap();
        to.write_all_at(&[1; 8192], 0).unwrap();
        assert!(share((&from, 1), (&to, 0), 4096).is_err(), "an offset within a block");
        let mut back = [0; 8192];
        to.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(back, [1; 8192]);
    }
}
