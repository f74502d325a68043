//! Small answers that are read whole, and objects whose content is known by its digest.
//!
//! Refuses to know: what they say.

use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use zeroize::Zeroizing;

use super::error::HttpError;
use super::facts::Validator;
use super::range::Resume;
use super::request::Remote;
use super::retry::Patience;
use super::stream::{Object, stream};
use super::want::Want;
use crate::io::Sequential;

/// A small answer.
pub(in crate::source) struct Document {
    /// Its headers.
    pub(in crate::source) headers: HeaderMap,
    /// Its bytes.
    pub(in crate::source) body: Vec<u8>,
}

impl Remote {
    /// The whole answer, of one of the media types `accept`, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// Every [`HttpError`] that a request can meet, after the usual tries;
    /// [`HttpError::TooLarge`] above the limit.
    pub(in crate::source) async fn document(
        &self,
        accept: &str,
        limit: usize,
    ) -> Result<Document, HttpError> {
        self.whole(&Want::document(accept), limit).await
    }

    /// The whole answer to a POST of `form`, which holds a secret: no redirect to another origin is
    /// followed.
    ///
    /// # Errors
    /// As for [`Remote::document`].
    pub(in crate::source) async fn answer_to(
        &self,
        form: &Zeroizing<String>,
        limit: usize,
    ) -> Result<Document, HttpError> {
        self.whole(&Want::form(form), limit).await
    }

    async fn whole(&self, want: &Want<'_>, limit: usize) -> Result<Document, HttpError> {
        let mut patience = Patience::default();
        loop {
            match self.once(want, limit).await {
                Ok(document) => return Ok(document),
                Err(error) => self.rest(&mut patience, error).await?,
            }
        }
    }

    async fn once(&self, want: &Want<'_>, limit: usize) -> Result<Document, HttpError> {
        let mut response = self.ask(want).await?;
        if response.status() != StatusCode::OK {
            return Err(HttpError::Lie(format!("{} to a request for all", response.status().as_u16())));
        }
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            body.extend_from_slice(&chunk);
            if body.len() > limit {
                return Err(HttpError::TooLarge { limit });
            }
        }
        Ok(Document { headers, body })
    }

    /// The object of `len` bytes that lies here. It goes on after a break wherever the server
    /// lets it: the caller checks the digest of the whole.
    pub(in crate::source) fn blob(self: Arc<Self>, len: u64) -> Sequential {
        let object =
            Object { len: Some(len), resume: Resume::RangeOrRestart, validator: Some(Validator::Digest) };
        stream(self, object, Vec::new(), None)
    }
}
