//! The headers of an answer that matter, and the validators among them (RFC 9110, 8.8 and 14.4).
//!
//! Refuses to know: sockets and time, and what was asked.

use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED,
    TRANSFER_ENCODING,
};

use super::date::http_date;
use super::error::HttpError;

/// The headers of one answer, read once.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) status: StatusCode,
    /// Bytes of the body, where the framing tells.
    pub(super) body_len: Option<u64>,
    pub(super) chunked: bool,
    pub(super) validator: Option<Validator>,
    pub(super) range: Result<ContentRange, String>,
    pub(super) multipart: bool,
    last_modified: Option<String>,
}

impl Facts {
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body_len: Option<u64>) -> Self {
        let kind = text(headers, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let coding = text(headers, &TRANSFER_ENCODING).unwrap_or_default().to_ascii_lowercase();
        Self {
            status,
            body_len,
            chunked: coding.contains("chunked"),
            validator: Validator::of(headers),
            range: match text(headers, &CONTENT_RANGE) {
                None => Err("a 206 without a Content-Range".to_owned()),
                Some(range) => ContentRange::parse(range).ok_or_else(|| format!("Content-Range {range:?}")),
            },
            multipart: kind.starts_with("multipart/"),
            last_modified: text(headers, &LAST_MODIFIED).map(str::to_owned),
        }
    }
}

/// A proof that two answers are about the same bytes; only a strong one is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Validator {
    /// An entity tag, quotes included.
    Tag(String),
    /// A Last-Modified date.
    Date(String),
    /// Nothing that the server says: the caller knows the digest of the whole.
    Digest,
}

impl Validator {
    /// The strong validator of an answer. A date may stand in only where there is no tag at all,
    /// and only when the answer is at least a minute younger (RFC 9110, 8.8.2.2).
    fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(ETAG) {
            let tag = text(headers, &ETAG)?;
            let strong = tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"');
            return strong.then(|| Self::Tag(tag.to_owned()));
        }
        let modified = text(headers, &LAST_MODIFIED)?;
        let age = http_date(text(headers, &DATE)?)?.checked_sub(http_date(modified)?)?;
        (age >= 60).then(|| Self::Date(modified.to_owned()))
    }

    /// The value of an If-Range header, where there is something to say.
    pub(super) fn if_range(&self) -> Option<&str> {
        match self {
            Self::Tag(text) | Self::Date(text) => Some(text),
            Self::Digest => None,
        }
    }

    /// Compares with what a later answer says.
    ///
    /// # Errors
    /// [`HttpError::Changed`] when the answer is about other bytes, or does not say.
    pub(super) fn compare(&self, later: &Facts) -> Result<(), HttpError> {
        match (self, &later.validator, &later.last_modified) {
            (Self::Digest, ..) => Ok(()),
            (Self::Tag(first), Some(Self::Tag(now)), _) if first == now => Ok(()),
            (Self::Tag(first), Some(Self::Tag(now)), _) => {
                Err(HttpError::Changed(format!("its ETag was {first} and is now {now}")))
            }
            (Self::Tag(first), ..) => {
                Err(HttpError::Changed(format!("its ETag was {first} and is now weak or missing")))
            }
            // An answer to If-Range may leave the date out (RFC 9110, 15.3.7).
            (Self::Date(_), _, None) if later.status == StatusCode::PARTIAL_CONTENT => Ok(()),
            (Self::Date(first), _, Some(now)) if first == now => Ok(()),
            (Self::Date(first), _, now) => Err(HttpError::Changed(format!(
                "its Last-Modified was {first} and is now {}",
                now.as_deref().unwrap_or("missing")
            ))),
        }
    }
}

/// `bytes START-END/TOTAL`, with START ≤ END < TOTAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// The first byte.
    pub(super) start: u64,
    /// One past the last byte.
    pub(super) end: u64,
    /// `None` for `*`.
    pub(super) total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (start, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let ordered = start <= last && total.is_none_or(|total| last < total);
        (unit.eq_ignore_ascii_case("bytes") && ordered).then_some(Self {
            start,
            end: last.checked_add(1)?,
            total,
        })
    }
}

