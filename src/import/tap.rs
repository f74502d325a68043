//! The digest of the bytes as they are received, before any codec comes off.
//!
//! Where a checksum is given, all bytes come through here, and the tap keeps hold of their stream: what
//! reads them may give up half way, and the checksum is still one of the whole object.

use std::io::{self, ErrorKind, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Classify, Error, Kind};
use crate::format::digest::{Algorithm, Checksum, Hasher};
use crate::io::Sequential;
use crate::progress::Stop;

/// Bytes of one read that nobody but the hash is waiting for.
const PIECE: usize = 256 << 10;

/// Hashes the bytes as they are received; shared with the stream that they pass through.
pub(crate) struct Tap {
    received: Arc<Mutex<Received>>,
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
        let received = Received { hasher: Hasher::new(algorithm), known: None, flow: Flow::Absent };
        Self { received: Arc::new(Mutex::new(received)), expected }
    }

    /// Whether a checksum was given.
    pub(crate) fn expects(&self) -> bool {
        self.expected.is_some()
    }

    /// Spares the hashing of what the source holds to `digest` itself; a checksum that was given is another matter.
    pub(crate) fn rely_on(&self, digest: &Checksum) {
        if !self.expects() {
            locked(&self.received).known = Some(digest.clone());
        }
    }

    /// Whether a stream passes through already.
    pub(crate) fn is_on(&self) -> bool {
        !matches!(locked(&self.received).flow, Flow::Absent)
    }

    /// `stream`, each byte of which is hashed as it is read.
    pub(crate) fn on(&self, stream: Sequential) -> impl Read + Send + 'static {
        locked(&self.received).flow = Flow::Open(stream);
        Tapped(Arc::clone(&self.received))
    }

    /// The digest of everything received: of all that there is, where a checksum was given.
    ///
    /// # Errors
    /// [`Mismatch`]; whatever the source fails with before its end.
    pub(crate) fn check(&self, stop: &Stop) -> Result<Checksum, Error> {
        let mut received = locked(&self.received);
        let Some(expected) = &self.expected else { return Ok(received.digest()) };
        received.drain(stop)?;
        let digest = received.digest();
        if *expected == digest {
            return Ok(digest);
        }
        Err(Mismatch { expected: expected.clone(), received: digest }.into())
    }

    /// What `error`, which ended an import, comes to: of bytes that are not those expected it does not
    /// matter what else is wrong with them.
    pub(crate) fn judged(&self, error: Error, stop: &Stop) -> Error {
        let damage = matches!(error.kind(), Kind::Image | Kind::Integrity);
        if !damage || !self.expects() || error.find::<Mismatch>().is_some() {
            return error;
        }
        match self.check(stop) {
            Err(worse) if worse.find::<Mismatch>().is_some() || stop.asked() => worse,
            _ => error,
        }
    }
}

fn locked(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far the bytes came.
enum Flow {
    /// No stream yet.
    Absent,
    /// There may be more.
    Open(Sequential),
    /// All of them came.
    Ended,
    /// They end too early, and to ask again would begin all tries anew.
    Broken,
}

struct Received {
    hasher: Hasher,
    /// The digest, where somebody else sees to it.
    known: Option<Checksum>,
    flow: Flow,
}

impl Received {
    fn digest(&self) -> Checksum {
        self.known.clone().unwrap_or_else(|| self.hasher.clone().finish())
    }

    /// Reads what is left; it is hashed and not kept.
    fn drain(&mut self, stop: &Stop) -> Result<(), Error> {
        let mut piece = vec![0; PIECE];
        while let Flow::Open(_) = self.flow {
            stop.check()?;
            match self.read(&mut piece) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(Error::from_io(error, Kind::Other));
                }
                _ => {}
            }
        }
        match self.flow {
            Flow::Ended => Ok(()),
            _ => Err(Error::new(Kind::Other, "the source was not read to its end")),
        }
    }
}

impl Read for Received {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let stream = match &mut self.flow {
            Flow::Open(stream) => stream,
            Flow::Absent | Flow::Ended => return Ok(0),
            Flow::Broken => return Err(io::Error::other("read again after the stream had failed")),
        };
        let read = stream.read(buf);
        match &read {
            Ok(0) if !buf.is_empty() => self.flow = Flow::Ended,
            Ok(count) if self.known.is_none() => self.hasher.update(buf.get(..*count).unwrap_or_default()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.flow = Flow::Broken,
        }
        read
    }
}

struct Tapped(Arc<Mutex<Received>>);

impl Read for Tapped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        locked(&self.0).read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "md5:5d41402abc4b2a76b9719d911017c592";

    /// A tap for `sum` of which three bytes of `stream` were read.
    fn tapped(sum: &str, stream: Sequential) -> Tap {
        let tap = Tap::new(Some(sum.parse().unwrap()));
        tap.on(stream).read_exact(&mut [0; 3]).unwrap();
        tap
    }

    fn hello() -> Sequential {
        Sequential::new(&b"hello"[..], Some(5))
    }

    #[test]
    fn what_the_source_sees_to_is_not_hashed_and_a_checksum_that_was_given_is() {
        let layer: Checksum = format!("sha256:{}", "5".repeat(64)).parse().unwrap();
        let stop = Stop::default();
        let relying = |expected: Option<&str>| {
            let tap = Tap::new(expected.map(|sum| sum.parse().unwrap()));
            tap.rely_on(&layer);
            tap.on(hello()).read_to_end(&mut Vec::new()).unwrap();
            tap.check(&stop).unwrap()
        };
        assert_eq!(relying(None), layer);
        assert_eq!(relying(Some(HELLO)).to_string(), HELLO);
    }

    fn damage() -> Error {
        Error::new(Kind::Image, "damaged")
    }

    #[test]
    fn a_checksum_is_one_of_the_whole_object_whoever_gave_up() {
        let stop = Stop::default();
        for _ in 0..2 {
            let tap = tapped(HELLO, hello());
            assert_eq!(tap.check(&stop).unwrap().to_string(), HELLO);
            assert_eq!(tap.check(&stop).unwrap().to_string(), HELLO);
            assert_eq!(tap.judged(damage(), &stop).to_string(), "damaged");
        }
        let tap = tapped(&format!("md5:{}", "0".repeat(32)), hello());
        let judged = tap.judged(damage(), &stop);
        assert!(judged.to_string().ends_with("received md5:5d41402abc4b2a76b9719d911017c592"), "{judged}");
        assert_eq!(tap.judged(Error::new(Kind::TargetFull, "full"), &stop).to_string(), "full");
    }

    #[test]
    fn where_the_source_fails_or_a_signal_comes_nothing_is_said_of_the_checksum() {
        let stop = Stop::default();
        let broken = hello().chain(Broken);
        let tap = tapped(&format!("md5:{}", "0".repeat(32)), Sequential::new(broken, None));
        assert_eq!(tap.judged(damage(), &stop).to_string(), "damaged");
        assert_eq!(tap.judged(damage(), &stop).to_string(), "damaged");
        let none = Tap::new(Some(HELLO.parse().unwrap()));
        assert_eq!(none.judged(damage(), &stop).to_string(), "damaged");
        stop.ask(Kind::Terminated);
        assert_eq!(tapped(HELLO, hello()).judged(damage(), &stop).kind(), Kind::Terminated);
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(Error::new(Kind::Unreachable, "gone").into())
        }
    }
}
