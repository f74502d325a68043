//! A text that nothing can print.

use zeroize::Zeroizing;

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
