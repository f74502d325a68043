//! The result of an import.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::format::digest::Checksum;
use crate::format::size::human;
use crate::format::time;

/// What an import did; sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// The image's format.
    pub format: String,
    /// The compressions around it, the outermost first.
    pub codecs: Vec<String>,
    /// The route that the bytes took.
    pub route: String,
    /// The size of the disk that the image holds; of an archive, the sizes of its files together.
    pub virtual_size: u64,
    /// Members of an archive: files, directories and links; none of a disk image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// Bytes received from the source.
    pub fetched_bytes: u64,
    /// Requests sent to the source.
    pub requests: u64,
    /// Requests that were tries again.
    pub retries: u64,
    /// Bytes of data written to the target.
    pub written_bytes: u64,
    /// Bytes of the disk that are zero without a write of data.
    pub zeroed_bytes: u64,
    /// Bytes of the disk that an earlier import of the same image had left there.
    pub resumed_bytes: u64,
    /// The most bytes held in memory at a time for want of a place.
    pub held_peak_bytes: u64,
    /// Bytes written to scratch.
    pub scratch_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The digest of the bytes as received, of a container image that of the disk's layer; none where they
    /// were not received in order.
    pub digest: Option<DigestReport>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A digest that was computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DigestReport {
    /// The algorithm's name.
    pub algorithm: String,
    /// The value in hexadecimal digits.
    pub value: String,
    /// The value that was expected.
    pub expected: Option<String>,
}

impl DigestReport {
    /// The report of `value`, where `expected` was asked for.
    #[must_use]
    pub fn new(value: &Checksum, expected: Option<&Checksum>) -> Self {
        Self {
            algorithm: value.algorithm.name().to_owned(),
            value: value.hex(),
            expected: expected.map(Checksum::hex),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codecs = match self.codecs.join(", ") {
            none if none.is_empty() => none,
            codecs => format!(" ({codecs})"),
        };
        let time = time::human(Duration::try_from_secs_f64(self.seconds).unwrap_or_default());
        match self.entries {
            Some(entries) => {
                let plural = if entries == 1 { "entry" } else { "entries" };
                let size = human(self.virtual_size);
                write!(f, "unpacked {}{codecs}: {entries} {plural}, {size}, {time}", self.format)?;
            }
            None => {
                write!(f, "poured {}{codecs}", self.format)?;
                self.fmt_disk(f)?;
                write!(f, ", {time}")?;
                match self.scratch_bytes {
                    0 => f.write_str(", no scratch")?,
                    bytes => write!(f, ", {} of scratch", human(bytes))?,
                }
            }
        }
        self.fmt_source(f)?;
        if let Some(digest) = &self.digest {
            write!(f, "\n{digest}")?;
        }
        Ok(())
    }
}

impl Outcome {
    fn fmt_disk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " by the {} route: {} disk", self.route, human(self.virtual_size))?;
        write!(f, ", {} written, {} zeros", human(self.written_bytes), human(self.zeroed_bytes))
    }

    fn fmt_source(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\nread {}", human(self.fetched_bytes))?;
        match (self.requests, self.retries) {
            (0, _) => {}
            (1, _) => f.write_str(" in 1 request")?,
            (requests, 0) => write!(f, " in {requests} requests")?,
            (requests, retries) => write!(f, " in {requests} requests, {retries} of them tries again")?,
        }
        match self.held_peak_bytes {
            0 => Ok(()),
            bytes => write!(f, ", held at most {} in memory", human(bytes)),
        }
    }
}

impl fmt::Display for DigestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.value)?;
        if self.expected.is_some() { f.write_str(" as expected") } else { Ok(()) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::report) fn sample() -> Outcome {
        Outcome {
            format: "qcow2".to_owned(),
            codecs: vec!["gzip".to_owned()],
            route: "forward".to_owned(),
            virtual_size: 2 << 30,
            fetched_bytes: 250 << 20,
            requests: 3,
            retries: 1,
            written_bytes: 580 << 20,
            zeroed_bytes: 1468 << 20,
            held_peak_bytes: 1_258_291,
            scratch_bytes: 0,
            seconds: 3.21,
            ..Outcome::default()
        }
    }

    #[test]
    fn people_read_what_was_unpacked() {
        let archive = |entries| Outcome { format: "tar".to_owned(), entries: Some(entries), ..sample() };
        let text = archive(12).to_string();
        assert!(text.starts_with("unpacked tar (gzip): 12 entries, 2.0 GiB, 3.2 s\nread 250 MiB"), "{text}");
        assert!(archive(1).to_string().contains("1 entry,"));
        assert_eq!(serde_json::to_value(archive(1)).unwrap().get("entries"), Some(&1.into()));
        assert_eq!(serde_json::to_value(sample()).unwrap().get("entries"), None);
    }

    #[test]
    fn people_read_what_was_done_and_what_it_took() {
        assert_eq!(
            sample().to_string(),
            "poured qcow2 (gzip) by the forward route: 2.0 GiB disk, 580 MiB written, 1.4 GiB zeros, 3.2 s, no scratch\n\
             read 250 MiB in 3 requests, 1 of them tries again, held at most 1.2 MiB in memory"
        );
        let checksum: Checksum = "md5:900150983cd24fb0d6963f7d28e17f72".parse().unwrap();
        let digest = Some(DigestReport::new(&checksum, Some(&checksum)));
        let raw = Outcome {
            format: "raw".to_owned(),
            codecs: Vec::new(),
            requests: 0,
            held_peak_bytes: 0,
            scratch_bytes: 12 << 20,
            digest,
            ..sample()
        };
        let text = raw.to_string();
        assert!(text.starts_with("poured raw by the"), "{text}");
        assert!(text.contains(", 12.0 MiB of scratch\nread 250 MiB\nmd5:9001"), "{text}");
        assert!(text.ends_with("7f72 as expected"), "{text}");
    }

    #[test]
    fn programs_read_every_field() {
        let value = serde_json::to_value(sample()).unwrap();
        for field in [
            "format",
            "codecs",
            "route",
            "virtual_size",
            "fetched_bytes",
            "requests",
            "retries",
            "written_bytes",
            "zeroed_bytes",
            "held_peak_bytes",
            "scratch_bytes",
            "seconds",
            "digest",
        ] {
            assert!(value.get(field).is_some(), "{field}");
        }
    }
}
