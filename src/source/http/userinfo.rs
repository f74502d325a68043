//! The credentials that stand in a URL.
//!
//! Refuses to know: where they may be sent.

use url::Url;
use zeroize::Zeroizing;

use crate::source::secret::{Credentials, Secret};

/// Takes the credentials out of `url`, which shows none afterwards.
pub(super) fn taken_from(url: &mut Url) -> Option<Credentials> {
    let password = url.password().map(unescaped).map(Secret::new);
    let user = unescaped(url.username());
    // Only URLs without a host refuse these, and such have no credentials.
    let _ = (url.set_username(""), url.set_password(None));
    (!user.is_empty() || password.is_some()).then_some(Credentials { user, password })
}

/// `text` with its percent escapes undone; what is no escape stays as it is.
fn unescaped(text: &str) -> String {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
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
            let given = taken_from(&mut url).unwrap();
            assert_eq!((given.user.as_str(), given.password.as_ref().map(Secret::reveal)), (user, password));
            assert_eq!(url.as_str(), "http://h/");
        }
        assert!(taken_from(&mut Url::parse("http://h/").unwrap()).is_none());
    }
}
