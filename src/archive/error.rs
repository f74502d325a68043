//! Why an archive is not unpacked.

use crate::error::{Classify, Kind};

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The first block is no header.
    #[error("this is no tar archive: its first 512 bytes are no header of one")]
    NoArchive,
    /// It has no file that could be the disk, in the words of CDI.
    #[error("no disk image found in tar")]
    NoMember,
    /// The archive contradicts itself.
    #[error("the archive is damaged at byte {at}: {why}")]
    Damaged {
        /// Where, in bytes from the start of the archive, its codecs off.
        at: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The archive ends where more must come.
    #[error("the archive is truncated: it ends after {at} bytes, {why}")]
    Truncated {
        /// The bytes that there are.
        at: u64,
        /// What is missing.
        why: &'static str,
    },
    /// A member that is not unpacked.
    #[error("the archive's member {name}: {why}")]
    Member {
        /// Its name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A link that is not made.
    #[error("the archive's member {name} is a link to {target}: {why}")]
    Link {
        /// Its name.
        name: String,
        /// Where it leads.
        target: String,
        /// Why not.
        why: &'static str,
    },
    /// More than we take.
    #[error("over a limit: the archive has {what}, the cap is {cap}")]
    OverLimit {
        /// What is too many or too long.
        what: &'static str,
        /// The most that is taken.
        cap: u64,
    },
    /// More bytes than the user allows.
    #[error("the archive's files have {needed} bytes or more, larger than --max-size {cap}")]
    TooLarge {
        /// The bytes known so far.
        needed: u64,
        /// The most that is allowed.
        cap: u64,
    },
}

impl Classify for ArchiveError {
    fn kind(&self) -> Kind {
        match self {
            Self::TooLarge { .. } => Kind::TargetFull,
            Self::NoArchive
            | Self::NoMember
            | Self::Damaged { .. }
            | Self::Truncated { .. }
            | Self::Member { .. }
            | Self::Link { .. }
            | Self::OverLimit { .. } => Kind::Image,
        }
    }
}
