//! A disk to measure with: the same bytes each time, about as compressible as a system's.

use std::error::Error;

/// What a bench's `main` and its set-up end with.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Bytes of a stretch that is all words, all noise or all zeros.
const STRETCH: usize = 64 << 10;

/// The first `len` bytes of the disk: of eight stretches five are words, one is noise, two are zeros.
pub(crate) fn disk(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len.next_multiple_of(STRETCH));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < len {
        match (bytes.len() / STRETCH) % 8 {
            3 | 6 => bytes.resize(bytes.len() + STRETCH, 0),
            5 => fill(&mut bytes, || next(&mut state).to_le_bytes()),
            _ => fill(&mut bytes, || word(next(&mut state))),
        }
    }
    bytes.truncate(len);
    bytes
}

/// Adds one stretch of eight-byte pieces.
fn fill(bytes: &mut Vec<u8>, mut piece: impl FnMut() -> [u8; 8]) {
    for _ in 0..STRETCH / 8 {
        bytes.extend_from_slice(&piece());
    }
}

/// Xorshift: noise that needs no crate.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// One of 256 words, each of which is followed by a number that changes less often.
fn word(noise: u64) -> [u8; 8] {
    let [which, digit, ..] = noise.to_le_bytes();
    let stem = which.wrapping_mul(37);
    [b'a' + stem % 26, b'e', b'a' + which % 26, b'o', b'n', b' ', b'0' + digit % 4, b'\n']
}
