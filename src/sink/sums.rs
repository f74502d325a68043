//! Sums of what lies where: of sectors, in any order, so that writes can be told as they come.
//!
//! Refuses to know: what the sums are for.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{MIB, in_memory, len_of};
use crate::io::is_zero;

/// The unit of the sums; guests' disks are multiples of it.
pub(super) const SECTOR: usize = 512;

/// Bytes of a write that lie in one MiB.
pub(super) struct Part {
    /// The guest offset of the first one.
    pub(super) at: u64,
    /// How many there are.
    pub(super) len: u64,
    /// Their sum.
    pub(super) sum: u64,
}

/// The parts of `buf`, which lies at the guest offset `at`, a multiple of [`SECTOR`].
pub(super) fn sums(buf: &[u8], at: u64) -> impl Iterator<Item = Part> {
    let (mut rest, mut at) = (buf, at);
    std::iter::from_fn(move || {
        let step = in_memory(MIB.saturating_sub(at % MIB)).min(rest.len());
        let (bytes, after) = rest.split_at(step);
        let part = Part { at, len: len_of(bytes), sum: sum_of(bytes, at) };
        (rest, at) = (after, at.saturating_add(part.len));
        (!bytes.is_empty()).then_some(part)
    })
}

/// The sum of the sectors of `bytes`, the first of which is at the guest offset `at`.
pub(super) fn sum_of(bytes: &[u8], at: u64) -> u64 {
    let (sectors, rest) = bytes.as_chunks::<SECTOR>();
    let seed = |index: usize| at.wrapping_add(index.saturating_mul(SECTOR) as u64);
    let one = |(index, sector): (usize, &[u8; SECTOR])| {
        if is_zero(sector) { 0 } else { xxh3_64_with_seed(sector, seed(index)) }
    };
    let sum = sectors.iter().enumerate().map(one).fold(0_u64, u64::wrapping_add);
    if rest.is_empty() {
        return sum;
    }
    let mut last = [0; SECTOR];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    sum.wrapping_add(one((sectors.len(), &last)))
}
