//! One adapter for every stage that can run beside the others.
//!
//! The stream is read in a thread of its own, at most [`BUFFERS`] buffers of [`BUFFER`] bytes ahead.
//! Refuses to know: what the bytes are, and who waits for them.

use std::any::Any;
use std::error::Error as StdError;
use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::Sequential;
use crate::error::{Error, Kind};

/// Buffers that go round between the two threads: together they hold more than one write to a target
/// takes in, so that the stream goes on while that waits for a disk.
const BUFFERS: usize = 16;

/// Bytes in a buffer: a message costs next to nothing beside them.
const BUFFER: usize = 256 << 10;

/// Bytes that are worth a message to a reader that would wait otherwise; fewer are sent only where the
/// stream ends.
const ENOUGH: usize = 64 << 10;

/// The same stream, read ahead in a thread of its own.
///
/// An error of the stream comes once, after the bytes before it; later reads fail too. A panic of the
/// stream becomes an error. Dropping the result ends the thread after its present read and joins it.
#[must_use]
pub fn relay(stream: Sequential) -> Sequential {
    stream.tapped(Relay::start)
}

/// A buffer and the count of bytes in it.
type Filled = (Box<[u8]>, usize);

/// What comes from the thread, and where its buffers go back.
type Ends = (Receiver<Parcel>, Sender<Box<[u8]>>);

/// What the thread sends; the end of the channel without [`Parcel::End`] means a panic.
enum Parcel {
    Bytes(Filled),
    Error(io::Error),
    End,
}

enum State {
    Running,
    Ended,
    Failed,
}

struct Relay {
    /// Dropped before the thread is joined, so that it ends.
    ends: Option<Ends>,
    thread: Option<JoinHandle<()>>,
    state: State,
    present: Filled,
    taken: usize,
}

impl Relay {
    fn start(stream: Sequential) -> Self {
        // Neither channel needs a bound of its own: there are never more buffers than these.
        let (parcels, arriving) = channel();
        let (empty, returning) = channel();
        for _ in 0..BUFFERS {
            // The other end is held here, so this arrives.
            let _ = empty.send(vec![0; BUFFER].into_boxed_slice());
        }
        let refusal = parcels.clone();
        let work = move || forward(stream, &parcels, &returning);
        let thread = match thread::Builder::new().name("relay".into()).spawn(work) {
            Ok(thread) => Some(thread),
            Err(error) => {
                let _ = refusal.send(Parcel::Error(error));
                None
            }
        };
        let ends = Some((arriving, empty));
        Self { ends, thread, state: State::Running, present: (Box::default(), 0), taken: 0 }
    }

    /// Puts the next bytes into `self.present`; none at the end.
    fn receive(&mut self) -> io::Result<()> {
        match self.state {
            State::Running => {}
            State::Ended => return Ok(()),
            State::Failed => return Err(other("read again after the stream had failed")),
        }
        let parcel = self.ends.as_ref().and_then(|(arriving, _)| arriving.recv().ok());
        match parcel {
            Some(Parcel::Bytes(filled)) => {
                let (used, _) = std::mem::replace(&mut self.present, filled);
                self.taken = 0;
                if let Some((_, empty)) = self.ends.as_ref().filter(|_| !used.is_empty()) {
                    // Nobody takes it when the thread has ended; then nobody needs it.
                    let _ = empty.send(used);
                }
                Ok(())
            }
            Some(Parcel::End) => {
                self.state = State::Ended;
                Ok(())
            }
            Some(Parcel::Error(error)) => {
                self.state = State::Failed;
                Err(error)
            }
            None => {
                self.state = State::Failed;
                Err(other(format!("a reading thread panicked: {}", self.join())))
            }
        }
    }

    /// Waits for the thread; the words of its panic, if any.
    fn join(&mut self) -> String {
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        ended.err().map_or_else(String::new, |panic| words(panic.as_ref()))
    }
}

impl Read for Relay {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.present.1 && !buf.is_empty() {
            self.receive()?;
        }
        let rest = self.present.0.get(self.taken..self.present.1).unwrap_or_default();
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken = self.taken.saturating_add(count);
        Ok(count)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ends = None;
        self.join();
    }
}

