//! QCOW2: what its bytes mean. Section names are those of QEMU's `docs/interop/qcow2.rst`.
//!
//! Refuses to know: where the bytes come from, and any other file that an image names.

mod cluster;
mod entry;
mod extents;
mod feature;
mod header;
mod metadata;

use crate::error::{Classify, Kind};
use crate::format::addr::HostOffset;

pub use cluster::Geometry;
pub use entry::{Mapping, Table, l1_entry};
pub use extents::extents;
pub use header::{Compression, HEADER_AREA, Header};
pub use metadata::Metadata;

/// Why a QCOW2 image is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Qcow2Error {
    /// The image wants bytes from somewhere else, a key, or a feature that we do not have.
    #[error("the QCOW2 image {0}")]
    Unsupported(String),
    /// The image is the top of a chain of files.
    #[error("the QCOW2 image has a backing file{}, which is never opened; flatten it first (qemu-img convert)", quoted(.0))]
    BackingFile(
        /// Its name, escaped and cut short; empty where the header does not lead to one.
        String,
    ),
    /// A field of the header does not fit the others or the specification.
    #[error("the QCOW2 header is damaged: {0}")]
    Header(String),
    /// The L1 table would take more than QEMU and we allow.
    #[error("L1 size too big: {entries} entries, at most {cap} are allowed")]
    L1TooBig {
        /// Entries that the image wants.
        entries: u64,
        /// Entries that are allowed.
        cap: u64,
    },
    /// A table's entry is damaged.
    #[error("the QCOW2 image is damaged: {what} {raw:#018x} {why}")]
    Entry {
        /// Which table's entry.
        what: &'static str,
        /// The entry as it stands in the file.
        raw: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two structures share bytes that they must not share.
    #[error("the QCOW2 image is damaged: {what} at host offset {at} overlaps {other}")]
    Overlap {
        /// The structure that is being placed.
        what: &'static str,
        /// Where it lies.
        at: HostOffset,
        /// What is there already.
        other: &'static str,
    },
    /// A structure reaches past the end of the file.
    #[error(
        "the QCOW2 image is damaged or truncated: {what} at host offset {at} lies outside the file of {len} bytes"
    )]
    Outside {
        /// The structure.
        what: &'static str,
        /// Where it should be.
        at: HostOffset,
        /// The length of the file in bytes.
        len: u64,
    },
}

impl Classify for Qcow2Error {
    fn kind(&self) -> Kind {
        Kind::Image
    }
}

/// ` ("NAME")`, or nothing.
fn quoted(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" (\"{name}\")") }
}

/// The big-endian number at `at`.
fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_be_bytes(bytes.get(at..end)?.try_into().ok()?))
}

/// The big-endian number at `at`.
fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    let end = at.checked_add(8)?;
    Some(u64::from_be_bytes(bytes.get(at..end)?.try_into().ok()?))
}
