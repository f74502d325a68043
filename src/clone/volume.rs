//! The volume that is sent: a device, or the files of a file system.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, FileTypeExt};

use super::CloneError;
use super::pack::pack;
use super::sparse::Holes;
use super::tree::{self, Entry};
use crate::config::{ClonePod, VolumeMode};
use crate::error::{Error, Kind};
use crate::sys::block;

/// Bytes that are read at a time.
const STEP: usize = 1 << 20;

/// A volume that is open for reading.
pub(super) enum Volume {
    /// A device of so many bytes.
    Device { device: File, len: u64, path: String },
    /// The directory where a file system is mounted.
    Files { root: OwnedFd, holes: Holes },
}

impl Volume {
    /// Opens the volume of `config`.
    pub(super) fn open(config: &ClonePod) -> Result<Self, CloneError> {
        let path = config.mount_point.display().to_string();
        let failed = |cause| CloneError::Read { action: "open", path: path.clone(), cause };
        match config.mode {
            VolumeMode::Block => {
                let device = OpenOptions::new().read(true).open(&config.mount_point).map_err(failed)?;
                if !device.metadata().map_err(failed)?.file_type().is_block_device() {
                    return Err(CloneError::Unfit { path, why: "is no block device" });
                }
                let len = block::size(&device).map_err(failed)?;
                Ok(Self::Device { device, len, path })
            }
            VolumeMode::Filesystem => {
                let holes = if config.preallocate { Holes::Filled } else { Holes::Kept };
                Ok(Self::Files { root: tree::root(&config.mount_point).map_err(failed)?, holes })
            }
        }
    }

    /// About how many bytes will be sent, before they are compressed.
    pub(super) fn size(&self) -> Result<u64, Error> {
        let (root, holes) = match self {
            Self::Device { len, .. } => return Ok(*len),
            Self::Files { root, holes } => (root, *holes),
        };
        let mut sum = 0_u64;
        tree::walk(root, &mut |entry: &Entry<'_>| {
            sum = sum.saturating_add(match holes {
                Holes::Filled => entry.len(),
                Holes::Kept => entry.len().min(entry.allocated()),
            });
            Ok(())
        })?;
        Ok(sum)
    }

    /// Writes the bytes of the device, or a tar of the files, to `out`.
    pub(super) fn write<W: Write>(&self, mut out: W) -> Result<W, Error> {
        match self {
            Self::Files { root, holes } => pack(root, *holes, out),
            Self::Device { device, len, path } => {
                read(device, *len, path, &mut out)?;
                Ok(out)
            }
        }
    }
}

fn read(device: &File, len: u64, path: &str, out: &mut impl Write) -> Result<(), Error> {
    let mut buf = vec![0; STEP];
    let mut at = 0_u64;
    while at < len {
        let step = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX).min(STEP);
        let piece = buf.get_mut(..step).unwrap_or_default();
        let failed = |cause| CloneError::Read { action: "read", path: path.to_owned(), cause };
        device.read_exact_at(piece, at).map_err(failed)?;
        out.write_all(piece).map_err(|error: io::Error| Error::from_io(error, Kind::Other))?;
        at = at.saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
    }
    Ok(())
}
