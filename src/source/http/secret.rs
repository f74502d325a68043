//! The user's name and password, which nothing can print.
//!
//! Refuses to know: where it may be sent; the caller compares origins.

use reqwest::RequestBuilder;
use url::Url;

/// A name and a password. It has neither `Debug` nor `Display`, and never will.
pub(super) struct Secret {
    user: String,
    password: Option<String>,
}

impl Secret {
    /// Takes the credentials out of `url`, which shows none afterwards.
    pub(super) fn taken_from(url: &mut Url) -> Option<Self> {
        let secret = Self { user: unescaped(url.username()), password: url.password().map(unescaped) };
        // Only URLs without a host refuse these, and such have no credentials.
        let _ = (url.set_username(""), url.set_password(None));
        (!secret.user.is_empty() || secret.password.is_some()).then_some(secret)
    }

    /// `request` with these credentials.
    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.user, self.password.as_ref())
    }
}

/// `text` with its percent escapes undone; what is no escape stays as it is.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_url_unescaped() {
        for (text, user, password) in [
            ("http://u:p@h/", "u", Some("p")),
            ("http://u@h/", "u", None),
            ("http://:p@h/", "", Some("p")),
            ("http://a%40b:%C3%A4%3a%zz%2@h/", "a@b", Some("ä:%zz%2")),
        ] {
            let mut url = Url::parse(text).unwrap();
            let secret = Secret::taken_from(&mut url).unwrap();
            assert_eq!((secret.user.as_str(), secret.password.as_deref()), (user, password));
            assert_eq!(url.as_str(), "http://h/");
        }
        assert!(Secret::taken_from(&mut Url::parse("http://h/").unwrap()).is_none());
    }

    #[test]
    fn the_header_that_carries_them_is_marked_as_sensitive() {
        let secret = Secret { user: "u".to_owned(), password: Some("p".to_owned()) };
        let request = secret.sign(reqwest_client().get("http://h/")).build().unwrap();
        let header = request.headers().get("authorization").unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic dTpw");
        assert!(header.is_sensitive());
    }

    fn reqwest_client() -> reqwest::Client {
        super::super::client::Clients::new(1).unwrap().of(super::super::resolve::Guard::None).clone()
    }
}
