//! What a source learns beside the bytes, for who wants to know.

use std::fmt;
use std::sync::OnceLock;

use crate::format::digest::Checksum;

/// Facts that are set once, while the source is opened.
#[derive(Debug, Default)]
pub struct Notes {
    media_type: OnceLock<String>,
    image_env: OnceLock<Vec<String>>,
    version: OnceLock<Version>,
    digest: OnceLock<Checksum>,
}

/// What tells the bytes of an image from those that the same place may hold another time.
#[derive(Clone, PartialEq, Eq)]
pub struct Version {
    /// The place: a path or a URL. It may hold a secret, and is for hashing only.
    pub place: String,
    /// What is only the same where the bytes are: an entity tag, a digest, a time of change; and their number.
    pub validator: String,
}

// A derived one would print the place.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").field("validator", &self.validator).finish_non_exhaustive()
    }
}

impl Notes {
    /// The Content-Type of the answer that brings the bytes.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.get().map(String::as_str)
    }

    /// The environment that a container image gives to its containers, as `NAME=value`.
    #[must_use]
    pub fn image_env(&self) -> &[String] {
        self.image_env.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// What tells the image from another version of it, where the source knows.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.version.get()
    }

    /// The digest that the source itself holds the bytes to that it receives, where it has one.
    #[must_use]
    pub fn digest(&self) -> Option<&Checksum> {
        self.digest.get()
    }

    pub(super) fn set_digest(&self, digest: Checksum) {
        self.digest.get_or_init(|| digest);
    }

    pub(super) fn set_version(&self, place: &str, validator: String) {
        self.version.get_or_init(|| Version { place: place.to_owned(), validator });
    }

    pub(super) fn set_media_type(&self, text: &str) {
        self.media_type.get_or_init(|| text.to_owned());
    }

    pub(super) fn set_image_env(&self, env: Vec<String>) {
        self.image_env.get_or_init(|| env);
    }
}
