//! The one error that leaves the crate, and the table that gives each kind its exit code and words.
//!
//! Refuses to know: where an error came from. Modules have small error enums of their own and
//! say through [`Classify`] of which kind each is.

use std::error::Error as StdError;
use std::{fmt, io};

/// What went wrong, as far as the user's next step depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The command line or a setting is wrong.
    Usage,
    /// The source cannot be reached: DNS, refused, reset, timeout, 429 and 5xx after our tries.
    Unreachable,
    /// The source says no: 401, 403, 404, another 4xx, a refused redirect, TLS.
    Refused,
    /// The bytes are not those that were promised: checksum, CRC, truncation, a changed object.
    Integrity,
    /// The image is damaged, hostile, unsupported or over a limit.
    Image,
    /// The target is too small or full.
    TargetFull,
    /// The import needs scratch space and has none.
    ScratchRequired,
    /// The scratch space is full or unusable.
    ScratchFull,
    /// SIGINT ended the run.
    Interrupted,
    /// SIGTERM ended the run.
    Terminated,
    /// Anything else: an input or output error, a bug.
    Other,
}

/// What the world sees of a [`Kind`].
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The kind that this row is for; `None` is success.
    pub kind: Option<Kind>,
    /// The exit code of the command line.
    pub exit_code: u8,
    /// Whether the same command may succeed when it is given again.
    pub retry_helps: &'static str,
    /// What happened, as the user's manual says it.
    pub words: &'static str,
}

const fn verdict(kind: Kind, exit_code: u8, retry_helps: &'static str, words: &'static str) -> Verdict {
    Verdict { kind: Some(kind), exit_code, retry_helps, words }
}

/// Every outcome; the README's table is generated from this one.
pub const VERDICTS: &[Verdict] = &[
    Verdict { kind: None, exit_code: 0, retry_helps: "", words: "done: the target is complete and durable" },
    verdict(Kind::Other, 1, "", "an input or output error, or a defect of diskpour"),
    verdict(Kind::Usage, 2, "no", "the command line or a setting is wrong"),
    verdict(Kind::Unreachable, 3, "yes", "the source cannot be reached, or went away and did not come back"),
    verdict(Kind::Refused, 4, "no", "the source refuses: authentication, not found, redirect, TLS"),
    verdict(
        Kind::Integrity,
        5,
        "if the source changed",
        "the bytes are not what was promised: checksum, CRC, truncated, changed",
    ),
    verdict(Kind::Image, 6, "no", "the image is damaged, hostile, unsupported or over a limit"),
    verdict(Kind::TargetFull, 7, "with more space", "the target is too small or full"),
    verdict(Kind::ScratchFull, 7, "with more scratch", "the scratch space is full or cannot be used"),
    verdict(Kind::ScratchRequired, 42, "with --scratch-dir", "scratch space is required and none was given"),
    verdict(Kind::Interrupted, 130, "yes", "stopped by SIGINT (Ctrl-C)"),
    verdict(Kind::Terminated, 143, "yes", "stopped by SIGTERM"),
];

impl Kind {
    /// This kind's row of [`VERDICTS`].
    #[must_use]
    pub fn verdict(self) -> &'static Verdict {
        VERDICTS.iter().find(|row| row.kind == Some(self)).unwrap_or(&VERDICTS[1])
    }
}

/// An error enum of a module that knows the kind of each of its members.
pub trait Classify: StdError + Send + Sync + 'static {
    /// The kind of this error.
    fn kind(&self) -> Kind;
}

/// A kind and the chain of causes; its `Display` prints the whole chain on one line.
pub struct Error {
    kind: Kind,
    cause: Box<dyn StdError + Send + Sync>,
}

impl Error {
    /// An error of `kind` because of `cause`; a message will do for a cause.
    pub fn new(kind: Kind, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, cause: cause.into() }
    }

    /// The [`Error`] that travels inside `error`, or `error` itself as `default`.
    ///
    /// Readers hand classified errors through `std::io::Read` by wrapping them in an `io::Error`.
    #[must_use]
    pub fn from_io(error: io::Error, default: Kind) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self { kind: kind_within(&error).unwrap_or(default), cause: error.into() },
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// The kind of the first [`Error`] in the chain that starts at `error`.
#[must_use]
pub fn kind_within(error: &(dyn StdError + 'static)) -> Option<Kind> {
    let mut next = Some(error);
    while let Some(here) = next {
        if let Some(found) = here.downcast_ref::<Error>() {
            return Some(found.kind);
        }
        // `io::Error::source` skips the error that it wraps, so look inside first.
        next = match here.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => here.source(),
        };
    }
    None
}

impl<E: Classify> From<E> for Error {
    fn from(cause: E) -> Self {
        Self { kind: cause.kind(), cause: Box::new(cause) }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.cause.to_string();
        let mut next = self.cause.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Wrappers such as `io::Error` repeat their cause's text, and an error of ours within a
            // chain has said all that follows it; once is enough.
            if !said.contains(&text) {
                said.push_str(": ");
                said.push_str(&text);
            }
            next = cause.source();
        }
        f.write_str(&said)?;
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("while reading at byte {at}")]
    struct Reading {
        at: u64,
        #[source]
        cause: io::Error,
    }

    #[test]
    fn a_kind_is_found_through_wrapping_io_errors() {
        let inner = io::Error::from(Error::new(Kind::Integrity, "CRC differs"));
        let outer = io::Error::other(Reading { at: 7, cause: inner });
        assert_eq!(kind_within(&outer), Some(Kind::Integrity));
        assert_eq!(Error::from_io(outer, Kind::Other).kind(), Kind::Integrity);
    }

    #[test]
    fn the_whole_chain_is_printed_once() {
        let inner = io::Error::from(Error::new(Kind::Integrity, "CRC differs"));
        let error = Error::new(Kind::Integrity, Reading { at: 7, cause: inner });
        assert_eq!(error.to_string(), "while reading at byte 7: CRC differs");
    }

    #[test]
    fn an_error_of_ours_in_the_middle_of_a_chain_is_said_once() {
        let deep = Error::new(Kind::Integrity, Reading { at: 3, cause: io::Error::other("CRC differs") });
        let error = Error::new(Kind::Integrity, Reading { at: 7, cause: deep.into() });
        assert_eq!(error.to_string(), "while reading at byte 7: while reading at byte 3: CRC differs");
    }

    #[test]
    fn every_kind_has_a_row_of_its_own() {
        for row in VERDICTS {
            if let Some(kind) = row.kind {
                assert_eq!(kind.verdict().words, row.words);
            }
        }
        let codes: Vec<u8> = VERDICTS.iter().map(|row| row.exit_code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 7, 42, 130, 143]);
    }
}
