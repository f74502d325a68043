//! The object from its first byte to its last: a task reads ahead, and mends what breaks.
//!
//! Refuses to know: what the bytes mean. Every way on after a break proves that the object is
//! still the same one: by its strong validator, or by the digest of what was delivered before.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bytes::{Buf, Bytes};
use reqwest::{Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Failure, HttpError};
use super::facts::Validator;
use super::net::Net;
use super::range::{Resume, judge_part, judge_plain};
use super::request::{Remote, facts};
use super::retry::Patience;
use super::want::Want;
use crate::error::{Error, Kind};
use crate::io::Sequential;

/// Bytes that may wait between the network and the reader.
const ROOM: u32 = 4 << 20;

/// How often a waiting reader looks at the wish to stop.
const STEP: Duration = Duration::from_millis(100);

/// A server may answer with less than was asked, but a request for fewer bytes than this is no progress.
const LEAST_PART: u64 = 4096;

/// What is known of the object.
pub(super) struct Object {
    /// Its length.
    pub(super) len: Option<u64>,
    /// How to go on after a break.
    pub(super) resume: Resume,
    /// What names this very version of it.
    pub(super) validator: Option<Validator>,
}

/// An open answer whose body goes on where the stream stands.
pub(super) struct Body {
    pub(super) response: Response,
    /// Where in the object the body must end, where that is known.
    pub(super) end: Option<u64>,
}

/// The whole of `object`: `prefix`, then `body`, then whatever more requests it takes.
pub(super) fn stream(remote: Arc<Remote>, object: Object, prefix: Vec<u8>, body: Option<Body>) -> Sequential {
    let len = object.len;
    let net = Arc::clone(&remote.link.net);
    remote.context().progress.fetch_total.store(len.unwrap_or(0), Relaxed);
    let (outbox, inbox) = channel();
    // A digest is needed only where no validator can tell that a second answer is the same.
    let digest = object.validator.is_none().then(Sha256::new);
    let room = Arc::new(Semaphore::new(usize::try_from(ROOM).unwrap_or(usize::MAX)));
    let pump =
        Pump { remote: remote.clone(), object, outbox, room, at: 0, digest, patience: Patience::default() };
    net.start(pump.run(prefix, body));
    Sequential::new(Stream { inbox, piece: None, ended: false, remote, _net: net }, len)
}

/// What the task sends to the reader.
enum Message {
    Piece(Piece),
    End,
    Failed(Failure),
}

/// Bytes that were not read yet, and the room that they take.
struct Piece {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The task's side.
struct Pump {
    remote: Arc<Remote>,
    object: Object,
    outbox: Sender<Message>,
    room: Arc<Semaphore>,
    /// Bytes delivered.
    at: u64,
    digest: Option<Sha256>,
    patience: Patience,
}

impl Pump {
    async fn run(mut self, prefix: Vec<u8>, body: Option<Body>) {
        let last = match self.pour(prefix, body).await {
            Ok(()) => Message::End,
            Err(cause) => Message::Failed(self.remote.failure(self.at, cause)),
        };
        // A reader that has gone needs no last word.
        let _ = self.outbox.send(last);
    }

    async fn pour(&mut self, prefix: Vec<u8>, mut body: Option<Body>) -> Result<(), HttpError> {
        self.pass(prefix.into()).await?;
        loop {
            let outcome = self.attempt(body.take()).await;
            match (outcome, self.object.len) {
                (_, Some(len)) if self.at == len => return Ok(()),
                (Ok(()), None) => return Ok(()),
                (Ok(()), Some(_)) => {}
                (Err(error), _) => self.remote.rest(&mut self.patience, error).await?,
            }
        }
    }

    /// Passes on one body, a new one where there is none.
    async fn attempt(&mut self, body: Option<Body>) -> Result<(), HttpError> {
        if self.object.len == Some(self.at) && body.is_none() {
            return Ok(());
        }
        let mut body = match body {
            Some(body) => body,
            None => self.reopen().await?,
        };
        let start = self.at;
        while let Some(chunk) = self.remote.chunk(&mut body.response).await? {
            self.pass(chunk).await?;
        }
        let whole = self.object.len.is_none_or(|len| self.at == len);
        match body.end {
            Some(end) if self.at < end => Err(HttpError::Short { got: self.at, want: end }),
            Some(end) if !whole && end.saturating_sub(start) < LEAST_PART => {
                Err(HttpError::Short { got: end, want: end.saturating_add(LEAST_PART) })
            }
            _ => Ok(()),
        }
    }

