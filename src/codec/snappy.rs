//! Snappy's framing format, in which a clone travels from pod to pod.
//!
//! It is no compression of images: nobody sniffs it, and who speaks it says so. The format has no
//! end mark, so that its carrier must prove the end of the stream.

use std::io::{self, ErrorKind, Read};

use snap::read::FrameDecoder;

use crate::error::{Classify, Error, Kind, kind_within};
use crate::io::Sequential;

/// Why a stream of chunks cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum SnappyError {
    /// There is not even the mark at its start.
    #[error("the clone's stream is empty: not even snappy's stream identifier is there")]
    Empty,
    /// The last chunk is not whole.
    #[error("the clone's snappy stream is truncated after {at} plain bytes")]
    Truncated {
        /// Plain bytes that came out before.
        at: u64,
    },
    /// A chunk is no chunk, too long, or its CRC-32C is wrong.
    #[error("the clone's snappy stream is damaged after {at} plain bytes")]
    Damaged {
        /// Plain bytes that came out before.
        at: u64,
        /// What is wrong.
        #[source]
        cause: io::Error,
    },
}

impl Classify for SnappyError {
    fn kind(&self) -> Kind {
        Kind::Integrity
    }
}

/// The plain bytes of `input`; each chunk's CRC-32C is checked before its bytes come out.
///
/// Reads of the result fail with [`SnappyError`]; errors of `input` pass unchanged. Memory: 140 KiB.
#[must_use]
pub fn unsnap(input: Sequential) -> Sequential {
    Sequential::new(Plain { chunks: FrameDecoder::new(input), at: 0 }, None)
}

struct Plain {
    chunks: FrameDecoder<Sequential>,
    at: u64,
}

impl Plain {
    fn failed(&self, cause: io::Error) -> Error {
        match cause.kind() {
            _ if kind_within(&cause).is_some() => Error::from_io(cause, Kind::Other),
            ErrorKind::UnexpectedEof => SnappyError::Truncated { at: self.at }.into(),
            _ => SnappyError::Damaged { at: self.at, cause }.into(),
        }
    }
}

impl Read for Plain {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let first = self.at == 0 && !buf.is_empty();
        if first && self.chunks.get_mut().peek(1)?.is_empty() {
            return Err(Error::from(SnappyError::Empty).into());
        }
        let count = self.chunks.read(buf).map_err(|cause| self.failed(cause))?;
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::super::tests::sample;
    use super::*;

    fn snapped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.into_inner().unwrap()
    }

    fn plain(stream: &[u8]) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        let read = unsnap(Sequential::new(Cursor::new(stream.to_vec()), None)).read_to_end(&mut all);
        read.map(|_| all).map_err(|error| Error::from_io(error, Kind::Other))
    }

    #[test]
    fn chunks_give_their_bytes_and_padding_none() {
        let bytes = sample(200_000);
        let mut stream = snapped(&bytes);
        assert!(plain(&stream).unwrap() == bytes);
        // Padding, a chunk that may be skipped, and another stream identifier, as the format allows.
        stream.extend([0xfe, 3, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 7]);
        stream.extend(snapped(b"more"));
        assert!(plain(&stream).unwrap() == [&bytes[..], b"more"].concat());
        assert_eq!(plain(&snapped(b"x")[..10]).unwrap(), b"");
    }

    #[test]
    fn what_is_no_stream_of_chunks_is_refused() {
        let whole = snapped(&sample(70_000));
        let words = |stream: &[u8]| {
            let error = plain(stream).unwrap_err();
            assert_eq!(error.kind(), Kind::Integrity, "{error}");
            error.to_string()
        };
        assert!(words(b"").contains("empty"));
        assert!(words(b"no snappy at all").contains("damaged after 0 plain bytes"));
        assert!(words(&whole[..whole.len() - 1]).contains("truncated after 65536 plain bytes"));
        assert!(words(&whole[..3]).contains("truncated after 0"));
        for at in [14, 18, 5000, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(words(&damaged).contains("damaged"), "byte {at}");
        }
        // A chunk that says to be longer than any is.
        let huge = [&whole[..10], &[1, 0xff, 0xff, 0xff], &[0; 64]].concat();
        assert!(words(&huge).contains("damaged"));
        // A chunk of a kind that must not be skipped.
        assert!(words(&[&whole[..10], &[2, 1, 0, 0, 0]].concat()).contains("damaged"));
    }

    #[test]
    fn an_error_of_the_carrier_keeps_its_kind() {
        struct Gone;
        impl Read for Gone {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Error::new(Kind::Unreachable, "gone").into())
            }
        }
        let start = Cursor::new(snapped(&sample(70_000))[..40_000].to_vec());
        let mut stream = unsnap(Sequential::new(start.chain(Gone), None));
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(Error::from_io(error, Kind::Other).kind(), Kind::Unreachable);
    }
}
