//! Why a target cannot take the disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Classify, Kind};

/// Why a target cannot take the disk.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The disk does not fit.
    #[error("virtual size {needed} is larger than the target's {capacity}")]
    TooSmall {
        /// Bytes that the disk has, as far as they are known.
        needed: u64,
        /// Bytes that the target takes.
        capacity: u64,
    },
    /// The place where the target is has no room left.
    #[error("unable to write to file: write {}: {words}", path.display())]
    Full {
        /// The target.
        path: PathBuf,
        /// What ran out, in the words that the world greps for.
        words: &'static str,
    },
    /// The path names something that is no target.
    #[error("{}: {why}", path.display())]
    Unfit {
        /// The target.
        path: PathBuf,
        /// What is wrong with it and what to do.
        why: &'static str,
    },
    /// Somebody else uses the target.
    #[error("{}: {why}", path.display())]
    Busy {
        /// The target.
        path: PathBuf,
        /// Who, and what to do.
        why: &'static str,
    },
    /// A system call failed.
    #[error("unable to {action} {}{}", path.display(), At(*at))]
    Failed {
        /// What was tried, a verb.
        action: &'static str,
        /// The file or device.
        path: PathBuf,
        /// The offset in bytes, where there is one.
        at: Option<u64>,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The target gave back other bytes than it was given.
    #[error("read back, the target differs from what was written in the MiB at byte {at}")]
    Differs {
        /// Where that MiB begins.
        at: u64,
    },
    /// The caller broke a rule of the contract.
    #[error("defect of diskpour: {0}")]
    Misused(&'static str),
}

impl SinkError {
    /// What this is in the words that CDI's controller looks for, where a larger volume helps and the
    /// words of the error itself do not say so.
    #[must_use]
    pub fn capacity_words(&self) -> Option<String> {
        let Self::TooSmall { needed, capacity } = self else { return None };
        Some(format!(
            "virtual image size {needed} is larger than the reported available storage {capacity}. \
             A larger PVC is required"
        ))
    }

    /// What `cause` means for a try to `action` the file at `path`.
    pub(crate) fn failed(action: &'static str, path: &Path, at: Option<u64>, cause: io::Error) -> Self {
        let path = path.to_path_buf();
        match full(&cause) {
            Some(words) => Self::Full { path, words },
            None => Self::Failed { action, path, at, cause },
        }
    }
}

/// The words for errors that more room would cure: lower case, as other programs search for them.
fn full(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::NOSPC => Some("no space left on device"),
        Errno::DQUOT => Some("disk quota exceeded"),
        Errno::FBIG => Some("file too large"),
        _ => None,
    }
}

impl Classify for SinkError {
    fn kind(&self) -> Kind {
        match self {
            Self::TooSmall { .. } | Self::Full { .. } => Kind::TargetFull,
            Self::Unfit { .. } => Kind::Usage,
            Self::Busy { .. } | Self::Failed { .. } | Self::Misused(_) => Kind::Other,
            Self::Differs { .. } => Kind::Integrity,
        }
    }
}

/// An offset as it ends a message; nothing where there is none.
struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |at| write!(f, " at byte {at}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn told(errno: Errno) -> Error {
        SinkError::failed("write", Path::new("/data/disk.img"), Some(512), errno.into()).into()
    }

    #[test]
    fn errors_that_more_room_cures_are_in_lower_case_words() {
        let words = [
            (Errno::NOSPC, "unable to write to file: write /data/disk.img: no space left on device"),
            (Errno::DQUOT, "unable to write to file: write /data/disk.img: disk quota exceeded"),
            (Errno::FBIG, "unable to write to file: write /data/disk.img: file too large"),
        ];
        for (errno, words) in words {
            let error = told(errno);
            assert_eq!(error.to_string(), words);
            assert_eq!(error.kind(), Kind::TargetFull);
        }
    }

    #[test]
    fn other_errors_name_the_path_and_the_offset() {
        let error = told(Errno::IO);
        assert_eq!(error.kind(), Kind::Other);
        assert!(error.to_string().starts_with("unable to write /data/disk.img at byte 512: "), "{error}");
    }
}