/// The thread: fills buffers and sends them until the stream ends or nobody listens.
fn forward(mut stream: Sequential, parcels: &Sender<Parcel>, returning: &Receiver<Box<[u8]>>) {
    let mut idle: Vec<Box<[u8]>> = Vec::with_capacity(BUFFERS);
    while let Some(mut buffer) = idle.pop().or_else(|| returning.recv().ok()) {
        // One buffer is here and one with the reader: none is on its way there.
        let waited_for = || {
            idle.extend(returning.try_iter());
            idle.len().saturating_add(2) >= BUFFERS
        };
        let (count, end) = fill(&mut stream, &mut buffer, waited_for);
        if count > 0 && parcels.send(Parcel::Bytes((buffer, count))).is_err() {
            return;
        }
        if let Some(end) = end {
            let _ = parcels.send(end);
            return;
        }
    }
}

/// Fills `buffer`, with [`ENOUGH`] bytes where those are waited for, or up to the end, which it returns.
fn fill(
    stream: &mut Sequential,
    buffer: &mut [u8],
    mut waited_for: impl FnMut() -> bool,
) -> (usize, Option<Parcel>) {
    let mut count = 0_usize;
    while count < buffer.len() && (count < ENOUGH || !waited_for()) {
        match stream.read(buffer.get_mut(count..).unwrap_or_default()) {
            Ok(0) => return (count, Some(Parcel::End)),
            Ok(more) => count = count.saturating_add(more),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (count, Some(Parcel::Error(error))),
        }
    }
    (count, None)
}

fn other(message: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
    Error::new(Kind::Other, message).into()
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    /// Gives the bytes of its steps in turn, then ends.
    struct Script(Vec<fn() -> io::Result<Vec<u8>>>);

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let bytes = self.0.remove(0)()?;
            buf[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }

    fn script(steps: Vec<fn() -> io::Result<Vec<u8>>>) -> Sequential {
        relay(Sequential::new(Script(steps), None))
    }

    #[test]
    fn bytes_arrive_unchanged_and_the_end_is_stable() {
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|at| (at / 13).to_le_bytes()[0]).collect();
        let source = Sequential::new(io::Cursor::new(bytes.clone()), Some(3_000_001));
        let mut stream = relay(source);
        assert_eq!(stream.known_len(), Some(3_000_001));
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn an_error_comes_after_the_bytes_before_it_with_its_kind() {
        let mut stream = script(vec![
            || Ok(b"before".to_vec()),
            || Err(ErrorKind::Interrupted.into()),
            || Err(Error::new(Kind::Unreachable, "gone").into()),
            || Ok(b"after".to_vec()),
        ]);
        let mut buf = [0; 99];
        assert_eq!(stream.read(&mut buf).unwrap(), 6);
        let error = stream.read(&mut buf).unwrap_err();
        assert_eq!(Error::from_io(error, Kind::Other).kind(), Kind::Unreachable);
        assert!(stream.read(&mut buf).is_err());
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let mut stream = script(vec![|| Ok(b"x".to_vec()), || panic!("boom")]);
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "a reading thread panicked: boom");
        assert!(stream.read(&mut [0; 9]).is_err());
    }

    #[test]
    fn a_reader_that_waits_gets_what_there_is() {
        let (said, heard) = channel::<()>();
        struct Slow(usize, Receiver<()>);
        impl Read for Slow {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                if self.0 == ENOUGH {
                    // More comes only after the first bytes have been read.
                    self.1.recv().map_err(io::Error::other)?;
                    return Ok(0);
                }
                self.0 = ENOUGH;
                buf[..ENOUGH].fill(7);
                Ok(ENOUGH)
            }
        }
        let mut stream = relay(Sequential::new(Slow(0, heard), None));
        stream.read_exact(&mut [0; ENOUGH]).unwrap();
        said.send(()).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_dropped_relay_has_ended_its_thread() {
        struct Endless(Arc<AtomicBool>, Arc<AtomicUsize>);
        impl Read for Endless {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.1.fetch_add(1, SeqCst);
                Ok(buf.len())
            }
        }
        impl Drop for Endless {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let (ended, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut stream = relay(Sequential::new(Endless(ended.clone(), reads.clone()), None));
        stream.read_exact(&mut [0; 10]).unwrap();
        drop(stream);
        assert!(ended.load(SeqCst));
        assert!(reads.load(SeqCst) <= BUFFERS + 1, "reads ahead of its buffers");
    }
}
