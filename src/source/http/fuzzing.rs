//! What the fuzz targets ask of the headers of an answer.

use std::ops::Range;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::facts::{Facts, Validator};
use super::range::{Probe, judge_part, judge_plain, judge_probe};

/// An answer as it came.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Names and values; what is no header is left out.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Bytes of its body, where the framing tells.
    pub body_len: Option<u64>,
}

impl Answer<'_> {
    /// Where the first part ends and the bytes in all, when the answer proves ranges.
    #[must_use]
    pub fn proved(&self) -> Option<(u64, u64)> {
        let facts = self.facts()?;
        // No status is too odd to be judged.
        let _ = judge_plain(&facts);
        match judge_probe(facts) {
            Ok(Some(Probe::Random { total, end, .. })) => Some((end, total)),
            _ => None,
        }
    }

    fn facts(&self) -> Option<Facts> {
        let mut map = HeaderMap::new();
        for (name, value) in self.headers {
            let pair = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
            if let (Ok(name), Ok(value)) = pair {
                map.append(name, value);
            }
        }
        Some(Facts::of(StatusCode::from_u16(self.status).ok()?, &map, self.body_len))
    }
}

/// Where `answer` ends, as an answer to a request for `wanted` of an object of `total` bytes with the
/// entity tag `"a"`.
#[must_use]
pub fn part_end(answer: &Answer<'_>, total: u64, wanted: Range<u64>) -> Option<u64> {
    judge_part(&answer.facts()?, &Validator::Tag("\"a\"".to_owned()), total, wanted).ok()
}

/// The first byte, the end and the total of a Content-Range.
#[must_use]
pub fn content_range(value: &[u8]) -> Option<(u64, u64, Option<u64>)> {
    let headers = [(&b"content-range"[..], value)];
    let range = Answer { status: 206, headers: &headers, body_len: None }.facts()?.range.ok()?;
    Some((range.start, range.end, range.total))
}

/// Seconds since 1970 of a date in a header.
#[must_use]
pub fn http_date(text: &str) -> Option<u64> {
    super::date::http_date(text)
}
