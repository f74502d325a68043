//! One layer: bytes verified, compression off, a tar that can be walked.

use std::sync::Arc;

use super::store::Layer;
use super::verified::{Promise, Proof, verified};
use crate::archive::{Member, Walk, is_header};
use crate::codec::{self, Options};
use crate::error::{Error, Kind};
use crate::format::magic::{HEAD, Sniffed, sniff};
use crate::io::{Sequential, relay};
use crate::progress::Stop;

/// A layer that is being read.
pub(super) struct Opened {
    walk: Walk,
    proofs: Vec<Proof>,
}

impl Opened {
    /// Begins to read `layer`, whose bytes are `stored`; messages call it `what`.
    ///
    /// # Errors
    /// Whatever `stored` fails with; a decoder that cannot be set up.
    pub(super) fn new(
        stored: Sequential,
        layer: &Layer,
        what: &str,
        stop: &Arc<Stop>,
    ) -> Result<Self, Error> {
        let unread = |error| Error::from_io(error, Kind::Other);
        let promise = Promise { what: what.to_owned(), digest: layer.stored.clone(), size: Some(layer.size) };
        let (mut stream, proof) = verified(stored, promise, Arc::clone(stop));
        let mut proofs = vec![proof];
        let head = stream.peek(HEAD).map_err(unread)?;
        // A tar's first name may look like anything.
        let codec = match sniff(head) {
            Sniffed::Codec(codec) if !is_header(head) => Some(codec),
            _ => None,
        };
        let mut plain = relay(stream);
        if let Some(codec) = codec {
            // What comes after it hashes all of it, and has a thread of its own too.
            plain = relay(codec::decode(codec, plain, &Options { threads: 1 }).map_err(unread)?);
        }
        let promise = Promise { what: format!("the tar in {what}"), digest: layer.plain.clone(), size: None };
        let (plain, proof) = verified(plain, promise, Arc::clone(stop));
        proofs.push(proof);
        Ok(Self { walk: Walk::new(plain), proofs })
    }

    /// The next member.
    ///
    /// # Errors
    /// What is wrong with the tar; whatever the stream fails with.
    pub(super) fn next_member(&mut self) -> Result<Option<Member>, Error> {
        self.walk.next()
    }

    /// The next bytes of the present member.
    ///
    /// # Errors
    /// As for [`Opened::next_member`].
    pub(super) fn read_data(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.walk.read_some(buf)
    }

    /// Reads what follows the tar's end mark; everything that was promised of the layer then holds.
    ///
    /// # Errors
    /// What does not hold; whatever the stream fails with.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        // Rubbish behind the end mark is as good as any padding: the digest covers it.
        self.walk.drain(|| Ok(()))?;
        self.proofs.iter().try_for_each(Proof::check)
    }
}
