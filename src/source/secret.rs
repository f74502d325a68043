//! Texts that nothing can print, and one that prints without its secrets.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

use crate::format::redact;

/// A password, a token or a header's value: without `Debug` and `Display`, wiped when it goes.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps `text` from now on.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the request that carries it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// A name and a password.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// The name of the user.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: Option<Secret>,
}

/// Where an image is, as the user says it: a URL, a path or `-`.
///
/// A URL may hold a password or a signed query, so this is wiped when it goes, and printed without
/// them. As a text it is whole.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Locator(Zeroizing<String>);

impl From<String> for Locator {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Locator {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Deref for Locator {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redact::url(self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locator_prints_without_what_it_hides() {
        let locator = Locator::from("https://me:s3cr3t@host/x?sig=s3cr3t");
        assert_eq!(format!("{locator:?}"), "\"https://***@host/x?***\"");
        assert!(locator.ends_with("?sig=s3cr3t"));
    }
}
