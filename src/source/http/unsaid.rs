//! What requests carry and messages must not repeat, though a server may say it back: some show the
//! request that they refuse.
//!
//! Refuses to know: who reads the messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::authority::basic;
use super::error::HttpError;
use super::userinfo::taken_from;

/// What stands where a secret was.
const HIDDEN: &str = "***";

/// The shortest that is hidden. Shorter ones are no secrets, and would be found in many a word.
const LEAST: usize = 4;

/// The texts that are not repeated.
#[derive(Default)]
pub(super) struct Unsaid(Vec<Zeroizing<String>>);

impl Unsaid {
    /// Adds the values of `headers`, and what they are made of.
    pub(super) fn headers(mut self, headers: &HeaderMap) -> Self {
        for value in headers.values().filter_map(|value| value.to_str().ok()) {
            self.add(value);
            // Of `Basic dTpw` and `Bearer token` the second word counts.
            if let Some((_, proof)) = value.split_once(' ') {
                self.add(proof);
                self.pair(proof);
            }
        }
        self
    }

    /// Adds the credentials and the query of `url`.
    pub(super) fn url(mut self, url: &Url) -> Self {
        if let Some(credentials) = taken_from(&mut url.clone()) {
            self = self.headers(&HeaderMap::from_iter([(AUTHORIZATION, basic(&credentials))]));
        }
        if let Some(query) = url.query() {
            self.form(query);
        }
        self
    }

    /// Adds `text`, which is urlencoded, and every value in it as it is and as it is meant.
    pub(super) fn form(&mut self, text: &str) {
        self.add(text);
        for pair in text.split('&') {
            self.add(pair.split_once('=').map_or(pair, |(_, value)| value));
        }
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            self.add(if value.is_empty() { &name } else { &value });
        }
    }

    /// Adds the pair of name and password that `proof` is in Base64.
    fn pair(&mut self, proof: &str) {
        let Ok(bytes) = STANDARD.decode(proof).map(Zeroizing::new) else { return };
        let Ok(pair) = std::str::from_utf8(&bytes) else { return };
        self.add(pair);
        if let Some((_, password)) = pair.split_once(':') {
            self.add(password);
            // As it stands in a URL.
            let escaped: String = form_urlencoded::byte_serialize(password.as_bytes()).collect();
            self.add(&escaped);
        }
    }

    fn add(&mut self, text: &str) {
        if text.len() >= LEAST {
            self.0.push(text.to_owned().into());
            // The longest first, so that no part of it stays.
            self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
    }

    /// `text` without them.
    pub(super) fn out_of(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
    }

    /// `error` without them, where it tells what a server said.
    pub(super) fn spared(&self, error: HttpError) -> HttpError {
        match error {
            HttpError::Redirect(words) => HttpError::Redirect(self.out_of(&words)),
            HttpError::Encoding(words) => HttpError::Encoding(self.out_of(&words)),
            HttpError::Changed(words) => HttpError::Changed(self.out_of(&words)),
            HttpError::Lie(words) => HttpError::Lie(self.out_of(&words)),
            HttpError::Realm(host, why) => HttpError::Realm(self.out_of(&host), why),
            HttpError::GivenUp { tries, last } => {
                HttpError::GivenUp { tries, last: Box::new(self.spared(*last)) }
            }
            HttpError::Token { realm, cause } => {
                HttpError::Token { realm, cause: Box::new(self.spared(*cause)) }
            }
            HttpError::Outage(inner) => HttpError::Outage(Box::new(self.spared(*inner))),
            // Bodies are spared where they are read, before they are cut.
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn unsaid() -> Unsaid {
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, HeaderValue::from_static("Basic bWU6czNjL3IzdA==")),
            (reqwest::header::COOKIE, HeaderValue::from_static("k00kie")),
        ]);
        Unsaid::default().headers(&headers).url(&Url::parse("https://h/x?sig=a%2Fbcde&v=1&t0ken").unwrap())
    }

    #[test]
    fn what_a_request_carried_is_not_repeated_in_any_form() {
        for (said, shown) in [
            ("no such key", "no such key"),
            ("got Authorization: Basic bWU6czNjL3IzdA==, sorry", "got Authorization: ***, sorry"),
            ("bWU6czNjL3IzdA== me:s3c/r3t s3c/r3t s3c%2Fr3t", "*** *** *** ***"),
            ("k00kie", "***"),
            ("/x?sig=a%2Fbcde&v=1&t0ken", "/x?***"),
            ("a%2Fbcde and a/bcde and t0ken", "*** and *** and ***"),
            ("version 1", "version 1"),
        ] {
            assert_eq!(unsaid().out_of(said), shown);
        }
    }

    #[test]
    fn a_proxys_password_is_known_in_the_forms_that_it_travels_in() {
        let unsaid = Unsaid::default().url(&Url::parse("http://me:s3c%2fr3t@proxy:3128").unwrap());
        for said in ["Basic bWU6czNjL3IzdA==", "bWU6czNjL3IzdA==", "me:s3c/r3t", "s3c/r3t", "s3c%2Fr3t"] {
            assert_eq!(unsaid.out_of(said), "***");
        }
    }

    #[test]
    fn errors_that_quote_a_server_are_spared() {
        let last = Box::new(HttpError::Lie("Content-Range \"k00kie\"".to_owned()));
        let error = unsaid().spared(HttpError::GivenUp { tries: 2, last });
        let words = crate::error::Error::from(error).to_string();
        assert!(words.contains("Content-Range \"***\"") && !words.contains("k00kie"), "{words}");
    }
}
