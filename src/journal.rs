//! What an import has made durable so far, as a text that another run of it can go on from.
//!
//! Refuses to know: targets and sources; how a range became durable. It holds no URL, only the
//! hash of one, because a URL may be a password.

mod ranges;
mod tally;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use ranges::Ranges;
pub use tally::{Tally, UNIT};

/// The first line; who finds the file reads what it is.
pub const NOTE: &str =
    "diskpour is writing the disk of this name; while this file lies here the disk is partial\n";

/// The longest journal that is read, in bytes; [`Tally`] keeps those that are written below it.
pub const LONGEST: u64 = 16 << 20;

/// What must be the same for a run to go on where another one ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    source: String,
    validator: String,
    plan: String,
}

impl Key {
    /// The image that `place`, which is only hashed, held when it said `validator`, made into a disk as `plan` says.
    #[must_use]
    pub fn new(place: &str, validator: &str, plan: &str) -> Self {
        Self { source: hash(place), validator: validator.to_owned(), plan: plan.to_owned() }
    }

    /// What tells this key from `other`, in words; nothing where they are the same.
    fn differs_from(&self, other: &Self) -> Option<&'static str> {
        if self.source != other.source {
            Some("it is of another source")
        } else if self.validator != other.validator {
            Some("the source has changed since")
        } else if self.plan != other.plan {
            Some("it is of another format, compression or preallocation")
        } else {
            None
        }
    }
}

/// A journal as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The import that wrote it.
    pub key: Key,
    /// The bytes of the disk that are in the target for good.
    pub durable: Ranges,
    /// The sum of them all: a target that is read back and has another one is not what was written.
    pub sum: u64,
}

impl Record {
    /// The journal's text: a line for people, one for us, and the sum of both.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Strings and numbers always have a form in JSON.
        let json = serde_json::to_string(self).unwrap_or_default();
        let text = format!("{NOTE}{json}\n");
        let sum = hash(&text);
        text + &sum + "\n"
    }

    /// What an import of `key` left, by the journal `text`.
    ///
    /// # Errors
    /// Why it does not fit, in words.
    pub fn fitting(text: &str, key: &Key) -> Result<Self, &'static str> {
        if text == NOTE {
            return Err("the import that wrote it kept none");
        }
        let record = Self::parse(text).ok_or("it is damaged or of another version")?;
        match record.key.differs_from(key) {
            Some(why) => Err(why),
            None if record.durable.is_empty() => Err("nothing was durable yet"),
            None => Ok(record),
        }
    }

    /// Whether `text` is a journal at all.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        Self::parse(text).is_some()
    }

    fn parse(text: &str) -> Option<Self> {
        let (body, sum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let whole = text.get(..body.len().checked_add(1)?)?;
        if hash(whole) != sum {
            return None;
        }
        serde_json::from_str(body.strip_prefix(NOTE)?).ok()
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "https://host/disk?token=s3cr3t";

    fn record() -> Record {
        let mut durable = Ranges::default();
        durable.insert(UNIT..4 * UNIT);
        durable.insert(9 * UNIT..10 * UNIT);
        Record { key: Key::new(PLACE, "ETag \"a\"", "qcow2"), durable, sum: u64::MAX }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (record, text) = (record(), record().to_text());
        assert_eq!(Record::fitting(&text, &record.key), Ok(record));
        assert!(text.starts_with(NOTE) && text.lines().count() == 3, "{text}");
    }

    #[test]
    fn a_url_is_in_it_as_a_hash_only() {
        let text = record().to_text();
        assert!(!text.contains("s3cr3t") && !text.contains("host"), "{text}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_reason() {
        let text = record().to_text();
        let keys = [
            (Key::new("https://host/other", "ETag \"a\"", "qcow2"), "another source"),
            (Key::new(PLACE, "ETag \"b\"", "qcow2"), "changed"),
            (Key::new(PLACE, "ETag \"a\"", "raw"), "another format"),
        ];
        for (key, word) in keys {
            assert!(Record::fitting(&text, &key).unwrap_err().contains(word), "{word}");
        }
        let nothing = Record { durable: Ranges::default(), ..record() }.to_text();
        assert!(Record::fitting(&nothing, &record().key).unwrap_err().contains("nothing"));
        assert!(Record::fitting(NOTE, &record().key).unwrap_err().contains("none"));
    }

    #[test]
    fn a_text_that_is_cut_or_changed_anywhere_is_no_journal() {
        let text = record().to_text();
        let fits = |text: &str| Record::fitting(text, &record().key).is_ok();
        for at in 0..text.len() {
            assert!(!fits(&text[..at]), "cut at {at}");
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(String::from_utf8(bytes).is_ok_and(|text| !fits(&text)), "changed at {at}");
        }
    }

    #[test]
    fn ranges_that_make_no_sense_are_no_journal() {
        let body = record().to_text();
        let json = body.lines().nth(1).unwrap();
        let (before, rest) = json.split_once("[[").unwrap();
        let after = rest.split_once("]]").unwrap().1;
        let fits = |list: &str| {
            let body = format!("{NOTE}{before}{list}{after}\n");
            let text = format!("{body}{}\n", hash(&body));
            Record::fitting(&text, &record().key).is_ok()
        };
        assert!(fits("[[0,2],[3,4]]"));
        for list in ["[[5,5]]", "[[7,3]]", "[[4,6],[0,2]]", "[[0,4],[2,6]]", "[[0,2],[2,3]]", "[[-1,2]]"] {
            assert!(!fits(list), "{list}");
        }
    }
}
