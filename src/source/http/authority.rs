//! What a request carries to prove who asks, and what follows when that is not enough.
//!
//! Refuses to know: origins. The request sends it to the origin that it is for, and nowhere else.

use std::future::Future;
use std::pin::Pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::error::HttpError;
use crate::source::options::NetworkOptions;
use crate::source::secret::Credentials;
use crate::source::setting::{self, SettingError};

/// Whether a request is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Again {
    /// It will carry something new.
    Yes,
    /// It would be the same.
    No,
}

/// What renewing comes to, some time later.
pub(in crate::source) type Renewal<'a> = Pin<Box<dyn Future<Output = Result<Again, HttpError>> + Send + 'a>>;

/// What proves who asks.
pub(in crate::source) trait Authority: Send + Sync {
    /// The headers of a request to the origin that this is for.
    fn headers(&self) -> HeaderMap;

    /// Makes what it can of a 401 with the headers `answer`.
    fn renew<'a>(&'a self, answer: &'a HeaderMap) -> Renewal<'a>;
}

/// Headers that stay the same: a user's password, and what else the user wants sent.
#[derive(Default)]
pub(in crate::source) struct Fixed(HeaderMap);

impl Fixed {
    /// What `options` say, and the credentials that stood in the URL.
    ///
    /// # Errors
    /// [`SettingError`] for what cannot be read or makes no sense together.
    pub(in crate::source) fn new(
        options: &NetworkOptions,
        in_url: Option<Credentials>,
    ) -> Result<Self, SettingError> {
        let mut headers = setting::headers(options)?;
        if let Some(credentials) = setting::credentials(options, in_url)? {
            if headers.contains_key(AUTHORIZATION) {
                return Err(SettingError::TwoProofs);
            }
            headers.insert(AUTHORIZATION, basic(&credentials));
        }
        Ok(Self(headers))
    }
}

impl Authority for Fixed {
    fn headers(&self) -> HeaderMap {
        self.0.clone()
    }

    fn renew<'a>(&'a self, _answer: &'a HeaderMap) -> Renewal<'a> {
        Box::pin(std::future::ready(Ok(Again::No)))
    }
}

/// The value of an Authorization header (RFC 7617).
pub(in crate::source) fn basic(credentials: &Credentials) -> HeaderValue {
    let password = credentials.password.as_ref().map_or("", |password| password.reveal());
    let pair = Zeroizing::new(format!("{}:{password}", credentials.user));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    // Base64 has no byte that a header may not have.
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::secret::Secret;

    fn user() -> Option<Credentials> {
        Some(Credentials { user: "u".to_owned(), password: Some(Secret::new("p".to_owned())) })
    }

    #[test]
    fn the_header_that_carries_a_password_is_marked_as_sensitive() {
        let headers = Fixed::new(&NetworkOptions::default(), user()).unwrap().headers();
        let value = headers.get(AUTHORIZATION).unwrap();
        assert_eq!(value, "Basic dTpw");
        assert!(value.is_sensitive());
    }

    #[test]
    fn two_proofs_are_one_too_many() {
        let options = NetworkOptions {
            headers: vec![Secret::new("authorization: Bearer x".to_owned())],
            ..Default::default()
        };
        assert!(matches!(Fixed::new(&options, user()), Err(SettingError::TwoProofs)));
        assert_eq!(Fixed::new(&options, None).unwrap().headers().get(AUTHORIZATION).unwrap(), "Bearer x");
    }
}
