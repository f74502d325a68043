//! The digest of a whole disk.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use sha2::{Digest, Sha256};

/// Disks larger than this are digested by their data alone.
const WHOLE: u64 = 1 << 30;

/// The sha256 of every byte of `path`; of a disk above 1 GiB, of its size and its data with offsets.
pub(crate) fn disk(path: &Path) -> String {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let size = file.metadata().unwrap().len();
    if size <= WHOLE { whole(file) } else { sparse(&file, size) }
}

/// The sha256 of `bytes`.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

fn whole(mut file: File) -> String {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hex(hash.finalize().as_slice()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Blocks of zeros count for nothing, whether they are holes or written.
fn sparse(file: &File, size: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(size.to_le_bytes());
    let mut at = 0;
    while let Ok(data) = seek(file, SeekFrom::Data(at)) {
        let end = seek(file, SeekFrom::Hole(data)).unwrap();
        at = data / 4096 * 4096;
        while at < end {
            let mut block = [0; 4096];
            let count = read_up_to(file, &mut block, at);
            if block != [0; 4096] {
                hash.update(at.to_le_bytes());
                hash.update(&block[..count]);
            }
            at += 4096;
        }
    }
    hex(hash.finalize().as_slice())
}

fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> usize {
    let mut have = 0;
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], at + have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
    have
}

/// `digest` as people write it.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
