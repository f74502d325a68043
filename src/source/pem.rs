//! What is wrong with a PEM file, without a byte of it: keys are PEM files, and the library quotes them.

use std::io;

use rustls::pki_types::pem;

/// A PEM file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PemError {
    /// It cannot be read.
    #[error(transparent)]
    Unread(io::Error),
    /// It is damaged.
    #[error("{0}")]
    Damaged(&'static str),
}

impl From<pem::Error> for PemError {
    fn from(error: pem::Error) -> Self {
        Self::Damaged(match error {
            pem::Error::Io(cause) => return Self::Unread(cause),
            pem::Error::MissingSectionEnd { .. } => "a section has no END line",
            pem::Error::IllegalSectionStart { .. } => "a BEGIN line is damaged",
            pem::Error::Base64Decode(_) => "a section is no Base64",
            pem::Error::SectionTooLarge => "a section has more than 10 MB",
            pem::Error::NoItemsFound => "it does not hold what it should",
            _ => "it is no PEM file",
        })
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_damaged_key_is_refused_without_a_byte_of_it() {
        for (text, words) in [
            ("-----BEGIN PRIVATE KEY--\nczNjcjN0\n", "BEGIN line"),
            ("-----BEGIN PRIVATE KEY-----\nczNjcjN0\n", "no END line"),
            ("-----BEGIN PRIVATE KEY-----\n!czNjcjN0\n-----END PRIVATE KEY-----\n", "no Base64"),
            ("czNjcjN0", "does not hold"),
        ] {
            let error = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(PemError::from).unwrap_err();
            let all = format!("{error} {error:?}");
            assert!(all.contains(words), "{all}");
            assert!(!all.contains("czNj") && !all.contains("45, 45"), "{all}");
        }
    }
}
