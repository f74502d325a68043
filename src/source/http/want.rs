//! What a request asks for.
//!
//! Refuses to know: whom it is sent to, and what comes back.

use std::ops::Range;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, IF_RANGE, RANGE};
use reqwest::{Client, RequestBuilder};
use url::Url;
use zeroize::Zeroizing;

use super::facts::Validator;
use super::unsaid::Unsaid;

/// Which bytes are asked for.
pub(super) struct Want<'a> {
    range: Option<String>,
    validator: Option<&'a Validator>,
    accept: Option<&'a str>,
    form: Option<&'a Zeroizing<String>>,
}

impl<'a> Want<'a> {
    /// Everything, as a browser would ask.
    pub(super) fn plain() -> Self {
        Self { range: None, validator: None, accept: None, form: None }
    }

    /// Everything, of one of the media types `accept`.
    pub(super) fn document(accept: &'a str) -> Self {
        Self { accept: Some(accept), ..Self::plain() }
    }

    /// What comes of a form that holds a secret.
    pub(super) fn form(form: &'a Zeroizing<String>) -> Self {
        Self { form: Some(form), ..Self::plain() }
    }

    /// Everything, as a question whether the server knows ranges.
    pub(super) fn probe() -> Self {
        Self { range: Some("bytes=0-".to_owned()), ..Self::plain() }
    }

    /// Everything from `at` on of the object that `validator` names.
    pub(super) fn rest(at: u64, validator: &'a Validator) -> Self {
        Self { range: Some(format!("bytes={at}-")), validator: Some(validator), ..Self::plain() }
    }

    /// A part, which is not empty, of the object that `validator` names.
    pub(super) fn part(part: &Range<u64>, validator: &'a Validator) -> Self {
        let range = format!("bytes={}-{}", part.start, part.end.saturating_sub(1));
        Self { range: Some(range), validator: Some(validator), ..Self::plain() }
    }

    /// Whether what is sent is for the own origin only.
    pub(super) fn is_secret(&self) -> bool {
        self.form.is_some()
    }

    /// `unsaid`, and what this says beside it.
    pub(super) fn add_to(&self, mut unsaid: Unsaid) -> Unsaid {
        if let Some(form) = self.form {
            unsaid.form(form);
        }
        unsaid
    }

    /// The request that says so.
    pub(super) fn request(&self, client: &Client, url: Url) -> RequestBuilder {
        let mut request = match self.form {
            Some(form) => client
                .post(url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                // Wiped with the request.
                .body(Bytes::from_owner(Wiped(form.clone()))),
            None => client.get(url),
        };
        if let Some(range) = &self.range {
            request = request.header(RANGE, range);
        }
        if let Some(tag) = self.validator.and_then(Validator::if_range) {
            request = request.header(IF_RANGE, tag);
        }
        if let Some(types) = self.accept {
            request = request.header(ACCEPT, types);
        }
        request
    }
}

/// A secret body.
struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
