//! The part of a file that a request asks for (RFC 9110, 14).
//!
//! Refuses to know: what the file holds. Several ranges in one request count as none: the whole file
//! is a legal answer to them.

/// What of a file is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// The bytes from the first number up to, but without, the second; at least one.
    Part(u64, u64),
    /// Nothing: the file ends before.
    Outside,
}

/// What `range`, the value of a Range header, asks of a file of `len` bytes.
pub(super) fn wanted(range: &str, len: u64) -> Wanted {
    let Some(asked) = parse(range) else { return Wanted::Whole };
    let (start, end) = match asked {
        (Some(first), Some(last)) => (first, last.saturating_add(1).min(len)),
        (Some(first), None) => (first, len),
        (None, Some(count)) => (len.saturating_sub(count), len),
        (None, None) => return Wanted::Whole,
    };
    if start < end { Wanted::Part(start, end) } else { Wanted::Outside }
}

/// The first and the last byte; the last so many where the first is none.
fn parse(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, set) = range.split_once('=')?;
    let (first, last) = set.trim().split_once('-')?;
    let asked = (number(first)?, number(last)?);
    let ordered = !matches!(asked, (Some(first), Some(last)) if last < first);
    (unit.trim().eq_ignore_ascii_case("bytes") && ordered).then_some(asked)
}

/// Digits or nothing at all. More than fits is as good as the most.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served_and_several_are_the_whole() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0, 1)),
            ("bytes=0-9", Wanted::Part(0, 10)),
            ("Bytes = 2-99", Wanted::Part(2, 10)),
            ("bytes=9-", Wanted::Part(9, 10)),
            ("bytes=-3", Wanted::Part(7, 10)),
            ("bytes=-30", Wanted::Part(0, 10)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0, 10)),
            ("bytes=10-", Wanted::Outside),
            ("bytes=10-12", Wanted::Outside),
            ("bytes=99999999999999999999999-", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Outside);
    }
}
