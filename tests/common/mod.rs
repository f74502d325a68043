//! What the tests share: running the program, judging by `qemu-img`, serving files, real servers.

pub(crate) mod apart;
pub(crate) mod certificates;
pub(crate) mod child;
pub(crate) mod depot;
pub(crate) mod device;
pub(crate) mod digest;
pub(crate) mod foreign;
pub(crate) mod fuse;
pub(crate) mod group;
pub(crate) mod layout;
pub(crate) mod ledger;
pub(crate) mod map;
pub(crate) mod mount;
pub(crate) mod nginx;
pub(crate) mod oci;
pub(crate) mod pod;
pub(crate) mod proxy;
pub(crate) mod qemu;
pub(crate) mod recipe;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod tally;
pub(crate) mod upload;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A temporary directory for one test, beside the build's other files: room and sparse files.
pub(crate) fn workshop() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("diskpour-test-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Waits until `happened`, for a long while: what others write at the same time can hold a flush up for
/// seconds, and a journal rests twenty times as long.
pub(crate) fn wait_for(happened: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !happened() {
        if start.elapsed() > Duration::from_secs(100) {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
    true
}

/// Writes `bytes` with `pause` after every 256 KiB, as something slow does.
pub(crate) fn write_slowly(to: &mut impl Write, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for piece in bytes.chunks(256 << 10) {
        to.write_all(piece)?;
        sleep(pause);
    }
    Ok(())
}

/// A path within the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Bytes that no codec shrinks, the same for the same seed.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
