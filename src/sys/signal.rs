//! Signals that would end the process where an error code says more.

/// Lets a write past a file size limit (`ulimit -f`) fail with EFBIG instead of ending the process.
pub fn ignore_file_size_limit() {
    // SAFETY: ignoring a signal installs no handler, so no code of ours runs in signal context.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
