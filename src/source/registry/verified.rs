//! A stream that is held to its length and its digest, and ends well only if both are right.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::digest::Digest;
use super::error::RegistryError;
use crate::error::{Error, Kind};
use crate::format::digest::Hasher;
use crate::io::Sequential;
use crate::progress::Stop;

/// What a stream has to be.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    /// What messages call the stream.
    pub(super) what: String,
    pub(super) digest: Option<Digest>,
    pub(super) size: Option<u64>,
}

/// Whether a stream has come to its end and was right.
#[derive(Clone, Debug, Default)]
pub(super) struct Proof(Arc<AtomicBool>);

impl Proof {
    /// # Errors
    /// [`Kind::Other`] when the stream was not read to its end, which is a defect.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.0.load(SeqCst) {
            true => Ok(()),
            false => Err(Error::new(Kind::Other, "a layer was not read to its end; this is a defect")),
        }
    }
}

/// `stream`, which fails where it breaks `promise`, and the proof that it did not.
pub(super) fn verified(stream: Sequential, promise: Promise, stop: Arc<Stop>) -> (Sequential, Proof) {
    let proof = Proof::default();
    let seal = proof.clone();
    let len = stream.known_len();
    let hasher = promise.digest.as_ref().map(Digest::hasher);
    let reader = Verified { stream, promise, hasher, taken: 0, proof: seal, stop };
    (Sequential::new(reader, len), proof)
}

/// The whole of `stream`, which is at most `cap` bytes long and keeps `promise`.
///
/// # Errors
/// [`RegistryError::OverLimit`]; whatever breaks the promise.
pub(super) fn small(
    stream: Sequential,
    promise: Promise,
    cap: u64,
    stop: &Arc<Stop>,
) -> Result<Vec<u8>, Error> {
    let what = promise.what.clone();
    let (mut stream, proof) = verified(stream, promise, Arc::clone(stop));
    let mut bytes = Vec::new();
    let unread = |error| Error::from_io(error, Kind::Other);
    stream.by_ref().take(cap).read_to_end(&mut bytes).map_err(unread)?;
    if stream.read(&mut [0]).map_err(unread)? > 0 {
        return Err(too_large(what, cap.saturating_add(1), cap).into());
    }
    proof.check()?;
    Ok(bytes)
}

/// A document of `found` bytes or more where `cap` are allowed.
pub(super) fn too_large(what: String, found: u64, cap: u64) -> RegistryError {
    RegistryError::OverLimit { what, found, unit: "bytes or more", cap }
}

struct Verified {
    stream: Sequential,
    promise: Promise,
    hasher: Option<Hasher>,
    taken: u64,
    proof: Proof,
    stop: Arc<Stop>,
}

impl Verified {
    fn pass(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        self.taken = self.taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if let Some(expected) = self.promise.size.filter(|size| self.taken > *size) {
            return Err(RegistryError::TooLong { what: self.promise.what.clone(), expected });
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), RegistryError> {
        let what = || self.promise.what.clone();
        if let Some(expected) = self.promise.size.filter(|size| *size != self.taken) {
            return Err(RegistryError::Truncated { what: what(), expected, found: self.taken });
        }
        // A copy, so that whoever reads again after a failure meets it again.
        if let (Some(expected), Some(hasher)) = (&self.promise.digest, self.hasher.clone()) {
            let found = expected.finish(hasher);
            if found != *expected {
                return Err(RegistryError::Mismatch { what: what(), expected: expected.clone(), found });
            }
        }
        self.proof.0.store(true, SeqCst);
        Ok(())
    }
}

impl Read for Verified {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        if buf.is_empty() {
            return Ok(0);
        }
        let count = self.stream.read(buf)?;
        let checked = match count {
            0 => self.end(),
            count => self.pass(buf.get(..count).unwrap_or_default()),
        };
        checked.map_err(Error::from)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_within;

    fn promise(size: u64, digit: char) -> Promise {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85";
        let digest = Digest::parse(&format!("sha256:{empty}{digit}")).unwrap();
        Promise { what: "it".to_owned(), digest: Some(digest), size: Some(size) }
    }

    fn read(bytes: &'static [u8], promise: Promise) -> Result<Vec<u8>, Error> {
        small(Sequential::new(bytes, None), promise, 10, &Arc::default())
    }

    #[test]
    fn a_stream_ends_well_only_if_length_and_digest_are_right() {
        assert_eq!(read(b"", promise(0, '5')).unwrap(), b"");
        let abc = promise(0, '5').digest.unwrap().of(b"abc");
        let good = Promise { digest: Some(abc), ..promise(3, '5') };
        assert_eq!(read(b"abc", good.clone()).unwrap(), b"abc");
        let table: [(&'static [u8], Promise, &str, Kind); 5] = [
            (b"", promise(0, '6'), "it has the digest sha256:e3b0", Kind::Integrity),
            (b"abd", good.clone(), "has the digest", Kind::Integrity),
            (b"ab", good.clone(), "ends after 2 of 3 bytes", Kind::Integrity),
            (b"abcd", good, "more than the 3 bytes", Kind::Integrity),
            (b"0123456789a", promise(11, '5'), "the cap is 10", Kind::Image),
        ];
        for (bytes, promise, words, kind) in table {
            let error = read(bytes, promise).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_stream_that_was_not_read_to_its_end_proves_nothing() {
        let (mut stream, proof) = verified(Sequential::new(&b""[..], None), promise(0, '5'), Arc::default());
        assert!(proof.check().is_err());
        assert_eq!(stream.read(&mut [0; 4]).unwrap(), 0);
        assert!(proof.check().is_ok());
    }

    #[test]
    fn a_failure_stays() {
        let (mut stream, proof) = verified(Sequential::new(&b""[..], None), promise(0, '6'), Arc::default());
        for _ in 0..2 {
            assert_eq!(kind_within(&stream.read(&mut [0; 4]).unwrap_err()), Some(Kind::Integrity));
        }
        assert!(proof.check().is_err());
    }

    #[test]
    fn the_wish_to_stop_ends_it() {
        let stop = Arc::new(Stop::default());
        let (mut stream, _) =
            verified(Sequential::new(&b"abc"[..], None), promise(3, '5'), Arc::clone(&stop));
        stop.ask(Kind::Interrupted);
        assert_eq!(kind_within(&stream.read(&mut [0]).unwrap_err()), Some(Kind::Interrupted));
    }
}
