//! Where a pod's volumes are mounted, what an earlier try left there, and how much room there is.
//!
//! Refuses to know: sources.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::{ContentType, Resume};
use crate::error::Error;
use crate::format::overhead::Overhead;
use crate::format::preallocation::Preallocation;
use crate::sink::{self, SinkError};
use crate::sys;

/// Where the volume of a file system is mounted.
pub const DATA: &str = "/data";

/// The disk on it.
const DISK: &str = "/data/disk.img";

/// What lies beside a disk that is not complete.
const MARKER: &str = "/data/.disk.img.diskpour";

/// A volume that is a block device. That it is there is what makes it one.
pub const DEVICE: &str = "/dev/cdi-block-volume";

/// Where scratch space is mounted, if there is any.
pub const SCRATCH: &str = "/scratch";

/// Certificates for proxies; CDI's importer looks here too, whatever the variable for it says.
pub const PROXY_CERTS: &str = "/proxycerts";

/// Headers that are secrets, each a file.
pub const HEADERS: &str = "/extraheaders";

/// The user and the group of the virtual machine read and write, nobody else does anything.
const MODE: u32 = 0o660;

/// What the target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) enum Volume {
    /// A directory, for a file or an archive.
    Files,
    /// A block device.
    Device,
}

impl Volume {
    /// The volume that is mounted.
    pub(super) fn find() -> Self {
        match fs::metadata(DEVICE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Files,
            _ => Self::Device,
        }
    }

    /// The path that content goes to.
    pub(super) fn target(self, content: ContentType) -> &'static Path {
        Path::new(match (self, content) {
            (Self::Device, _) => DEVICE,
            (Self::Files, ContentType::Archive) => DATA,
            (Self::Files, ContentType::Kubevirt) => DISK,
        })
    }

    /// What `wanted` comes to: to claim the space of a device is to write it.
    pub(super) fn claim(self, wanted: Preallocation) -> Preallocation {
        match (self, wanted) {
            (Self::Device, wanted) => wanted.on_device(),
            (Self::Files, wanted) => wanted,
        }
    }
}

/// Removes what an earlier try left, but not what this one may go on with. An archive's files are not
/// known from others, and stay.
pub(in crate::import) fn tidy(content: ContentType, volume: Volume, resume: Resume) {
    let journal = resume == Resume::On && sink::has_journal(Path::new(DISK));
    if volume == Volume::Files && content == ContentType::Kubevirt && !journal {
        remove(Path::new(DISK));
        remove(Path::new(MARKER));
    }
    let scratch = Path::new(SCRATCH);
    remove(&scratch.join("tmpimage"));
    remove(&scratch.join("disk"));
    for entry in fs::read_dir(scratch).into_iter().flatten().flatten() {
        if is_ours(&entry.file_name()) {
            remove(&entry.path());
        }
    }
}

/// Whether scratch space has a name that only we give, on file systems without unnamed files.
fn is_ours(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(".diskpour-scratch-")
}

/// Removes a file, a link, or a directory with all that is in it.
fn remove(path: &Path) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    let removed = if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => tracing::info!("removed {}, which an earlier try left", path.display()),
        // What cannot go may still be overwritten, or fail with better words.
        Err(error) => tracing::warn!("{} of an earlier try cannot be removed: {error}", path.display()),
    }
}

/// Scratch space, where it is mounted and not full.
pub(in crate::import) fn scratch() -> Option<PathBuf> {
    let dir = Path::new(SCRATCH);
    let room = dir.is_dir() && free(dir).is_ok_and(|free| free > 0);
    room.then(|| dir.to_owned())
}

/// Bytes that an ordinary user may still write below `dir`.
pub(in crate::import) fn free(dir: &Path) -> Result<u64, Error> {
    let status = rustix::fs::statfs(dir)
        .map_err(|errno| SinkError::failed("ask for the free space of", dir, None, errno.into()))?;
    Ok(status.f_bavail.saturating_mul(u64::try_from(status.f_bsize).unwrap_or(0)))
}

/// Bytes that the disk of an earlier try takes up, which are this one's to use.
pub(super) fn left() -> u64 {
    fs::symlink_metadata(DISK).map_or(0, |found| found.blocks().saturating_mul(512))
}

/// The size of the block device in bytes.
pub(super) fn device_size() -> Result<u64, Error> {
    let path = Path::new(DEVICE);
    let size = File::open(path).and_then(|device| sys::block::size(&device));
    Ok(size.map_err(|cause| SinkError::failed("ask for the size of", path, None, cause))?)
}

/// The sizes that a disk on a file system may have and should have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) struct Sizes {
    /// The largest that is taken.
    pub(in crate::import) most: u64,
    /// What a smaller one grows to.
    pub(in crate::import) grown: Option<u64>,
}

/// The sizes where `free` bytes are free and a disk of `requested` bytes is asked for.
///
/// The limit is what is there, without the overhead: an image that would grow to less than it has
/// is taken as it is.
pub(in crate::import) fn sizes(overhead: Overhead, free: u64, requested: Option<u64>) -> Sizes {
    let most = free.min(requested.unwrap_or(u64::MAX));
    Sizes { most, grown: requested.map(|requested| overhead.usable(most).min(requested)) }
}

/// Gives a complete disk its mode, and makes it durable with that.
pub(in crate::import) fn seal(target: &Path) -> Result<(), Error> {
    let failed = |action| move |cause| SinkError::failed(action, target, None, cause);
    if target == Path::new(DISK) {
        fs::set_permissions(target, Permissions::from_mode(MODE)).map_err(failed("set the mode of"))?;
    }
    File::open(target).and_then(|file| file.sync_all()).map_err(failed("flush"))?;
    tracing::info!("Successfully completed fsync({}) syscall, committed to disk", target.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: u64 = 1 << 20;

    #[test]
    fn a_disk_grows_to_what_the_overhead_leaves_of_the_smaller_one() {
        let overhead = Overhead::parse("0.06");
        let sizes = |free, requested| sizes(overhead, free, requested);
        assert_eq!(sizes(2000 * MI, Some(1024 * MI)), Sizes { most: 1024 * MI, grown: Some(966 * MI) });
        assert_eq!(sizes(500 * MI, Some(1024 * MI)), Sizes { most: 500 * MI, grown: Some(471 * MI) });
        assert_eq!(sizes(500 * MI, None), Sizes { most: 500 * MI, grown: None });
        let exact = super::sizes(Overhead::default(), 2000 * MI, Some(MI + 1));
        assert_eq!(exact, Sizes { most: MI + 1, grown: Some(MI) });
    }
}
