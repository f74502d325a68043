//! How much of the target's space is claimed before data comes.

use std::fmt;

/// What is done to the target's space before the first byte of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preallocation {
    /// Nothing: zeros stay holes.
    #[default]
    Off,
    /// Space is reserved, nothing is written.
    Falloc,
    /// Every byte is written, zeros too.
    Full,
}

impl Preallocation {
    /// Every choice, the default first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Falloc, Self::Full];

    /// What this comes to on a device, whose space is claimed by writing to it.
    #[must_use]
    pub fn on_device(self) -> Self {
        match self {
            Self::Falloc => Self::Full,
            other => other,
        }
    }

    /// The name that options use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Falloc => "falloc",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Preallocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_of_a_device_is_claimed_by_writing() {
        assert_eq!(
            Preallocation::ALL.map(Preallocation::on_device),
            [Preallocation::Off, Preallocation::Full, Preallocation::Full]
        );
    }
}
