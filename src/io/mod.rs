//! Two capabilities that a source can have, and the wrappers around them.
//!
//! Random to Sequential is always possible and free; the other way leads through scratch alone,
//! so that nobody buffers a whole image by accident.
//!
//! Refuses to know: what the bytes mean.

mod aligned;
mod count;
mod relay;
mod steps;
mod zero;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

pub use aligned::{ALIGNMENT, Aligned};
pub use count::count;
pub use relay::relay;
use steps::Steps;
pub use zero::{Piece, is_zero, pieces};

/// How a place is best read at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Reads worth having under way at the same time.
    pub lanes: usize,
    /// Bytes worth asking for in one read.
    pub piece: usize,
    /// A gap of at most this many bytes is cheaper read over than asked around.
    pub gap: u64,
}

/// Bytes that can be read at any offset, of a length that is known.
pub trait ReadAt: Send + Sync {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range does not lie within the length; whatever the place fails with.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// The bytes of `range`, which lies within the length, from the first to the last. A place that has to be
    /// asked is asked once, in however many parts it is read.
    fn reader(&self, range: Range<u64>) -> Box<dyn Read + '_> {
        Box::new(Steps::new(self, range))
    }

    /// How this place is best read.
    fn reading(&self) -> Reading;

    /// The next stretch from `from` on that may hold anything but zeros, never an empty one; `None`
    /// when only zeros follow.
    fn next_data(&self, from: u64) -> Option<Range<u64>> {
        (from < self.len()).then(|| from..self.len())
    }

    /// The file that has these bytes at these offsets: a target on the same file system may share them.
    fn file(&self) -> Option<&File> {
        None
    }

    /// The same bytes from the first to the last.
    ///
    /// # Errors
    /// Whatever the place fails with when it is opened for that.
    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential>;
}

/// Bytes that come one after the other, with a head that can be looked at first.
pub struct Sequential {
    head: Vec<u8>,
    taken: usize,
    reader: Box<dyn Read + Send>,
    len: Option<u64>,
}

impl Sequential {
    /// The bytes of `reader`, `len` in all where that is known.
    pub fn new(reader: impl Read + Send + 'static, len: Option<u64>) -> Self {
        Self { head: Vec::new(), taken: 0, reader: Box::new(reader), len }
    }

    /// The length in bytes where it is known before the end.
    #[must_use]
    pub fn known_len(&self) -> Option<u64> {
        self.len
    }

    /// The next bytes without taking them: `want` of them, fewer only where the stream ends.
    ///
    /// # Errors
    /// Whatever the reader fails with.
    pub fn peek(&mut self, want: usize) -> io::Result<&[u8]> {
        let have = self.head.len().saturating_sub(self.taken);
        if have < want {
            self.head.drain(..self.taken);
            self.taken = 0;
            let missing = u64::try_from(want.saturating_sub(have)).unwrap_or(u64::MAX);
            self.reader.by_ref().take(missing).read_to_end(&mut self.head)?;
        }
        let end = self.head.len().min(self.taken.saturating_add(want));
        Ok(self.head.get(self.taken..end).unwrap_or_default())
    }

    /// The same stream behind `wrap`, of the same length: a tap that counts or hashes.
    #[must_use]
    pub fn tapped<R: Read + Send + 'static>(self, wrap: impl FnOnce(Self) -> R) -> Self {
        let len = self.len;
        Self::new(wrap(self), len)
    }
}

impl Read for Sequential {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(rest) = self.head.get(self.taken..).filter(|rest| !rest.is_empty()) else {
            return self.reader.read(buf);
        };
        let count = rest.len().min(buf.len());
        let (from, to) = (rest.get(..count).unwrap_or_default(), buf.get_mut(..count).unwrap_or_default());
        to.copy_from_slice(from);
        self.taken = self.taken.saturating_add(count);
        if self.taken == self.head.len() {
            self.head = Vec::new();
            self.taken = 0;
        }
        Ok(count)
    }
}

/// A reader that may know a way over bytes which nobody wants.
pub trait Pass: Read {
    /// Goes over the next `count` bytes; returns how many there were.
    ///
    /// # Errors
    /// Whatever the reader fails with.
    fn pass(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut self.take(count), &mut io::sink())
    }
}

impl Pass for Sequential {}

/// What a source hands over: its best form.
pub enum Input {
    /// Readable at any offset.
    Random(Arc<dyn ReadAt>),
    /// Readable once, from the first byte to the last.
    Sequential(Sequential),
}

impl Input {
    /// The length in bytes where it is known.
    #[must_use]
    pub fn known_len(&self) -> Option<u64> {
        match self {
            Self::Random(place) => Some(place.len()),
            Self::Sequential(stream) => stream.known_len(),
        }
    }

    /// Up to `want` first bytes, fewer only where the input is shorter.
    ///
    /// # Errors
    /// Whatever the source fails with.
    pub fn head(&mut self, want: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Sequential(stream) => Ok(stream.peek(want)?.to_vec()),
            Self::Random(place) => {
                let len = usize::try_from(place.len()).unwrap_or(usize::MAX);
                let mut head = vec![0; want.min(len)];
                place.read_exact_at(&mut head, 0)?;
                Ok(head)
            }
        }
    }

    /// The input as a stream from its first byte.
    ///
    /// # Errors
    /// Whatever the source fails with.
    pub fn into_sequential(self) -> io::Result<Sequential> {
        match self {
            Self::Random(place) => place.into_sequential(),
            Self::Sequential(stream) => Ok(stream),
        }
    }
}

/// Reads until `buf` is full or `reader` ends; returns the bytes read.
///
/// # Errors
/// Whatever the reader fails with, but not for an interruption.
pub fn fill(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0_usize;
    while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_peeked_is_read_again() {
        let mut stream = Sequential::new(&b"magic and more"[..], Some(14));
        assert_eq!(stream.peek(5).unwrap(), b"magic");
        assert_eq!(stream.peek(9).unwrap(), b"magic and");
        assert_eq!(stream.peek(2).unwrap(), b"ma");
        assert_eq!(stream.peek(99).unwrap(), b"magic and more");
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        assert_eq!(all, "magic and more");
    }

    #[test]
    fn a_peek_after_a_partial_read_starts_where_the_read_ended() {
        let mut stream = Sequential::new(&b"abcdef"[..], None);
        stream.peek(4).unwrap();
        let mut two = [0; 2];
        stream.read_exact(&mut two).unwrap();
        assert_eq!(stream.peek(3).unwrap(), b"cde");
    }
}
