//! Decompression: one function from compressed stream to plain stream.
//!
//! A file must be whole: truncation, a wrong checksum and bytes after its end are errors, and the
//! plain stream ends only when the compressed one was read to its end.
//!
//! Memory is bounded: 256 KiB of input, and 48 KiB for gzip, 4 MiB for bzip2, the window for zstd (8 MiB
//! or less by default, at most [`WINDOW_LIMIT`]). xz takes the dictionary (8 MiB by default, at most
//! [`XZ_MEMORY_LIMIT`]); with several threads, up to 80 MiB for files of several blocks.
//!
//! Refuses to know: what the plain bytes are, and how they are looked for by magic.

mod bzip2;
pub mod cluster;
mod decoder;
mod gzip;
mod snappy;
mod xz;
mod zstd;

use std::io;

pub use crate::format::codec::Codec;
pub use snappy::{SnappyError, unsnap};

use crate::error::{Classify, Error, Kind};
use crate::io::Sequential;

/// The largest zstd window that we decode, in bytes: what libzstd's own default allows.
pub const WINDOW_LIMIT: u64 = 1 << WINDOW_LOG_LIMIT;

/// The base-2 logarithm of [`WINDOW_LIMIT`].
const WINDOW_LOG_LIMIT: u32 = 27;

/// The most memory that xz decoding takes, in bytes: twice the dictionary of `xz -9`.
pub const XZ_MEMORY_LIMIT: u64 = 128 << 20;

/// How a stream is decoded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that may decode the blocks of one xz stream; 1 saves memory, see the module's head.
    pub threads: usize,
}

/// Why a compressed stream cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The stream ends before its own end mark.
    #[error("{codec} data end too early, after {at} bytes: the file is truncated")]
    Truncated {
        /// The compression.
        codec: Codec,
        /// Compressed bytes that there are.
        at: u64,
    },
    /// The stream contradicts itself.
    #[error("{codec} data are damaged, found past compressed byte {at}: {reason}")]
    Damaged {
        /// The compression.
        codec: Codec,
        /// Compressed bytes before the place of discovery.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Something else follows the compressed data.
    #[error("trailing bytes follow the {codec} data, which end at compressed byte {at}")]
    Trailing {
        /// The compression.
        codec: Codec,
        /// The place of the first byte that belongs to something else.
        at: u64,
    },
    /// The stream uses a feature that we do not decode.
    #[error("{codec} data use what is not supported, found past compressed byte {at}: {reason}")]
    Unsupported {
        /// The compression.
        codec: Codec,
        /// Compressed bytes before the place of discovery.
        at: u64,
        /// What is not supported.
        reason: &'static str,
    },
    /// The stream needs more memory than we allow.
    #[error(
        "over the memory limit: the {codec} {what} needs {need} bytes, the cap is {cap}; compress the image with a smaller one"
    )]
    OverLimit {
        /// The compression.
        codec: Codec,
        /// What is too large.
        what: &'static str,
        /// Bytes that the stream needs at least.
        need: u64,
        /// Bytes that we allow.
        cap: u64,
    },
    /// The decoder itself failed.
    #[error("{codec} decoder failed: {reason}")]
    Decoder {
        /// The compression.
        codec: Codec,
        /// How it failed.
        reason: &'static str,
    },
}

impl Classify for CodecError {
    fn kind(&self) -> Kind {
        match self {
            Self::Truncated { .. } | Self::Damaged { .. } | Self::Trailing { .. } => Kind::Integrity,
            Self::Unsupported { .. } | Self::OverLimit { .. } => Kind::Image,
            Self::Decoder { .. } => Kind::Other,
        }
    }
}

