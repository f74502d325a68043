//! Threads that decode the blocks of one queue, several at a time.
//!
//! Nobody decodes, reads or copies while the queue is locked. Refuses to know: the frame of the file.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::frames::Found;
use super::queue::{Fed, Next, Piece, Queue};
use super::worker::work;
use crate::codec::decoder::Fault;

/// What the threads of a crew share.
pub(super) struct Shared {
    queue: Mutex<(Queue<Found>, Mode)>,
    changed: Condvar,
}

/// Whether there is anything left to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Closing,
}

impl Shared {
    /// Lets `act` change the queue, and wakes up who waits for that.
    pub(super) fn change<T>(&self, act: impl FnOnce(&mut Queue<Found>) -> T) -> T {
        let mut guard = self.lock();
        let news = guard.0.news;
        let result = act(&mut guard.0);
        if guard.0.news != news {
            self.changed.notify_all();
        }
        result
    }

    /// Waits until `act` gets something out of the queue; nothing when the crew is dismissed.
    pub(super) fn wait<T>(&self, mut act: impl FnMut(&mut Queue<Found>) -> Option<T>) -> Option<T> {
        let mut guard = self.lock();
        loop {
            if guard.1 == Mode::Closing {
                return None;
            }
            let news = guard.0.news;
            let result = act(&mut guard.0);
            if guard.0.news != news {
                self.changed.notify_all();
            }
            if result.is_some() {
                return result;
            }
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing panics while it holds the lock; if something did, the queue would still be in order.
    fn lock(&self) -> MutexGuard<'_, (Queue<Found>, Mode)> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads, and who they work for.
pub(super) struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
    /// Bytes of memory that the decoder of one thread may take.
    pub(super) memory: u64,
    /// Bytes that the body of a block may have.
    pub(super) body_limit: u64,
}

impl Crew {
    /// A crew of up to `most` threads with `buffers` buffers, for blocks with these two limits.
    pub(super) fn new(most: usize, memory: u64, body_limit: u64, buffers: usize) -> Self {
        let queue = Mutex::new((Queue::new(buffers, most), Mode::Open));
        let shared = Arc::new(Shared { queue, changed: Condvar::new() });
        Self { shared, threads: Vec::new(), most, memory, body_limit }
    }

    /// Adds a block, which is fed next.
    pub(super) fn push(&mut self, found: Found) -> Result<(), Fault> {
        self.shared.change(|queue| queue.push(found));
        if self.threads.len() < self.most {
            let shared = Arc::clone(&self.shared);
            match Builder::new().name("xz".into()).spawn(move || work(&shared)) {
                Ok(thread) => self.threads.push(thread),
                Err(_) if self.threads.is_empty() => {
                    return Err(Fault::Decoder("no thread could be started"));
                }
                Err(_) => self.most = self.threads.len(),
            }
        }
        Ok(())
    }

    /// Whether another block may be added.
    pub(super) fn has_room(&self) -> bool {
        self.shared.change(|queue| queue.has_room())
    }

    /// A buffer for the input of the last block, when there is one for it.
    pub(super) fn input_buffer(&self) -> Option<Box<[u8]>> {
        self.shared.change(Queue::input_buffer)
    }

    /// Feeds the last block.
    pub(super) fn feed(&self, piece: Piece, fed: Fed) {
        self.shared.change(|queue| queue.feed(piece, fed));
    }

    /// Tells the last block that its input ends early.
    pub(super) fn cut(&self) {
        self.shared.change(Queue::cut);
    }

    /// What comes next in the order of the file.
    pub(super) fn next(&self) -> Next {
        self.shared.change(Queue::next)
    }

    /// Takes back a buffer whose bytes were read.
    pub(super) fn give_back(&self, buffer: Box<[u8]>) {
        self.shared.change(|queue| queue.give_back(buffer));
    }

    /// A number that changes with whatever happens.
    pub(super) fn news(&self) -> u64 {
        self.shared.change(|queue| queue.news)
    }

    /// Waits until something has happened since `news` was told.
    pub(super) fn wait(&self, news: u64) {
        self.shared.wait(|queue| (queue.news != news).then_some(()));
    }

    /// Waits, for a limited time, until the queue is as `ready` wants it.
    #[cfg(test)]
    pub(super) fn wait_until(&self, ready: impl Fn(&Queue<Found>) -> bool) -> bool {
        let limit = std::time::Duration::from_secs(60);
        let (held, changed) = (self.shared.lock(), &self.shared.changed);
        let (held, _) = changed.wait_timeout_while(held, limit, |held| !ready(&held.0)).unwrap();
        ready(&held.0)
    }

    /// The most buffers that were ever used at once.
    #[cfg(test)]
    pub(super) fn peak(&self) -> usize {
        self.shared.change(|queue| queue.peak())
    }
}

impl Drop for Crew {
    /// Ends the threads after their present piece, and joins them.
    fn drop(&mut self) {
        self.shared.lock().1 = Mode::Closing;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // What it panicked of was told already, at its block.
            let _ = thread.join();
        }
    }
}
