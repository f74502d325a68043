//! From an opened source to an image whose format is known: the head is looked at, codecs come off.

use std::io;

use crate::archive::is_header;
use crate::codec::{self, Options};
use crate::config::{CompressionChoice, FormatChoice};
use crate::error::{Classify, Error, Kind};
use crate::format::codec::Codec;
use crate::format::magic::{HEAD, Layout, Sniffed, sniff};
use crate::io::{Input, Sequential, relay};

use super::tap::Tap;

/// A source shorter than this is poured, with a warning: no disk is that small.
const SHORT: usize = 512;

/// An image that is not poured because of what its head says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    /// A format that is known by name.
    #[error("the image is of the format {0}, which is not supported; --format raw pours it as it is")]
    Unsupported(&'static str),
    /// The same codec twice.
    #[error("the image is compressed by {0} twice, which nobody does on purpose; decompress it first")]
    Twice(Codec),
    /// Fewer bytes than the user takes for an image.
    #[error("the image has {len} bytes only, {least} are the least")]
    Short {
        /// The bytes that there are.
        len: usize,
        /// The fewest that are taken.
        least: u64,
    },
    /// No byte at all.
    #[error("the image is empty")]
    Empty,
}

impl Classify for HeadError {
    fn kind(&self) -> Kind {
        Kind::Image
    }
}

/// What the user said of the image.
#[derive(Clone, Copy)]
pub(crate) struct Choices {
    /// The format, or that the magic decides.
    pub(crate) format: FormatChoice,
    /// The compression, or that the magic decides.
    pub(crate) compression: CompressionChoice,
    /// Threads that may decode.
    pub(crate) workers: usize,
    /// The fewest bytes that an image may have, its codecs off.
    pub(crate) least: u64,
}

/// An image whose format is known.
pub(crate) struct Head {
    /// The image, its codecs off.
    pub(crate) input: Input,
    /// How the disk lies in it.
    pub(crate) layout: Layout,
    /// The codecs that came off, the outermost first.
    pub(crate) codecs: Vec<Codec>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

/// Takes the codecs off `input` and says what is inside; `tap` hashes the bytes as received.
pub(crate) fn open(input: Input, choices: Choices, tap: &Tap) -> Result<Head, Error> {
    let (input, codecs, bytes) = uncoded(input, choices, tap, |_| false)?;
    let mut head = Head { input, layout: Layout::Raw, codecs, warnings: Vec::new() };
    if u64::try_from(bytes.len()).is_ok_and(|len| len < choices.least) {
        return Err(HeadError::Short { len: bytes.len(), least: choices.least }.into());
    }
    if bytes.len() < SHORT {
        head.warnings.push(format!("the image has {} bytes only, which is no disk", bytes.len()));
    }
    head.layout = layout(&sniff(&bytes), choices.format, &mut head.warnings)?;
    Ok(head)
}

/// Takes the codecs off an archive; its bytes in order, hashed by `tap`, and the codecs.
pub(crate) fn archive(input: Input, choices: Choices, tap: &Tap) -> Result<(Sequential, Vec<Codec>), Error> {
    // An archive starts with the name of a file, which may look like the magic of a codec.
    let (input, codecs, _) = uncoded(input, choices, tap, is_header)?;
    Ok((received(input, tap)?, codecs))
}

/// `input` without its codecs, the codecs from the outermost on, and the first bytes inside.
fn uncoded(
    input: Input,
    choices: Choices,
    tap: &Tap,
    is_inside: fn(&[u8]) -> bool,
) -> Result<(Input, Vec<Codec>, Vec<u8>), Error> {
    let mut codecs = Vec::new();
    // Whatever comes of the head, a checksum is one of all bytes.
    let mut input = if tap.expects() { Input::Sequential(received(input, tap)?) } else { input };
    loop {
        let bytes = input.head(HEAD).map_err(unread)?;
        if bytes.is_empty() {
            return Err(HeadError::Empty.into());
        }
        if choices.compression == CompressionChoice::Auto && is_inside(&bytes) {
            return Ok((input, codecs, bytes));
        }
        let Some(codec) = next_codec(&sniff(&bytes), choices.compression, &codecs)? else {
            return Ok((input, codecs, bytes));
        };
        input = Input::Sequential(unwrap(input, codec, choices, tap)?);
        codecs.push(codec);
    }
}

/// The whole of `input` in order, its bytes hashed by `tap`, if they were not before they were decoded.
pub(crate) fn received(input: Input, tap: &Tap) -> Result<Sequential, Error> {
    let stream = input.into_sequential().map_err(unread)?;
    Ok(if tap.is_on() { stream } else { stream.tapped(|stream| tap.on(stream)) })
}

fn unread(error: io::Error) -> Error {
    Error::from_io(error, Kind::Other)
}

fn next_codec(
    sniffed: &Sniffed,
    choice: CompressionChoice,
    off: &[Codec],
) -> Result<Option<Codec>, HeadError> {
    match (choice, sniffed) {
        (CompressionChoice::None, _) => Ok(None),
        (CompressionChoice::Codec(codec), _) => Ok(off.is_empty().then_some(codec)),
        (CompressionChoice::Auto, Sniffed::Codec(codec)) if off.contains(codec) => {
            Err(HeadError::Twice(*codec))
        }
        (CompressionChoice::Auto, Sniffed::Codec(codec)) => Ok(Some(*codec)),
        (CompressionChoice::Auto, _) => Ok(None),
    }
}

/// The decoded stream; what is compressed is fetched ahead in a thread of its own.
fn unwrap(input: Input, codec: Codec, choices: Choices, tap: &Tap) -> Result<Sequential, Error> {
    codec::decode(codec, relay(received(input, tap)?), &Options { threads: choices.workers }).map_err(unread)
}

fn layout(sniffed: &Sniffed, choice: FormatChoice, warnings: &mut Vec<String>) -> Result<Layout, HeadError> {
    match (choice, sniffed) {
        (FormatChoice::Raw, _) => Ok(Layout::Raw),
        (FormatChoice::Qcow2, _) | (FormatChoice::Auto, Sniffed::Qcow2) => Ok(Layout::Qcow2),
        (FormatChoice::Auto, Sniffed::Refused(name)) => Err(HeadError::Unsupported(name)),
        (FormatChoice::Auto, Sniffed::Tar) => {
            warnings.push(
                "the image is a tar archive, which is poured as it is; --content-type archive unpacks it"
                    .to_owned(),
            );
            Ok(Layout::Raw)
        }
        (FormatChoice::Auto, Sniffed::Raw | Sniffed::Codec(_)) => Ok(Layout::Raw),
    }
}
