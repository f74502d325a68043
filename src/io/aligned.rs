//! A buffer that starts where direct input and output want it to.

/// What O_DIRECT asks of offsets, lengths and addresses: the largest logical block that disks have.
pub const ALIGNMENT: usize = 4096;

/// Bytes whose first stands at a multiple of [`ALIGNMENT`] in memory.
#[derive(Debug)]
pub struct Aligned {
    bytes: Box<[u8]>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// A buffer of `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        // The memory of a boxed slice never moves, so the start stays aligned.
        let bytes = vec![0; len.saturating_add(ALIGNMENT)].into_boxed_slice();
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start, len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..self.start.saturating_add(self.len)).unwrap_or_default()
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start.saturating_add(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_aligned() {
        for len in [0, 1, 511, 4096, 1 << 20] {
            let buffer = Aligned::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().addr() % ALIGNMENT, 0);
        }
    }
}
