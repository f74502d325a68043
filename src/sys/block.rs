//! What only ioctls say and do about block devices.
//!
//! Refuses to know: which range is worth zeroing.

use std::fs::File;
use std::io;

use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

// The numbers of <linux/fs.h>; the header says size_t where the kernel writes 64 bits.
const BLKGETSIZE64: Opcode = opcode::read::<usize>(0x12, 114);
const BLKZEROOUT: Opcode = opcode::none(0x12, 127);

/// The size of a block device in bytes.
///
/// # Errors
/// `ENOTTY` for what is no block device.
pub fn size(device: &File) -> io::Result<u64> {
    // SAFETY: BLKGETSIZE64 writes one u64 through the pointer that `Getter` passes.
    Ok(unsafe { ioctl(device, Getter::<BLKGETSIZE64, u64>::new()) }?)
}

/// The size in bytes of the logical block (sector) that the device is addressed by.
///
/// # Errors
/// `ENOTTY` for what is no block device.
pub fn logical_block(device: &File) -> io::Result<u64> {
    Ok(u64::from(rustix::fs::ioctl_blksszget(device)?))
}

/// Has the device write zeros, `len` bytes from `at` on, both multiples of the logical block.
///
/// # Errors
/// `ENOTTY` for what is no block device; whatever the device fails with.
pub fn zero_out(device: &File, at: u64, len: u64) -> io::Result<()> {
    // SAFETY: BLKZEROOUT reads two u64, start and length, from the pointer that `Setter` passes.
    Ok(unsafe { ioctl(device, Setter::<BLKZEROOUT, [u64; 2]>::new([at, len])) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_file_is_no_block_device() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(size(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert!(logical_block(&file).is_err());
        assert_eq!(zero_out(&file, 0, 4096).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
