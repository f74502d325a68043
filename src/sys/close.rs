//! What closing a file says: some file systems tell only then that a write has failed.
//!
//! Refuses to know: what was written.

use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;

/// Has the file system do what it does when a descriptor of `file` is closed; `file` stays open.
///
/// # Errors
/// Whatever the file system fails with, as NFS and FUSE may; `EMFILE` where no descriptor is left.
pub fn settle(file: &File) -> io::Result<()> {
    let twin = file.try_clone()?.into_raw_fd();
    // SAFETY: the descriptor is ours alone, and is not used after this call, however that ends.
    match unsafe { libc::close(twin) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_that_settled_is_open_still() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one").unwrap();
        settle(&file).unwrap();
        file.write_all(b"two").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 6);
    }
}
