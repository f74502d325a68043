//! The choices that options offer, by name.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::format::codec::Codec;
use crate::format::preallocation::Preallocation;
use crate::matrix::Policy;

/// What the source holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentType {
    /// A disk image.
    #[default]
    Kubevirt,
    /// A tar archive of files.
    Archive,
}

/// Which format the image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatChoice {
    /// What its magic says.
    Auto,
    /// The disk's bytes as they are.
    Raw,
    /// QCOW2.
    Qcow2,
}

/// Which compression is around the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionChoice {
    /// What its magic says.
    Auto,
    /// None.
    None,
    /// This one.
    Codec(Codec),
}

/// What happens to a target file that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// The import is refused.
    Refuse,
    /// The file is truncated.
    Force,
}

/// Whether the target is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// It is not.
    Off,
    /// It is, and compared with a digest kept while writing.
    ReadBack,
}

/// Whether a journal is kept, and an import that was killed gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Every import starts from the first byte.
    Off,
    /// It goes on, where source and target are the same.
    On,
}

/// How progress is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgressChoice {
    Auto,
    Bar,
    Plain,
    Json,
    None,
}

/// How progress is shown on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressStyle {
    /// A bar that is drawn again and again; standard error is a terminal.
    Bar,
    /// A line now and then.
    Plain,
    /// An object on a line, every second.
    Json,
    /// Not at all.
    None,
}

/// How the result is printed on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStyle {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors.
    Error,
    /// Warnings too.
    Warn,
    /// What happens, too.
    Info,
    /// Everything.
    Debug,
}

/// Whether text may have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// It may.
    On,
    /// It may not.
    Off,
}

// By hand, because a derived ValueEnum makes a paragraph of every choice in `--help`.

impl ValueEnum for ContentType {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Kubevirt, Self::Archive]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Kubevirt => "kubevirt",
            Self::Archive => "archive",
        }))
    }
}

impl ValueEnum for FormatChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Raw, Self::Qcow2]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }))
    }
}

impl ValueEnum for CompressionChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Auto,
            Self::None,
            Self::Codec(Codec::Gzip),
            Self::Codec(Codec::Xz),
            Self::Codec(Codec::Zstd),
            Self::Codec(Codec::Bzip2),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Codec(codec) => codec.name(),
        }))
    }
}

impl ValueEnum for ProgressChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Bar, Self::Plain, Self::Json, Self::None]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::Bar => "bar",
            Self::Plain => "plain",
            Self::Json => "json",
            Self::None => "none",
        }))
    }
}

impl ValueEnum for OutputStyle {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Text => "text",
            Self::Json => "json",
        }))
    }
}

impl ValueEnum for LogLevel {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Error, Self::Warn, Self::Info, Self::Debug]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }))
    }
}

impl ValueEnum for Policy {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl ValueEnum for Preallocation {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}
