//! From the thread that reads a volume to the body of a request: a channel that is bounded.
//!
//! Refuses to know: what the bytes are. The end of the bytes is a message of its own: a channel that
//! just ends breaks the request off, so that no part ever looks like the whole.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::error::{Error, Kind};

/// Bytes of one message.
const PIECE: usize = 256 << 10;

/// Messages on their way; memory is bounded by this many times [`PIECE`].
const PIECES: usize = 8;

/// The kind of a write that nobody takes any more; reading a volume never fails like that.
pub(super) const GONE: Kind = Kind::Unreachable;

/// Both ends.
pub(super) fn channel() -> (Outlet, Feed) {
    let (sender, inbox) = mpsc::channel(PIECES);
    (Outlet { sender, piece: Vec::with_capacity(PIECE) }, Feed { inbox })
}

enum Message {
    Bytes(Bytes),
    End,
}

/// The reading thread's end.
pub(super) struct Outlet {
    sender: Sender<Message>,
    piece: Vec<u8>,
}

impl Outlet {
    /// Sends what is left, and that it was all.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.pass()?;
        self.send(Message::End)
    }

    fn pass(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.send(Message::Bytes(piece.into()))
    }

    fn send(&self, message: Message) -> io::Result<()> {
        self.sender.blocking_send(message).map_err(|_| Error::new(GONE, "the request ended early").into())
    }
}

impl Write for Outlet {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let room = PIECE.saturating_sub(self.piece.len()).min(buf.len());
        self.piece.extend_from_slice(buf.get(..room).unwrap_or_default());
        if self.piece.len() >= PIECE {
            self.pass()?;
        }
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass()
    }
}

/// The request's end: a body.
pub(super) struct Feed {
    inbox: Receiver<Message>,
}

impl Body for Feed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match ready!(self.inbox.poll_recv(context)) {
            Some(Message::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Message::End) => None,
            None => Some(Err(io::Error::other("the volume could not be read to its end"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn collected(feed: Feed) -> io::Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Ok(runtime.block_on(feed.collect())?.to_bytes().to_vec())
    }

    #[test]
    fn bytes_arrive_in_order_and_only_a_told_end_is_one() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7).to_le_bytes()[0]).collect();
        let (mut outlet, feed) = channel();
        let sent = bytes.clone();
        let writer = std::thread::spawn(move || outlet.write_all(&sent).and_then(|()| outlet.end()));
        assert!(collected(feed).unwrap() == bytes);
        writer.join().unwrap().unwrap();
        let (mut outlet, feed) = channel();
        outlet.write_all(b"part").unwrap();
        outlet.flush().unwrap();
        drop(outlet);
        assert!(collected(feed).is_err());
    }

    #[test]
    fn a_request_that_has_ended_is_told_from_other_errors() {
        let (mut outlet, feed) = channel();
        drop(feed);
        let error = outlet.write_all(&vec![1; PIECE]).unwrap_err();
        assert_eq!(Error::from_io(error, Kind::Other).kind(), GONE);
    }
}
