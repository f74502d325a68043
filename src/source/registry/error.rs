//! What can be wrong with an image, with what names it, and with how it was received.

use super::digest::Digest;
use crate::error::{Classify, Kind};
use crate::source::{DiskFault, ImageFault};

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    #[error("{text}: {why}")]
    Reference { text: String, why: &'static str },
    #[error("a password in front of the registry is not read; --auth-file names a file with it")]
    Credentials,
    #[error("`{0}` is no digest: sha256: or sha512: and lower-case hexadecimal digits make one")]
    Digest(String),
    #[error("{what} {why}")]
    Shape { what: String, why: String },
    #[error("{what} is over a limit: {found} {unit}, the cap is {cap}")]
    OverLimit { what: String, found: u64, unit: &'static str, cap: u64 },
    #[error("{what} has the digest {found}, expected {expected}")]
    Mismatch { what: String, expected: Digest, found: Digest },
    #[error("{what} has {found} bytes, expected {expected}")]
    Size { what: String, expected: u64, found: u64 },
    #[error("{what} is truncated: it ends after {found} of {expected} bytes")]
    Truncated { what: String, expected: u64, found: u64 },
    #[error("{what} has more than the {expected} bytes that were promised")]
    TooLong { what: String, expected: u64 },
    #[error("the image exists for {existing}, not for {wanted}; --arch chooses")]
    Architecture { wanted: String, existing: String },
    #[error("the image is for {found}, --arch asks for {wanted}")]
    OtherArchitecture { wanted: String, found: String },
    #[error("bootc image detected: it is booted by its own tools and holds no disk image")]
    Bootc,
    #[error("{0}")]
    Absent(String),
    #[error("{words}")]
    NoDisk { fault: DiskFault, words: String },
}

impl RegistryError {
    /// `what`, followed by what is wrong with its shape.
    pub(super) fn shape(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Shape { what: what.into(), why: why.into() }
    }
}

impl RegistryError {
    /// What is wrong, where somebody tells it in words of their own.
    pub(super) fn fault(&self) -> Option<ImageFault> {
        match self {
            Self::Architecture { wanted, .. } => {
                let (arch, variant) = wanted.split_once('/').unwrap_or((wanted, ""));
                Some(ImageFault::NoArchitecture(arch.to_owned(), variant.to_owned()))
            }
            Self::OtherArchitecture { wanted, found } => {
                Some(ImageFault::OtherArchitecture { found: found.clone(), wanted: wanted.clone() })
            }
            Self::Bootc => Some(ImageFault::Bootc),
            Self::NoDisk { fault, .. } => Some(ImageFault::NoDisk(*fault)),
            _ => None,
        }
    }
}

impl Classify for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Reference { .. } | Self::Credentials => Kind::Usage,
            Self::Absent(_) => Kind::Refused,
            Self::Mismatch { .. } | Self::Size { .. } | Self::Truncated { .. } | Self::TooLong { .. } => {
                Kind::Integrity
            }
            _ => Kind::Image,
        }
    }
}
