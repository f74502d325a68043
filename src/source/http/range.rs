//! What an answer proves about the object behind it, and how a stream may go on after a break.
//!
//! Refuses to know: sockets and time.

use std::ops::Range;

use reqwest::StatusCode;

use super::error::HttpError;
use super::facts::{ContentRange, Facts, Validator};

/// How a stream goes on after it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// At the byte where it broke: the server has proved its ranges.
    Range,
    /// At the byte where it broke if the server can, else from the first byte.
    RangeOrRestart,
    /// From the first byte, comparing what came before.
    Restart,
}

/// What the first answer, to `Range: bytes=0-`, amounts to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Ranges are proved; the body holds the first `end` bytes of `total`.
    Random { total: u64, end: u64, validator: Validator },
    /// The body is the whole object.
    Stream { len: Option<u64>, resume: Resume, validator: Option<Validator> },
}

impl Probe {
    /// What is only the same where the object is, in words: its validator and its length.
    pub(super) fn version(&self) -> Option<String> {
        let (validator, len) = match self {
            Self::Random { total, validator, .. } => (Some(validator), Some(*total)),
            Self::Stream { len, validator, .. } => (validator.as_ref(), *len),
        };
        let validator = match validator? {
            Validator::Tag(tag) => format!("ETag {tag}"),
            Validator::Date(date) => format!("Last-Modified {date}"),
            Validator::Digest => return None,
        };
        Some(len.map_or_else(|| validator.clone(), |len| format!("{validator}, {len} bytes")))
    }
}

/// Judges the first answer; `None` when the same question without a range should be asked instead.
///
/// # Errors
/// [`HttpError::Lie`] when its parts contradict each other.
pub(super) fn judge_probe(facts: Facts) -> Result<Option<Probe>, HttpError> {
    if facts.status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(None);
    }
    if facts.status != StatusCode::PARTIAL_CONTENT {
        let framed = facts.body_len.is_some() && facts.validator.is_some();
        let resume = if framed { Resume::RangeOrRestart } else { Resume::Restart };
        return Ok(Some(Probe::Stream { len: facts.body_len, resume, validator: facts.validator }));
    }
    let range = checked_range(&facts, 0, None)?;
    let Some(total) = range.total else { return Ok(None) };
    match (facts.validator, facts.body_len) {
        (Some(validator), Some(_)) => Ok(Some(Probe::Random { total, end: range.end, validator })),
        (validator, _) if range.end == total => {
            Ok(Some(Probe::Stream { len: Some(total), resume: Resume::Restart, validator }))
        }
        _ => Ok(None),
    }
}

/// Judges an answer to a plain GET: all of the object, whose length is returned, or nothing.
///
/// # Errors
/// [`HttpError::Lie`] for a part of it, [`HttpError::Refused`] for none.
pub(super) fn judge_plain(facts: &Facts) -> Result<Option<u64>, HttpError> {
    match facts.status {
        StatusCode::OK => Ok(facts.body_len),
        StatusCode::PARTIAL_CONTENT => Err(lie("a 206 to a request without a range".to_owned())),
        other => Err(HttpError::Refused {
            status: other.as_u16(),
            words: "no body".to_owned(),
            body: String::new(),
        }),
    }
}

/// Judges a later answer: the part of an object of `total` bytes that starts at `start` and ends
/// at `end` or, legally, before. Returns where it ends.
///
/// # Errors
/// [`HttpError::Changed`] when the object is another one, [`HttpError::Lie`] when the answer does
/// not fit the question.
pub(super) fn judge_part(
    facts: &Facts,
    validator: &Validator,
    total: u64,
    wanted: Range<u64>,
) -> Result<u64, HttpError> {
    if facts.status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Err(HttpError::Changed(format!("it had {total} bytes and now has none at {}", wanted.start)));
    }
    validator.compare(facts)?;
    if facts.status != StatusCode::PARTIAL_CONTENT {
        return Err(lie(format!("{} to a range, although ranges worked before", facts.status.as_u16())));
    }
    let range = checked_range(facts, wanted.start, Some(wanted.end))?;
    match range.total {
        Some(now) if now == total => {}
        Some(now) => return Err(HttpError::Changed(format!("it had {total} bytes and now has {now}"))),
        None => return Err(lie("Content-Range without a total, which was there before".to_owned())),
    }
    match facts.body_len {
        Some(_) => Ok(range.end),
        None => Err(lie("a 206 without a Content-Length".to_owned())),
    }
}