/// The plain bytes of `input`, which `codec` has compressed.
///
/// Reads of the result fail with [`CodecError`] where the stream is damaged ([`Kind::Integrity`]) or
/// over a limit ([`Kind::Image`]), again on each further read. Errors of `input` pass unchanged.
///
/// # Errors
/// [`CodecError::Decoder`] when the decoder cannot be set up.
pub fn decode(codec: Codec, input: Sequential, options: &Options) -> io::Result<Sequential> {
    let failed = |fault| io::Error::from(Error::from(decoder::error(codec, 0, fault)));
    Ok(match codec {
        Codec::Gzip => decoder::stream(codec, input, gzip::Gzip::new()),
        Codec::Xz => decoder::stream(codec, input, xz::Xz::new(options.threads).map_err(failed)?),
        Codec::Zstd => decoder::stream(codec, input, zstd::Zstd::new().map_err(failed)?),
        Codec::Bzip2 => decoder::stream(codec, input, bzip2::Bzip2::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, ErrorKind, Read};

    const OPTIONS: Options = Options { threads: 2 };

    /// Bytes that compress, but not to nothing.
    pub(super) fn sample(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            state.to_be_bytes()[0]
        };
        (0..len).map(|at| if at % 3 == 0 { noise() } else { (at / 7).to_le_bytes()[0] }).collect()
    }

    pub(super) fn open(codec: Codec, compressed: &[u8]) -> Sequential {
        let len = compressed.len() as u64;
        let input = Sequential::new(Cursor::new(compressed.to_vec()), Some(len));
        decode(codec, input, &OPTIONS).unwrap()
    }

    pub(super) fn plain(codec: Codec, compressed: &[u8]) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        match open(codec, compressed).read_to_end(&mut all) {
            Ok(_) => Ok(all),
            Err(error) => Err(Error::from_io(error, Kind::Other)),
        }
    }

    pub(super) fn kind(codec: Codec, compressed: &[u8]) -> Option<Kind> {
        plain(codec, compressed).err().map(|error| error.kind())
    }

    /// Each prefix of `compressed` fails as damaged, and each flipped bit is noticed or of no account.
    pub(super) fn assert_damage_is_noticed(codec: Codec, compressed: &[u8]) {
        let whole = plain(codec, compressed).unwrap();
        for len in 0..compressed.len() {
            assert_eq!(kind(codec, &compressed[..len]), Some(Kind::Integrity), "{codec} cut to {len}");
        }
        let mut flipped = compressed.to_vec();
        for at in 0..compressed.len() {
            for mask in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                flipped[at] ^= mask;
                let same = plain(codec, &flipped).map_or(true, |bytes| bytes == whole);
                assert!(same, "{codec} byte {at} mask {mask}");
                flipped[at] ^= mask;
            }
        }
    }

    /// What `compressed` decodes to where its reads give `from` bytes, every other one is interrupted, and
    /// `to` bytes are asked for at a time.
    fn read_in_steps(codec: Codec, compressed: &[u8], (from, to): (usize, usize)) -> io::Result<Vec<u8>> {
        struct Drops<R>(R, usize, bool);
        impl<R: Read> Read for Drops<R> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.2 = !self.2;
                if self.2 {
                    return Err(ErrorKind::Interrupted.into());
                }
                let len = buf.len().min(self.1);
                self.0.read(&mut buf[..len])
            }
        }
        let input = Sequential::new(Drops(Cursor::new(compressed.to_vec()), from, false), None);
        let mut stream = decode(codec, input, &OPTIONS)?;
        let (mut all, mut buf) = (Vec::new(), vec![0; to]);
        loop {
            match stream.read(&mut buf)? {
                0 => break,
                count => all.extend_from_slice(&buf[..count]),
            }
        }
        assert_eq!(stream.read(&mut buf)?, 0);
        Ok(all)
    }

    /// Sizes of reads on both sides.
    const STEPS: [(usize, usize); 4] = [(1, 9), (9, 1), (4096, 1 << 20), (1 << 20, 7777)];

    /// Whatever the sizes of reads on both sides, the bytes are the same.
    pub(super) fn assert_any_reads_do(codec: Codec, compressed: &[u8], whole: &[u8]) {
        for steps in STEPS {
            assert!(read_in_steps(codec, compressed, steps).unwrap() == whole, "{codec} {steps:?}");
        }
    }

    /// Whatever the sizes of reads on both sides, it is damaged.
    pub(super) fn assert_any_reads_fail(codec: Codec, compressed: &[u8]) {
        for steps in STEPS {
            let error = read_in_steps(codec, compressed, steps).unwrap_err();
            assert_eq!(Error::from_io(error, Kind::Other).kind(), Kind::Integrity, "{codec} {steps:?}");
        }
    }

    #[test]
    fn an_empty_input_is_a_truncated_one() {
        for codec in Codec::ALL {
            let error = plain(codec, b"").unwrap_err();
            assert_eq!(error.kind(), Kind::Integrity);
            assert!(error.to_string().contains("after 0 bytes: the file is truncated"), "{error}");
        }
    }

    #[test]
    fn something_else_is_damaged() {
        for codec in Codec::ALL {
            assert_eq!(kind(codec, &[b'x'; 600]), Some(Kind::Integrity), "{codec}");
            assert_eq!(kind(codec, &[0; 600]), Some(Kind::Integrity), "{codec}");
        }
    }

    #[test]
    fn an_error_of_the_input_keeps_its_kind_and_damage_stays_damage() {
        struct Gone;
        impl Read for Gone {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Error::new(Kind::Unreachable, "gone").into())
            }
        }
        for codec in Codec::ALL {
            let mut stream = decode(codec, Sequential::new(Gone, None), &OPTIONS).unwrap();
            let error = stream.read(&mut [0; 9]).unwrap_err();
            assert_eq!(Error::from_io(error, Kind::Other).kind(), Kind::Unreachable, "{codec}");
            let mut stream = open(codec, b"rubbish, and more of it than any magic");
            for _ in 0..3 {
                let error = stream.read(&mut [0; 9]).unwrap_err();
                assert_eq!(Error::from_io(error, Kind::Other).kind(), Kind::Integrity, "{codec}");
            }
        }
    }
}
