//! The records of a PAX header, `LENGTH KEY=VALUE\n` each: those that matter to us.
//!
//! Refuses to know: the header that they amend. What is malformed is refused, never passed over.

use super::ArchiveError;
use super::sparse::{Extent, push};

/// A time as an archive gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// Seconds since 1970.
    pub(super) seconds: i64,
    /// Nanoseconds after them.
    pub(super) nanos: u32,
}

/// What the records say; none means that the header holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) sparse: Option<Box<Sparse>>,
}

/// What the records say of a sparse file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// The size with its holes.
    pub(super) size: Option<u64>,
    /// Its pieces, of versions 0.0 and 0.1.
    pub(super) extents: Vec<Extent>,
    /// The start of a piece whose length has not come yet.
    open: Option<u64>,
}

/// Why records are refused.
pub(super) enum Flaw {
    Malformed(&'static str),
    Refused(ArchiveError),
}

impl From<&'static str> for Flaw {
    fn from(why: &'static str) -> Self {
        Self::Malformed(why)
    }
}

impl From<ArchiveError> for Flaw {
    fn from(error: ArchiveError) -> Self {
        Self::Refused(error)
    }
}

/// The records of the header of one member.
pub(super) fn parse(mut bytes: &[u8]) -> Result<Pax, Flaw> {
    let mut pax = Pax::default();
    while !bytes.is_empty() {
        let record;
        (record, bytes) = next(bytes)?;
        pax.take(record)?;
    }
    if pax.sparse.as_ref().is_some_and(|sparse| sparse.open.is_some()) {
        return Err("a PAX header ends within the list of a sparse file's pieces".into());
    }
    Ok(pax)
}

/// Checks the records of a header for all members, of which none may say what only one can have.
pub(super) fn check_global(bytes: &[u8]) -> Result<(), Flaw> {
    let pax = parse(bytes)?;
    let own = pax.path.is_some() || pax.link.is_some() || pax.size.is_some() || pax.sparse.is_some();
    if own { Err("a PAX header gives all members one name or one size".into()) } else { Ok(()) }
}

/// One record.
struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

/// The first record of `bytes`, and the bytes after it.
fn next(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), &'static str> {
    split(bytes).ok_or("a record of a PAX header is malformed")
}

fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (digits, _) = bytes.split_at_checked(bytes.iter().position(|byte| *byte == b' ')?)?;
    let len = decimal(digits).and_then(|len| usize::try_from(len).ok())?;
    let (record, rest) = bytes.split_at_checked(len)?;
    let body = record.get(digits.len().checked_add(1)?..)?.strip_suffix(b"\n")?;
    let (key, value) = body.split_at_checked(body.iter().position(|byte| *byte == b'=')?)?;
    let value = value.strip_prefix(b"=")?;
    (!key.is_empty()).then_some((Record { key, value }, rest))
}

impl Pax {
    fn take(&mut self, Record { key, value }: Record<'_>) -> Result<(), Flaw> {
        match key {
            // An empty value takes back what an earlier header said.
            b"path" => self.path = Some(value.to_vec()).filter(|path| !path.is_empty()),
            b"linkpath" => self.link = Some(value.to_vec()).filter(|link| !link.is_empty()),
            b"size" => self.size = Some(size(value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or("a PAX header's mtime is no time")?),
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.get_or_insert_default().take(key, value)?;
                }
            }
        }
        Ok(())
    }
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Flaw> {
        match key {
            b"major" => self.major = Some(size(value)?),
            b"minor" => self.minor = Some(size(value)?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(size(value)?),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').filter(|_| !value.is_empty());
                numbers.map(size).try_for_each(|number| self.number(number?))?;
            }
            b"offset" | b"numbytes" => {
                if self.open.is_some() != (key == b"numbytes") {
                    return Err("a PAX header's list of a sparse file's pieces is out of order".into());
                }
                self.number(size(value)?)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The next number of the list: starts and lengths alternate.
    fn number(&mut self, value: u64) -> Result<(), Flaw> {
        match self.open.take() {
            None => self.open = Some(value),
            Some(at) => push(&mut self.extents, Extent { at, len: value })?,
        }
        Ok(())
    }
}

fn size(value: &[u8]) -> Result<u64, &'static str> {
    decimal(value)
        .filter(|size| i64::try_from(*size).is_ok())
        .ok_or("a PAX header's number is no number, or larger than any file")
}

/// A number of decimal digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    // `parse` takes a sign too.
    let digits = str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// `123`, `-123.25`: seconds, of which more digits than nine are cut.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(halves.next()?)?).ok()?;
    let fraction = halves.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos: 0 },
        // Nanoseconds count forwards, also before 1970.
        (true, _) => Time { seconds: (-seconds).checked_sub(1)?, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One record, its length in front.
    pub(in crate::archive) fn record_of(key: &str, value: &str) -> String {
        let body = format!(" {key}={value}\n");
        let digits = (1..).find(|digits| (body.len() + digits).to_string().len() == *digits).unwrap();
        format!("{}{body}", body.len() + digits)
    }

    fn parsed(text: &str) -> Option<Pax> {
        parse(text.as_bytes()).ok()
    }

    #[test]
    fn records_amend_the_header() {
        let text = record_of("path", "d\u{e9}/a=b\nc") + &record_of("size", "77") + &record_of("uid", "x");
        let pax = parsed(&(text + &record_of("mtime", "-1.25"))).unwrap();
        assert_eq!(pax.path.unwrap(), "d\u{e9}/a=b\nc".as_bytes());
        assert_eq!((pax.size, pax.mtime), (Some(77), Some(Time { seconds: -2, nanos: 750_000_000 })));
        assert_eq!(pax.link, None);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            "99 path=foo\n",
            "11 path=foo\n",
            "13 path=foo\n",
            "12path=foo \n",
            "x path=foo\n",
            "+12 path=foo\n",
            "12 pathxfoo\n",
            "7 =foo\n",
            "2 \n",
            "0 \n",
            "11 size=-1\n",
            "28 size=9223372036854775808\n",
            "29 size=18446744073709551615\n",
            "11 mtime=x\n",
        ] {
            assert!(parsed(bad).is_none(), "{bad:?}");
        }
        assert!(parsed("12 path=foo\n").is_some());
    }

    #[test]
    fn the_pieces_of_a_sparse_file_come_in_pairs() {
        let map =
            |text: &str| parsed(&record_of("GNU.sparse.map", text)).map(|pax| pax.sparse.unwrap().extents);
        assert_eq!(map("0,5,10,0").unwrap(), [Extent { at: 0, len: 5 }, Extent { at: 10, len: 0 }]);
        assert_eq!(map("").unwrap(), []);
        assert_eq!((map("0,5,10"), map("0,-5"), map("0,,5")), (None, None, None));
        let pair = record_of("GNU.sparse.offset", "1") + &record_of("GNU.sparse.numbytes", "2");
        assert_eq!(parsed(&pair.repeat(2)).unwrap().sparse.unwrap().extents.len(), 2);
        let twice = record_of("GNU.sparse.offset", "1").repeat(2);
        assert!(parsed(&twice).is_none());
        assert!(parsed(&record_of("GNU.sparse.numbytes", "1")).is_none());
    }

    #[test]
    fn a_header_for_all_members_names_none() {
        let check = |key: &str| check_global(record_of(key, "5").as_bytes()).is_ok();
        assert!(check("comment") && check("mtime"));
        assert!(!check("path") && !check("size") && !check("linkpath") && !check("GNU.sparse.size"));
    }
}