/// The Content-Range of a 206 that starts at `start`, does not pass `end`, and fits the body.
fn checked_range(facts: &Facts, start: u64, end: Option<u64>) -> Result<ContentRange, HttpError> {
    if facts.multipart {
        return Err(lie("a multipart answer, although one range was asked".to_owned()));
    }
    let range = *facts.range.as_ref().map_err(|words| lie(words.clone()))?;
    if range.start != start {
        return Err(lie(format!("the range was asked from byte {start} and starts at {}", range.start)));
    }
    if end.is_some_and(|end| range.end > end) {
        return Err(lie(format!("the range ends at {}, past what was asked", range.end)));
    }
    let want = range.end.saturating_sub(start);
    match facts.body_len {
        Some(len) if len != want => {
            Err(lie(format!("Content-Length is {len}, but the Content-Range has {want} bytes")))
        }
        _ => Ok(range),
    }
}

fn lie(words: String) -> HttpError {
    HttpError::Lie(words)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    const TAG: (&str, &str) = ("etag", "\"a\"");

    fn facts(status: u16, lines: &[(&'static str, &str)], body_len: Option<u64>) -> Facts {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Facts::of(StatusCode::from_u16(status).unwrap(), &headers, body_len)
    }

    fn tag() -> Validator {
        Validator::Tag("\"a\"".to_owned())
    }

    #[test]
    fn the_first_answer_is_random_a_stream_or_no_use() {
        let stream = |len, resume, validator| Some(Probe::Stream { len, resume, validator });
        let random = |total, end| Some(Probe::Random { total, end, validator: tag() });
        let whole = ("content-range", "bytes 0-9/10");
        for (status, lines, body_len, probe) in [
            (206, vec![TAG, whole], Some(10), random(10, 10)),
            (206, vec![TAG, ("content-range", "bytes 0-4/10")], Some(5), random(10, 5)),
            (206, vec![TAG, whole], None, stream(Some(10), Resume::Restart, Some(tag()))),
            (206, vec![whole], Some(10), stream(Some(10), Resume::Restart, None)),
            (206, vec![("content-range", "bytes 0-4/10")], Some(5), None),
            (206, vec![TAG, ("content-range", "bytes 0-4/10")], None, None),
            (206, vec![TAG, ("content-range", "bytes 0-9/*")], Some(10), None),
            (416, vec![TAG], Some(0), None),
            (200, vec![TAG], Some(10), stream(Some(10), Resume::RangeOrRestart, Some(tag()))),
            (200, vec![TAG], None, stream(None, Resume::Restart, Some(tag()))),
            (200, vec![], Some(10), stream(Some(10), Resume::Restart, None)),
        ] {
            assert_eq!(judge_probe(facts(status, &lines, body_len)).unwrap(), probe, "{status} {lines:?}");
        }
    }

    #[test]
    fn a_first_answer_that_contradicts_itself_is_a_lie() {
        for (lines, body_len) in [
            (vec![TAG], 10),
            (vec![TAG, ("content-range", "bytes 0-9/5")], 10),
            (vec![TAG, ("content-range", "bytes 3-9/10")], 7),
            (vec![TAG, ("content-range", "bytes 0-9/10")], 9),
            (vec![TAG, ("content-range", "bytes 0-9/10")], 11),
            (vec![TAG, ("content-range", "bytes 0-9/10"), ("content-type", "Multipart/byteranges")], 10),
        ] {
            let error = judge_probe(facts(206, &lines, Some(body_len))).unwrap_err();
            assert!(matches!(error, HttpError::Lie(_)), "{lines:?}: {error}");
        }
    }

    #[test]
    fn a_later_part_fits_the_question_or_is_an_error() {
        let part = |status, lines: &[(&'static str, &str)], body_len| {
            judge_part(&facts(status, lines, body_len), &tag(), 100, 10..20)
                .map_err(|error| error.to_string())
        };
        let range = |text| vec![TAG, ("content-range", text)];
        assert_eq!(part(206, &range("bytes 10-19/100"), Some(10)), Ok(20));
        assert_eq!(part(206, &range("bytes 10-14/100"), Some(5)), Ok(15));
        for (status, lines, body_len, words) in [
            (206, range("bytes 11-19/100"), Some(9), "starts at 11"),
            (206, range("bytes 10-20/100"), Some(11), "past what was asked"),
            (206, range("bytes 10-19/101"), Some(10), "now has 101"),
            (206, range("bytes 10-19/*"), Some(10), "without a total"),
            (206, range("bytes 10-19/100"), Some(9), "Content-Length is 9"),
            (206, range("bytes 10-19/100"), None, "without a Content-Length"),
            (206, vec![("content-range", "bytes 10-19/100")], Some(10), "ETag"),
            (206, vec![TAG], Some(10), "without a Content-Range"),
            (200, vec![TAG], Some(100), "200 to a range"),
            (416, vec![TAG], Some(0), "now has none at 10"),
        ] {
            let error = part(status, &lines, body_len).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_plain_answer_is_all_or_nothing() {
        assert_eq!(judge_plain(&facts(200, &[], Some(7))).unwrap(), Some(7));
        assert!(judge_plain(&facts(206, &[], Some(7))).is_err());
        assert!(judge_plain(&facts(416, &[], Some(7))).is_err());
    }
}
