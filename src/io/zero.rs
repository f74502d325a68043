//! Where data holds nothing but zeros.

use std::ops::Range;

/// Zero runs shorter than this are written like data: one more write costs more than they save.
const WORTH_A_HOLE: usize = 64 << 10;

/// The step of the search; a file system's usual block.
const BLOCK: usize = 4096;

/// Whether every byte of `bytes` is zero.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    // Chunks that a compiler turns into wide loads, with an early way out between them.
    let (chunks, rest) = bytes.as_chunks::<256>();
    chunks.iter().all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// A run within a buffer, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Not (only) zeros.
    Data(Range<usize>),
    /// Only zeros.
    Zero(Range<usize>),
}

/// Splits `bytes` into data and zero runs, in order and without gaps.
///
/// A zero run that is short and has data on both sides counts as data. Runs begin at multiples of
/// 4096 bytes from the start.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let zeros = zero_blocks(rest);
        if zeros >= WORTH_A_HOLE || zeros == rest.len() {
            at = at.saturating_add(zeros);
            return Some(Piece::Zero(start..at));
        }
        at = at.saturating_add(data_blocks(rest, zeros));
        Some(Piece::Data(start..at))
    })
}

/// The length of the whole zero blocks at the start of `bytes`.
fn zero_blocks(bytes: &[u8]) -> usize {
    bytes.chunks(BLOCK).take_while(|block| is_zero(block)).map(<[u8]>::len).sum()
}

/// The length of the data at the start of `bytes`, whose first `short` bytes are a short zero run.
fn data_blocks(bytes: &[u8], short: usize) -> usize {
    let mut end = short;
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        let zeros = zero_blocks(rest);
        if zeros >= WORTH_A_HOLE || zeros == rest.len() {
            break;
        }
        let block = rest.get(zeros..).map_or(0, |data| data.len().min(BLOCK));
        end = end.saturating_add(zeros).saturating_add(block);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(layout: &[(u8, usize)]) -> Vec<Piece> {
        let bytes: Vec<u8> = layout.iter().flat_map(|(byte, len)| vec![*byte; *len]).collect();
        pieces(&bytes).collect()
    }

    #[test]
    fn long_zero_runs_are_found_and_short_ones_written() {
        const LONG: usize = WORTH_A_HOLE;
        assert_eq!(split(&[]), []);
        assert_eq!(split(&[(0, 100)]), [Piece::Zero(0..100)]);
        assert_eq!(split(&[(7, 100)]), [Piece::Data(0..100)]);
        assert_eq!(split(&[(7, 4096), (0, 4096), (7, 10)]), [Piece::Data(0..8202)]);
        assert_eq!(split(&[(0, 4096), (7, 10)]), [Piece::Data(0..4106)]);
        assert_eq!(split(&[(7, 4096), (0, 4096)]), [Piece::Data(0..4096), Piece::Zero(4096..8192)]);
        let long =
            [Piece::Data(0..4096), Piece::Zero(4096..4096 + LONG), Piece::Data(4096 + LONG..8192 + LONG)];
        assert_eq!(split(&[(7, 4096), (0, LONG), (7, 4096)]), long);
    }

    #[test]
    fn one_byte_anywhere_is_not_zero() {
        for len in [1, 255, 256, 257, 4096, 5000] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in [0, len / 2, len - 1] {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{len} {at}");
                bytes[at] = 0;
            }
        }
    }
}
