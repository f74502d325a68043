//! The volume of a pod: made ready for a try, with the sizes that CDI's arithmetic gives.
//!
//! Refuses to know: where the image comes from, and the paths of a pod; they stand in the settings.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use crate::config::ImportConfig;
use crate::format::overhead::Overhead;
use crate::sink::{self, SinkError};

/// Who may read and write the disk: its owner and the group of the pods.
const MODE: u32 = 0o660;

/// What CDI's own importer leaves in scratch; ours has no name there.
const SCRATCH_LEFTOVERS: [&str; 2] = ["tmpimage", "disk"];

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
/// [`SinkError`] for a volume that cannot be looked at or cleaned.
pub(crate) fn fitted(base: &ImportConfig, wanted: Wanted) -> Result<ImportConfig, SinkError> {
    let scratch = base.scratch_dir.as_deref();
    let mut config = ImportConfig { scratch_dir: None, ..base.clone() };
    if let Some(scratch) = scratch {
        // The space must be counted when what is ours has gone: CDI counts it before, and once too
        // small a volume is too small for ever.
        for name in SCRATCH_LEFTOVERS {
            remove(&scratch.join(name))?;
        }
        config.scratch_dir = free(scratch).ok().filter(|free| *free > 0).map(|_| scratch.to_owned());
    }
    if is_device(&base.target) {
        return Ok(config);
    }
    sink::discard(&base.target)?;
    let directory = base.target.parent().unwrap_or(Path::new("/"));
    let free =
        free(directory).map_err(|cause| SinkError::failed("ask for the space of", directory, None, cause))?;
    let available = wanted.size.map_or(free, |size| size.min(free));
    config.max_size = Some(available);
    config.size = wanted.size.map(|_| wanted.overhead.usable(available));
    Ok(config)
}

/// Gives a finished disk its mode, durably; a device keeps its own.
///
/// # Errors
/// Whatever the file system fails with.
pub(crate) fn settle(target: &Path) -> Result<(), SinkError> {
    if is_device(target) {
        return Ok(());
    }
    let settle = || {
        let file = File::open(target)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.sync_all()
    };
    settle().map_err(|cause| SinkError::failed("set the mode of", target, None, cause))
}

/// Whether `target` is a block device.
pub(crate) fn is_device(target: &Path) -> bool {
    fs::metadata(target).is_ok_and(|found| found.file_type().is_block_device())
}

/// The bytes that somebody without privileges can still write into `directory`.
fn free(directory: &Path) -> io::Result<u64> {
    let state = rustix::fs::statvfs(directory)?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize))
}

/// Removes a file, or a directory and all in it.
fn remove(path: &Path) -> Result<(), SinkError> {
    let done = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        // Nothing is there; a scratch volume that is not there, or not ours, is as good as none.
        Err(_) => Ok(()),
    };
    done.map_err(|cause| SinkError::failed("remove", path, None, cause))
}
