//! Members that describe the next one: PAX records, and the long names of GNU tar.

use tar::{EntryType, Header};

/// The longest name of a member, in bytes.
pub(super) const MOST_NAME: usize = 4096;

/// The longest block of PAX records, in bytes.
const MOST_PAX: u64 = 1 << 20;

/// The longest name or link of GNU tar, in bytes; what becomes a name is held to [`MOST_NAME`] too.
const MOST_LONG: u64 = 64 << 10;

/// What was said of a member before its header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) sparse: bool,
    seen: [bool; 3],
}

/// Whether `header` begins an extension.
pub(super) fn is_extension(header: &Header) -> bool {
    matches!(
        header.entry_type(),
        EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
    )
}

/// The bytes that the extension behind `header` may have.
pub(super) fn cap(header: &Header) -> u64 {
    match header.entry_type() {
        EntryType::XHeader | EntryType::XGlobalHeader => MOST_PAX,
        _ => MOST_LONG,
    }
}

impl Extensions {
    /// Takes in the extension `data` behind `header`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn take_in(&mut self, header: &Header, data: &[u8]) -> Result<(), &'static str> {
        match header.entry_type() {
            EntryType::GNULongName => {
                self.once(0, "two long names for one member")?;
                self.name = Some(until_nul(data));
            }
            EntryType::GNULongLink => {
                self.once(1, "two long links for one member")?;
                self.link = Some(until_nul(data));
            }
            EntryType::XGlobalHeader => {
                for record in Records(data) {
                    let (key, _) = record?;
                    if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
                        return Err("a global PAX record that is for one member only");
                    }
                }
            }
            _ => {
                self.once(2, "two PAX headers for one member")?;
                for record in Records(data) {
                    let (key, value) = record?;
                    self.record(key, value)?;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            // The real name stands here; `path` then names a file that nobody has.
            b"GNU.sparse.name" => {
                self.name = Some(value.to_vec());
                self.sparse = true;
            }
            b"path" if !self.sparse => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value).ok_or("a PAX size is no number")?),
            key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {}
        }
        Ok(())
    }

    fn once(&mut self, which: usize, twice: &'static str) -> Result<(), &'static str> {
        match self.seen.get_mut(which) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(twice),
        }
        Ok(())
    }
}

/// The records of a PAX header: `LENGTH KEY=VALUE\n`, the length that of the whole record.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = record(self.0);
        self.0 = record.map_or(&[], |(_, rest)| rest);
        Some(record.map(|(pair, _)| pair).ok_or("a PAX record is malformed"))
    }
}

/// A key and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The first record of `data`, and what follows it.
fn record(data: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let space = data.iter().take(21).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(data.get(..space)?)?).ok()?;
    let (record, rest) = data.split_at_checked(len)?;
    let record = record.get(space.checked_add(1)?..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    if key.is_empty() {
        return None;
    }
    Some(((key, value.get(1..)?), rest))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

fn until_nul(data: &[u8]) -> Vec<u8> {
    data.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length_whatever_the_value_holds() {
        let data = b"16 path=a\nb=c\nd\n6 a=\n\n11 size=12\n";
        let found: Result<Vec<_>, _> = Records(data).collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"path", b"a\nb=c\nd"), (b"a", b"\n"), (b"size", b"12")];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn malformed_records_are_errors() {
        let table: [&[u8]; 10] = [
            b"x",
            b"5 a=b",
            b"6 a=bc",
            b"99 a=b\n",
            b"0 a=b\n",
            b" a=b\n",
            b"-6 a=b\n",
            b"6 ab\n\n",
            b"5 =b\n",
            b"99999999999999999999999 a=b\n",
        ];
        for data in table {
            let found: Result<Vec<_>, _> = Records(data).collect();
            assert!(found.is_err(), "{:?}", String::from_utf8_lossy(data));
        }
    }
}
