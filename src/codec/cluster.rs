//! Compressed QCOW2 clusters: whole buffers in, exactly one cluster out.
//!
//! Memory: the tables of one decoder of each kind for each worker, below 200 KiB, and for zstd at
//! most one window, which is bounded like a stream's.

use ::zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::WINDOW_LOG_LIMIT;
use crate::error::{Classify, Kind};
use crate::format::addr::HostOffset;
use crate::format::qcow2::Compression;
use crate::sys::deflate::Deflate;

/// A compressed cluster that does not decode to one cluster.
#[derive(Debug, thiserror::Error)]
#[error(
    "the QCOW2 image is damaged: the compressed cluster at host offset {at} does not decode to one cluster"
)]
pub struct ClusterError {
    at: HostOffset,
}

impl Classify for ClusterError {
    fn kind(&self) -> Kind {
        Kind::Image
    }
}

/// A decoder of clusters, one for each worker.
pub struct Inflater(Decoder);

enum Decoder {
    Deflate(Deflate),
    Zstd(DCtx<'static>),
}

impl Inflater {
    /// A decoder; `None` when there is no memory for one.
    #[must_use]
    pub fn new(compression: Compression) -> Option<Self> {
        Some(Self(match compression {
            Compression::Deflate => Decoder::Deflate(Deflate::new()?),
            Compression::Zstd => {
                let mut context = DCtx::try_create()?;
                context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_LIMIT)).ok()?;
                Decoder::Zstd(context)
            }
        }))
    }

    /// Fills `out`, one cluster, from the start of `input`, which begins at the host offset `at`;
    /// returns the bytes consumed.
    ///
    /// # Errors
    /// [`ClusterError`] for damaged data, and for data of another length than a cluster's.
    pub fn fill(&mut self, at: HostOffset, input: &[u8], out: &mut [u8]) -> Result<usize, ClusterError> {
        let consumed = match &mut self.0 {
            Decoder::Deflate(deflate) => deflate.fill(input, out),
            Decoder::Zstd(context) => frames(context, input, out),
        };
        consumed.ok_or(ClusterError { at })
    }
}

/// Decodes frames until `out` is full; the last one must end there.
fn frames(context: &mut DCtx<'static>, input: &[u8], out: &mut [u8]) -> Option<usize> {
    context.reset(::zstd::zstd_safe::ResetDirective::SessionOnly).ok()?;
    let len = out.len();
    let mut from = InBuffer::around(input);
    let mut to = OutBuffer::around(out);
    loop {
        let before = (from.pos(), to.pos());
        let rest = context.decompress_stream(&mut to, &mut from).ok()?;
        if to.pos() == len {
            return (rest == 0).then_some(from.pos());
        }
        if before == (from.pos(), to.pos()) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const CLUSTER: usize = 65_536;

    fn cluster() -> Vec<u8> {
        (0_u8..=250).flat_map(|byte| [byte; 7]).cycle().take(CLUSTER).collect()
    }

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn round_trip(compression: Compression, packed: &[u8]) {
        let at = HostOffset(0);
        let mut inflater = Inflater::new(compression).unwrap();
        let mut out = vec![0; CLUSTER];
        let followed = [packed, &[0xa5; 600]].concat();
        for input in [packed, &followed] {
            assert_eq!(inflater.fill(at, input, &mut out).unwrap(), packed.len());
            assert!(out == cluster());
        }
        for len in 0..packed.len() {
            assert!(inflater.fill(at, &packed[..len], &mut out).is_err(), "{len}");
        }
        assert!(inflater.fill(at, packed, &mut out[..CLUSTER - 1]).is_err());
        assert!(inflater.fill(at, packed, &mut vec![0; CLUSTER + 1]).is_err());
        assert!(inflater.fill(at, packed, &mut out).is_ok(), "usable after an error");
    }

    #[test]
    fn a_deflate_cluster_is_filled_exactly_and_its_length_known() {
        round_trip(Compression::Deflate, &deflated(&cluster()));
    }

    #[test]
    fn a_zstd_cluster_is_filled_exactly_and_its_length_known() {
        round_trip(Compression::Zstd, &::zstd::bulk::compress(&cluster(), 3).unwrap());
    }
}
