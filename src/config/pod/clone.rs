//! What the environment of a clone source's pod says.
//!
//! Refuses to know: files, devices and the network.

use std::path::PathBuf;

use super::values::go_bool;
use crate::config::environment::text;
use crate::source::Secret;

/// What a clone source is to do.
#[derive(Clone)]
pub struct ClonePod {
    /// Whether the volume is a device or a file system.
    pub mode: VolumeMode,
    /// The device, or the directory where the file system is mounted.
    pub mount_point: PathBuf,
    /// Where the clone target takes uploads.
    pub url: String,
    /// The client's private key: PEM text.
    pub key: Secret,
    /// The client's certificate chain: PEM text.
    pub certificate: String,
    /// The CA that the clone target's certificate comes from: PEM text.
    pub server_ca: String,
    /// The label of the progress metric.
    pub owner_uid: String,
    /// Whether holes are sent as the zeros that they read as.
    pub preallocate: bool,
}

/// What a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeMode {
    /// A block device.
    Block,
    /// A file system.
    Filesystem,
}

/// A variable without which a clone source does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClonePodError {
    /// It is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// It is none of the two.
    #[error("VOLUME_MODE is neither block nor filesystem")]
    Mode,
    /// It is no Go bool.
    #[error("PREALLOCATION is neither true nor false")]
    Preallocation,
}

// A derived Debug would need one of the key.
impl std::fmt::Debug for ClonePod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClonePod").field("mode", &self.mode).field("url", &self.url).finish_non_exhaustive()
    }
}

/// Whether the environment is that of a clone source.
pub(super) fn is_meant() -> bool {
    text("UPLOAD_URL").and_then(|_| text("VOLUME_MODE")).is_some()
}

/// What the environment says.
///
/// # Errors
/// [`ClonePodError`]: every variable has to be there.
pub(super) fn read() -> Result<ClonePod, ClonePodError> {
    let need = |name| text(name).ok_or(ClonePodError::Missing(name));
    let mode = match need("VOLUME_MODE")?.as_str() {
        "block" => VolumeMode::Block,
        "filesystem" => VolumeMode::Filesystem,
        _ => return Err(ClonePodError::Mode),
    };
    Ok(ClonePod {
        mode,
        mount_point: PathBuf::from(need("MOUNT_POINT")?),
        url: need("UPLOAD_URL")?,
        key: Secret::new(need("CLIENT_KEY")?),
        certificate: need("CLIENT_CERT")?,
        server_ca: need("SERVER_CA_CERT")?,
        owner_uid: need("OWNER_UID")?,
        preallocate: go_bool(&need("PREALLOCATION")?).ok_or(ClonePodError::Preallocation)?,
    })
}
