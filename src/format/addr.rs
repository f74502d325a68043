//! Where a byte is: on the guest's disk or in the image file. The two never mix.

use std::fmt;

/// A byte offset on the disk that the guest sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestOffset(pub u64);

/// A byte offset in the image file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostOffset(pub u64);

impl GuestOffset {
    /// The offset `len` bytes further on; stays at the largest offset rather than wrap.
    #[must_use]
    pub fn plus(self, len: u64) -> Self {
        Self(self.0.saturating_add(len))
    }
}

impl HostOffset {
    /// The offset `len` bytes further on; stays at the largest offset rather than wrap.
    #[must_use]
    pub fn plus(self, len: u64) -> Self {
        Self(self.0.saturating_add(len))
    }
}

impl fmt::Display for GuestOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for HostOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