/// The Content-Encoding of an answer that is not plain bytes.
pub(super) fn foreign_encoding(headers: &HeaderMap) -> Option<String> {
    let mut all =
        headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    all.find(|value| !value.is_empty() && !value.eq_ignore_ascii_case("identity"))
        .map(|value| value.escape_debug().take(40).collect())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Digits only: `u64::from_str` would take a sign.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "Fri, 01 Nov 2024 00:00:00 GMT";

    fn facts(status: u16, lines: &[(&'static str, &str)]) -> Facts {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Facts::of(StatusCode::from_u16(status).unwrap(), &headers, None)
    }

    #[test]
    fn only_strong_validators_count() {
        let tag = |text: &str| Some(Validator::Tag(text.to_owned()));
        let date = || Some(Validator::Date(DAY.to_owned()));
        let (later, soon) = ("Fri, 01 Nov 2024 00:01:00 GMT", "Fri, 01 Nov 2024 00:00:59 GMT");
        for (lines, validator) in [
            (vec![("etag", "\"a\"")], tag("\"a\"")),
            (vec![("etag", "\"\"")], tag("\"\"")),
            (vec![("etag", "W/\"a\"")], None),
            (vec![("etag", "a")], None),
            (vec![("etag", "\"")], None),
            (vec![("last-modified", DAY), ("date", later)], date()),
            (vec![("last-modified", DAY), ("date", soon)], None),
            (vec![("last-modified", later), ("date", DAY)], None),
            (vec![("last-modified", DAY)], None),
            (vec![("last-modified", DAY), ("date", later), ("etag", "W/\"a\"")], None),
            (vec![], None),
        ] {
            assert_eq!(facts(206, &lines).validator, validator, "{lines:?}");
        }
    }

    #[test]
    fn a_later_answer_must_name_the_same_version() {
        let (tag, date) = (Validator::Tag("\"a\"".to_owned()), Validator::Date(DAY.to_owned()));
        for (validator, status, lines, same) in [
            (&tag, 206, vec![("etag", "\"a\"")], true),
            (&tag, 206, vec![("etag", "\"b\"")], false),
            (&tag, 206, vec![("etag", "W/\"a\"")], false),
            (&tag, 206, vec![], false),
            (&date, 206, vec![("last-modified", DAY)], true),
            (&date, 206, vec![], true),
            (&date, 200, vec![], false),
            (&date, 206, vec![("last-modified", "Fri, 01 Nov 2024 00:00:01 GMT")], false),
        ] {
            assert_eq!(validator.compare(&facts(status, &lines)).is_ok(), same, "{validator:?} {lines:?}");
        }
    }

    #[test]
    fn a_content_range_is_taken_word_for_word() {
        let range = |start, end, total| Some(ContentRange { start, end, total });
        for (text, parsed) in [
            ("bytes 0-9/10", range(0, 10, Some(10))),
            ("Bytes 5-5/*", range(5, 6, None)),
            ("bytes 0-10/10", None),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("bytes=0-9/10", None),
            ("items 0-9/10", None),
            ("bytes +0-9/10", None),
            ("bytes 0-9", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-99999999999999999999/*", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), parsed, "{text}");
        }
    }

    #[test]
    fn every_encoding_but_identity_is_foreign() {
        for (lines, foreign) in [
            (vec![], None),
            (vec!["identity"], None),
            (vec!["gzip"], Some("gzip")),
            (vec!["identity", "br"], Some("br")),
            (vec!["gzip, gzip"], Some("gzip, gzip")),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(CONTENT_ENCODING, line.parse().unwrap());
            }
            assert_eq!(foreign_encoding(&headers).as_deref(), foreign);
        }
    }
}