    /// Delivers `chunk`.
    async fn pass(&mut self, chunk: Bytes) -> Result<(), HttpError> {
        let count = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let at = self.at.saturating_add(count);
        if let Some(len) = self.object.len.filter(|len| at > *len) {
            return Err(HttpError::Lie(format!("more bytes than the {len} that were announced")));
        }
        if let Some(digest) = &mut self.digest {
            digest.update(&chunk);
        }
        self.at = at;
        self.patience.delivered(count);
        let room = u32::try_from(count).unwrap_or(ROOM).min(ROOM);
        let room = self.room.clone().acquire_many_owned(room).await;
        // Both fail only when the reader has gone.
        let gone = |_| HttpError::Stopped(Error::new(Kind::Other, "nobody reads the download any more"));
        let piece = Piece { bytes: chunk, _room: room.map_err(|_| gone(()))? };
        self.outbox.send(Message::Piece(piece)).map_err(|_| gone(()))
    }

    /// A new body that goes on where the stream stands.
    async fn reopen(&mut self) -> Result<Body, HttpError> {
        let (Some(validator), Some(len)) = (&self.object.validator, self.object.len) else {
            return self.restart(None).await;
        };
        // The first request for an object asks for all of it, as anybody would.
        if self.object.resume == Resume::Restart || self.at == 0 {
            return self.restart(None).await;
        }
        let response = self.remote.ask(&Want::rest(self.at, validator)).await?;
        if response.status() == StatusCode::OK && self.object.resume == Resume::RangeOrRestart {
            return self.restart(Some(response)).await;
        }
        let end = judge_part(&facts(&response), validator, len, self.at..len)?;
        Ok(Body { response, end: Some(end) })
    }

    /// A new body from the first byte of `response`, or of a new answer, with what was delivered
    /// before compared and taken off.
    async fn restart(&mut self, response: Option<Response>) -> Result<Body, HttpError> {
        let mut response = match response {
            Some(response) => response,
            None => self.remote.ask(&Want::plain()).await?,
        };
        let facts = facts(&response);
        if let Some(validator) = &self.object.validator {
            validator.compare(&facts)?;
        }
        let now = judge_plain(&facts)?;
        if let (Some(len), Some(now)) = (self.object.len, now)
            && len != now
        {
            return Err(HttpError::Changed(format!("it had {len} bytes and now has {now}")));
        }
        self.repeat(&mut response).await?;
        Ok(Body { response, end: self.object.len.or(now) })
    }

    /// Reads what was delivered before once more, compares it, and passes on what follows.
    async fn repeat(&mut self, response: &mut Response) -> Result<(), HttpError> {
        let mut digest = Sha256::new();
        let mut left = self.at;
        while left > 0 {
            let Some(mut chunk) = self.remote.chunk(response).await? else {
                return Err(HttpError::Short { got: self.at.saturating_sub(left), want: self.at });
            };
            let old = chunk.split_to(usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len()));
            left = left.saturating_sub(u64::try_from(old.len()).unwrap_or(u64::MAX));
            if self.digest.is_some() {
                digest.update(&old);
            }
            if left == 0 {
                self.compare(digest.clone())?;
            }
            if !chunk.is_empty() {
                self.pass(chunk).await?;
            }
        }
        Ok(())
    }

    fn compare(&self, again: Sha256) -> Result<(), HttpError> {
        match &self.digest {
            Some(first) if first.clone().finalize() != again.finalize() => {
                Err(HttpError::Changed(format!("its first {} bytes differ from those read before", self.at)))
            }
            _ => Ok(()),
        }
    }
}

/// The reader's side.
struct Stream {
    inbox: Receiver<Message>,
    piece: Option<Piece>,
    ended: bool,
    remote: Arc<Remote>,
    _net: Arc<Net>,
}

impl Stream {
    /// The next message, as soon as there is one.
    fn next(&self) -> Result<Message, Error> {
        loop {
            self.remote.context().stop.check()?;
            match self.inbox.recv_timeout(STEP) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) => {}
                // Without the last word the end is none: a cut stream must never look whole.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(Kind::Other, "the download ended without a result"));
                }
            }
        }
    }
}

impl Piece {
    /// Moves bytes to `buf`, as many as there are and fit.
    fn take(&mut self, buf: &mut [u8]) -> usize {
        let count = self.bytes.len().min(buf.len());
        self.bytes.copy_to_slice(buf.get_mut(..count).unwrap_or_default());
        count
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() && !self.ended {
            match self.piece.as_mut().map_or(0, |piece| piece.take(buf)) {
                0 => self.piece = None,
                count => return Ok(count),
            }
            match self.next()? {
                Message::Piece(piece) => self.piece = Some(piece),
                Message::End => self.ended = true,
                Message::Failed(failure) => return Err(Error::from(failure).into()),
            }
        }
        Ok(0)
    }
}
