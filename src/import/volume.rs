//! The volume of an upload server's pod, made ready for a try, with the sizes that CDI's arithmetic gives.
//!
//! Refuses to know: what is uploaded, and who does it.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::pod::place::{self, Volume};
use crate::config::{ContentType, ImportConfig, Resume};
use crate::error::Error;
use crate::format::overhead::Overhead;

/// What the pod's controller wants of the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The requested size in bytes.
    pub(crate) size: Option<u64>,
    /// What the file system takes for itself.
    pub(crate) overhead: Overhead,
}

/// `base` for the volume at its target as it is now: what an earlier try left there is gone, a disk
/// may be as large as the space that there is, and grows to what CDI calls usable.
///
/// # Errors
/// Whatever the file system fails with when its space is asked for.
pub(crate) fn fitted(base: &ImportConfig, wanted: Wanted) -> Result<ImportConfig, Error> {
    let volume = if is_device(&base.target) { Volume::Device } else { Volume::Files };
    place::tidy(ContentType::Kubevirt, volume, Resume::Off);
    let config = ImportConfig { scratch_dir: place::scratch(), ..base.clone() };
    if volume == Volume::Device {
        return Ok(ImportConfig { preallocation: base.preallocation.on_device(), ..config });
    }
    let free = place::free(base.target.parent().unwrap_or(Path::new("/")))?;
    let sizes = place::sizes(wanted.overhead, free, wanted.size);
    Ok(ImportConfig { max_size: Some(sizes.most), size: sizes.grown, ..config })
}

/// Gives a finished disk its mode, durably; a device keeps its own.
///
/// # Errors
/// Whatever the file system fails with.
pub(crate) fn settle(target: &Path) -> Result<(), Error> {
    place::seal(target)
}

/// Whether `target` is a block device.
pub(crate) fn is_device(target: &Path) -> bool {
    fs::metadata(target).is_ok_and(|found| found.file_type().is_block_device())
}
