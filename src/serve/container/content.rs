//! The body of an answer: a text, or a part of a file that is read while it is sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read at a time.
const PIECE: u64 = 256 << 10;

/// What an answer holds.
pub(super) enum Content {
    /// A text; none when it was sent.
    Text(Option<Bytes>),
    /// Bytes of a file.
    Part(Part),
}

/// Bytes of a file, from one offset to another.
pub(super) struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Content {
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()))
    }

    /// The bytes of `file` from `at` to `end`.
    pub(super) fn part(file: Arc<File>, at: u64, end: u64) -> Self {
        Self::Part(Part { file, at, end, reading: None })
    }

    fn left(&self) -> u64 {
        match self {
            Self::Text(text) => text.as_ref().map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX)),
            Self::Part(part) => part.end.saturating_sub(part.at),
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Part(part) => part.poll(context).map(|read| read.map(|read| read.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl Part {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Poll::Ready(None);
        }
        let (file, at) = (Arc::clone(&self.file), self.at);
        let reading = self.reading.get_or_insert_with(|| spawn_blocking(move || read(&file, at, left)));
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Ok(bytes) = &read {
            self.at = self.at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        Poll::Ready(Some(read))
    }
}

/// The next bytes of `file` at `at`, at most `left` of them.
fn read(file: &File, at: u64, left: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(left.min(PIECE)).unwrap_or(0)];
    // A file that has become shorter ends the connection, so that the client sees it.
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}
