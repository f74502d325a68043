//! The digest of the bytes as they are received, before any codec comes off.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Classify, Kind};
use crate::format::digest::{Algorithm, Checksum, Hasher};
use crate::io::Sequential;

/// Hashes the bytes as they are received; shared with the stream that they pass through.
pub(crate) struct Tap {
    hasher: Arc<Mutex<Option<Hasher>>>,
    expected: Option<Checksum>,
}

/// The received bytes hash to something else than the user expects.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the checksum differs: expected {expected}, received {received}")]
pub(crate) struct Mismatch {
    /// What the user expects.
    pub(crate) expected: Checksum,
    /// What came.
    pub(crate) received: Checksum,
}

impl Classify for Mismatch {
    fn kind(&self) -> Kind {
        Kind::Integrity
    }
}

impl Tap {
    /// Hashes by the algorithm of `expected`; SHA-256 where nothing is expected.
    pub(crate) fn new(expected: Option<Checksum>) -> Self {
        let algorithm = expected.as_ref().map_or(Algorithm::Sha256, |checksum| checksum.algorithm);
        Self { hasher: Arc::new(Mutex::new(Some(Hasher::new(algorithm)))), expected }
    }

    /// `stream`, each byte of which is hashed as it is read.
    pub(crate) fn on(&self, stream: Sequential) -> impl Read + Send + 'static {
        Tapped { stream, hasher: Arc::clone(&self.hasher) }
    }

    /// The digest of everything received, once the stream was read to its end.
    pub(crate) fn check(&self) -> Result<Option<Checksum>, Mismatch> {
        let hasher = self.hasher.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(received) = hasher.map(Hasher::finish) else { return Ok(None) };
        match &self.expected {
            Some(expected) if *expected != received => Err(Mismatch { expected: expected.clone(), received }),
            _ => Ok(Some(received)),
        }
    }
}

struct Tapped {
    stream: Sequential,
    hasher: Arc<Mutex<Option<Hasher>>>,
}

impl Read for Tapped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buf)?;
        if let Some(hasher) = &mut *self.hasher.lock().unwrap_or_else(PoisonError::into_inner) {
            hasher.update(buf.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}
