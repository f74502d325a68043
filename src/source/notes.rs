//! What a source learns beside the bytes, for who wants to know.

use std::sync::OnceLock;

/// Facts that are set once, while the source is opened.
#[derive(Debug, Default)]
pub struct Notes {
    media_type: OnceLock<String>,
    image_env: OnceLock<Vec<String>>,
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

    pub(super) fn set_media_type(&self, text: &str) {
        self.media_type.get_or_init(|| text.to_owned());
    }

    pub(super) fn set_image_env(&self, env: Vec<String>) {
        self.image_env.get_or_init(|| env);
    }
}
