//! From the network's task to the blocking reader of an import: a channel that is bounded in bytes.
//!
//! Refuses to know: HTTP. The end of the bytes is a message of its own: a channel that just ends
//! is an upload that broke off.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Kind};
use crate::io::{Input, Sequential};
use crate::progress::{Progress, Stop};
use crate::source::Source;

/// Bytes that may wait between the network and the reader.
const ROOM: u32 = 4 << 20;

/// What the smallest message counts as, so that single bytes cannot pile up by the million.
const LEAST: u32 = 4096;

/// How often a waiting reader looks at the wish to stop.
const STEP: Duration = Duration::from_millis(100);

/// Both ends; `len` is the length of what will come, where it is known.
pub(super) fn bridge(len: Option<u64>, progress: &Arc<Progress>, stop: &Arc<Stop>) -> (Inlet, Arrival) {
    let (outbox, inbox) = channel();
    let room = Arc::new(Semaphore::new(usize::try_from(ROOM).unwrap_or(usize::MAX)));
    let reader = Reader {
        inbox,
        room: Arc::clone(&room),
        present: None,
        ended: false,
        progress: Arc::clone(progress),
        stop: Arc::clone(stop),
    };
    (Inlet { outbox, room }, Arrival { reader, len })
}

/// The network's end.
pub(super) struct Inlet {
    outbox: Sender<Message>,
    room: Arc<Semaphore>,
}

/// Nobody reads any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Inlet {
    /// Passes `bytes` on as soon as there is room for them.
    pub(super) async fn pass(&self, bytes: Bytes) -> Result<(), Gone> {
        let count = u32::try_from(bytes.len()).unwrap_or(ROOM).clamp(LEAST, ROOM);
        let room = Arc::clone(&self.room).acquire_many_owned(count).await.map_err(|_| Gone)?;
        self.outbox.send(Message::Bytes(Piece { bytes, _room: room })).map_err(|_| Gone)
    }

    /// Says that all bytes were passed on.
    pub(super) fn end(self) {
        // A reader that has gone has failed already.
        let _ = self.outbox.send(Message::End);
    }

    /// Says why no more bytes come.
    pub(super) fn fail(self, error: Error) {
        let _ = self.outbox.send(Message::Failed(error));
    }
}

enum Message {
    Bytes(Piece),
    End,
    Failed(Error),
}

/// Bytes, and the room that they take until they are read.
struct Piece {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The reader's end: an image that arrives.
pub(super) struct Arrival {
    reader: Reader,
    len: Option<u64>,
}

impl Source for Arrival {
    fn open(self: Box<Self>) -> Result<Input, Error> {
        self.reader.progress.fetch_total.store(self.len.unwrap_or(0), Relaxed);
        Ok(Input::Sequential(Sequential::new(self.reader, self.len)))
    }

    fn name(&self) -> String {
        "the upload".to_owned()
    }
}

struct Reader {
    inbox: Receiver<Message>,
    room: Arc<Semaphore>,
    present: Option<Piece>,
    ended: bool,
    progress: Arc<Progress>,
    stop: Arc<Stop>,
}

impl Reader {
    /// The next message, as soon as there is one.
    fn next(&self) -> Result<Message, Error> {
        loop {
            self.stop.check()?;
            match self.inbox.recv_timeout(STEP) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(Kind::Other, "the upload was given up"));
                }
            }
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() && !self.ended {
            match &mut self.present {
                Some(piece) if piece.bytes.has_remaining() => {
                    let count = piece.bytes.remaining().min(buf.len());
                    piece.bytes.copy_to_slice(buf.get_mut(..count).unwrap_or_default());
                    self.progress.fetched.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
                    return Ok(count);
                }
                _ => self.present = None,
            }
            match self.next()? {
                Message::Bytes(piece) => self.present = Some(piece),
                Message::End => self.ended = true,
                Message::Failed(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Who waits for room must not wait for ever.
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::error::kind_within;

    fn stream(arrival: Arrival) -> Sequential {
        Box::new(arrival).open().unwrap().into_sequential().unwrap()
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn bytes_arrive_in_order_and_are_counted() {
        let progress = Arc::new(Progress::default());
        let (inlet, arrival) = bridge(Some(3 << 20), &progress, &Arc::default());
        let bytes: Vec<u8> = (0..3_u32 << 20).map(|at| (at / 7).to_le_bytes()[0]).collect();
        let sent = Bytes::from(bytes.clone());
        let sender = thread::spawn(move || {
            wait(async {
                for from in (0..sent.len()).step_by(10_000) {
                    inlet.pass(sent.slice(from..sent.len().min(from + 10_000))).await.unwrap();
                }
                inlet.end();
            });
        });
        let mut stream = stream(arrival);
        assert_eq!(stream.known_len(), Some(3 << 20));
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0);
        assert_eq!(progress.fetched.load(Relaxed), 3 << 20);
        sender.join().unwrap();
    }

    #[test]
    fn a_channel_that_just_ends_is_no_end_of_the_image() {
        let (inlet, arrival) = bridge(None, &Arc::default(), &Arc::default());
        let mut stream = stream(arrival);
        wait(inlet.pass(Bytes::from_static(b"abc"))).unwrap();
        drop(inlet);
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "the upload was given up");
    }

    #[test]
    fn an_error_comes_after_the_bytes_before_it() {
        let (inlet, arrival) = bridge(None, &Arc::default(), &Arc::default());
        let mut stream = stream(arrival);
        wait(inlet.pass(Bytes::from_static(b"abc"))).unwrap();
        inlet.fail(Error::new(Kind::Unreachable, "cut"));
        let mut buf = [0; 9];
        assert_eq!(stream.read(&mut buf).unwrap(), 3);
        assert_eq!(kind_within(&stream.read(&mut buf).unwrap_err()), Some(Kind::Unreachable));
    }

    #[test]
    fn single_bytes_take_room_too_and_a_reader_that_goes_lets_the_sender_go() {
        let (inlet, arrival) = bridge(None, &Arc::default(), &Arc::default());
        let most = usize::try_from(ROOM / LEAST).unwrap();
        wait(async {
            for _ in 0..most {
                inlet.pass(Bytes::from_static(b"x")).await.unwrap();
            }
            let full = tokio::time::timeout(Duration::from_millis(50), inlet.pass(Bytes::from_static(b"x")));
            full.await.unwrap_err();
            drop(arrival);
            inlet.pass(Bytes::from_static(b"x")).await.unwrap_err();
        });
    }

    #[test]
    fn the_wish_to_stop_ends_a_waiting_read() {
        let stop = Arc::new(Stop::default());
        let (_inlet, arrival) = bridge(None, &Arc::default(), &stop);
        stop.ask(Kind::Terminated);
        let error = stream(arrival).read(&mut [0; 9]).unwrap_err();
        assert_eq!(kind_within(&error), Some(Kind::Terminated));
    }
}
