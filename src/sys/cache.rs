//! The page cache: when its pages are written and dropped.
//!
//! Refuses to know: which pages are worth keeping.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// Has the dirty pages of `range` written, without waiting for them.
///
/// # Errors
/// Whatever the file system fails with.
pub fn start_writing(file: &File, range: &Range<u64>) -> io::Result<()> {
    sync_range(file, range, libc::SYNC_FILE_RANGE_WRITE)
}

/// Has the dirty pages of `range` written and waits until they are.
///
/// # Errors
/// Whatever the file system fails with; an error that is told here is not told by a later fsync.
pub fn await_written(file: &File, range: &Range<u64>) -> io::Result<()> {
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, range, flags)
}

fn sync_range(file: &File, range: &Range<u64>, flags: libc::c_uint) -> io::Result<()> {
    let at = i64::try_from(range.start).unwrap_or(i64::MAX);
    let len = i64::try_from(range.end.saturating_sub(range.start)).unwrap_or(i64::MAX);
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), at, len, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The size in bytes of a page of memory.
#[must_use]
pub fn page_size() -> u64 {
    // SAFETY: sysconf only returns a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dirty_pages_can_be_started_and_awaited() {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 10_000], 0).unwrap();
        start_writing(&file, &(0..10_000)).unwrap();
        await_written(&file, &(0..10_000)).unwrap();
    }

    #[test]
    fn a_page_is_a_power_of_two() {
        assert!(page_size().is_power_of_two() && page_size() >= 4096);
    }
}
