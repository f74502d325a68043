//! A digest that was parsed: nothing else becomes part of a path or a URL.

use std::fmt;

use super::error::RegistryError;
use super::words::shown;
use crate::format::digest::{Algorithm, Checksum, Hasher};

/// `sha256:` or `sha512:` and a value in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Digest {
    sha512: bool,
    hex: String,
}

impl Digest {
    /// The digest that `text` is, to the letter.
    ///
    /// # Errors
    /// [`RegistryError::Digest`] for everything else, upper case and other algorithms included.
    pub(super) fn parse(text: &str) -> Result<Self, RegistryError> {
        let parsed = text.split_once(':').and_then(|(name, hex)| {
            let sha512 = match (name, hex.len()) {
                ("sha256", 64) => false,
                ("sha512", 128) => true,
                _ => return None,
            };
            let lower = hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            lower.then(|| Self { sha512, hex: hex.to_owned() })
        });
        parsed.ok_or_else(|| RegistryError::Digest(shown(text)))
    }

    /// The digest of `bytes` by the algorithm of this one.
    pub(super) fn of(&self, bytes: &[u8]) -> Self {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        self.finish(hasher)
    }

    /// A sum by the algorithm of this digest.
    pub(super) fn hasher(&self) -> Hasher {
        Hasher::new(if self.sha512 { Algorithm::Sha512 } else { Algorithm::Sha256 })
    }

    /// What `hasher`, which is one of [`Digest::hasher`], has come to.
    pub(super) fn finish(&self, hasher: Hasher) -> Self {
        let sum: Checksum = hasher.finish();
        Self { sha512: self.sha512, hex: sum.hex() }
    }

    /// The same as a checksum.
    pub(super) fn checksum(&self) -> Option<Checksum> {
        self.to_string().parse().ok()
    }

    /// The algorithm's name.
    pub(super) fn algorithm(&self) -> &'static str {
        if self.sha512 { "sha512" } else { "sha256" }
    }

    /// The value's digits.
    pub(super) fn hex(&self) -> &str {
        &self.hex
    }

    /// Enough of the digest to find it again.
    pub(super) fn short(&self) -> String {
        format!("{}:{}", self.algorithm(), self.hex.get(..12).unwrap_or_default())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_letter_of_the_form_is_a_digest() {
        let (short, long) = ("0af9".repeat(16), "0af9".repeat(32));
        for text in [format!("sha256:{short}"), format!("sha512:{long}")] {
            assert_eq!(Digest::parse(&text).unwrap().to_string(), text);
        }
        for text in [
            format!("sha256:{long}"),
            format!("sha512:{short}"),
            format!("sha256:{}", short.to_uppercase()),
            format!("SHA256:{short}"),
            format!("md5:{}", "0".repeat(32)),
            format!("sha256:{}", "/..a".repeat(16)),
            format!(" sha256:{short}"),
            "sha256:../../../etc/passwd".to_owned(),
            "sha256".to_owned(),
            String::new(),
        ] {
            assert!(Digest::parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_hashed_by_the_algorithm_of_the_digest() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Digest::parse(empty).unwrap();
        assert_eq!(digest.of(b""), digest);
        assert_ne!(digest.of(b"x"), digest);
    }
}
