//! What an answer without the object means, in words.
//!
//! Refuses to know: sockets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use super::date::http_date;
use super::error::HttpError;

/// Who refuses.
#[derive(Clone, Copy)]
pub(super) enum Side<'a> {
    /// Somebody who got what the user gave to prove who asks, if anything.
    Own,
    /// The origin of this URL, which did not get it.
    Foreign(&'a Url),
}

/// What an answer with `status` means; `body` is what it says.
pub(super) fn refusal(status: u16, headers: &HeaderMap, body: String, side: Side<'_>) -> HttpError {
    match status {
        408 | 429 | 500 | 502 | 503 | 504 => HttpError::Busy { status, wait: asked_wait(headers), body },
        501 | 505..=599 => HttpError::Failing { status, body },
        other => HttpError::Refused { status: other, words: words(other, side), body },
    }
}

fn words(status: u16, side: Side<'_>) -> String {
    match (status, side) {
        (401 | 403, Side::Foreign(url)) => {
            return format!(
                "the source redirects to {}, to which password and headers were not sent; \
                 --location-trusted sends them there",
                url.origin().ascii_serialization()
            );
        }
        (401, _) => "credentials are needed, or those given are wrong",
        (403, _) => "access is denied; credentials may be missing or wrong",
        (404 | 410, _) => "not found",
        (407, _) => "the proxy wants credentials, or those in its URL are wrong",
        (300..=399, _) => "a redirect that cannot be followed",
        (200..=299, _) => "which is not the file",
        _ => "the request is refused",
    }
    .to_owned()
}

/// The wait that a Retry-After header asks for, as seconds or as a date.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(http_date(text)?).saturating_sub(now))
}

/// What a server says in the body of an error, as far as a message may show it: `: words`, or nothing.
pub(super) fn shown(body: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if text.is_empty() || lower.contains("<html") || lower.contains("<!doctype") {
        return String::new();
    }
    format!(": {}", crate::format::shown::shown(text, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_is_shown_short_and_harmless() {
        assert_eq!(shown(b""), "");
        assert_eq!(shown(b" no such\nkey \x1b[31m\n"), ": no such\\nkey \\u{1b}[31m");
        assert_eq!(shown("\u{202e}it's \"é\"".as_bytes()), ": \\u{202e}it's \"é\"");
        assert_eq!(shown(b"<!DOCTYPE html><html>wall</html>"), "");
        assert_eq!(
            shown(b"<Error><Code>AccessDenied</Code></Error>"),
            ": <Error><Code>AccessDenied</Code></Error>"
        );
        assert_eq!(shown(&[b'E'; 5000]).chars().count(), 203);
        assert_eq!(shown(&[0xff, b'a']), ": \u{fffd}a");
    }

    #[test]
    fn a_stranger_that_refuses_is_told_from_the_source() {
        let url = Url::parse("https://other.test/x?token").unwrap();
        let said = refusal(401, &HeaderMap::new(), String::new(), Side::Foreign(&url)).to_string();
        assert!(said.contains("https://other.test, to which") && !said.contains("token"), "{said}");
        let said = refusal(404, &HeaderMap::new(), String::new(), Side::Foreign(&url)).to_string();
        assert!(!said.contains("location-trusted"), "{said}");
    }
}
