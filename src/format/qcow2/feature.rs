//! Incompatible features, and the names that an image gives to those that we do not know
//! ("Feature name table").

/// An incompatible feature of the specification.
pub(super) const DIRTY: u64 = 1 << 0;
pub(super) const CORRUPT: u64 = 1 << 1;
pub(super) const DATA_FILE: u64 = 1 << 2;
pub(super) const COMPRESSION: u64 = 1 << 3;
pub(super) const EXTENDED_L2: u64 = 1 << 4;

/// What a reader can live with or read.
pub(super) const SUPPORTED: u64 = DIRTY | COMPRESSION | EXTENDED_L2;

/// Bytes of one entry of the table: type, bit, name.
const ENTRY: usize = 48;

/// The names of the incompatible features `bits`, from the image's own table where it has them.
pub(super) fn names(bits: u64, table: &[u8]) -> String {
    let name = |bit: u32| named(bit, table).unwrap_or_else(|| format!("bit {bit}"));
    let bits = (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1);
    bits.map(name).collect::<Vec<_>>().join(", ")
}

/// The name of the incompatible feature `bit`, with what could upset a terminal escaped.
fn named(bit: u32, table: &[u8]) -> Option<String> {
    let entry = table.chunks_exact(ENTRY).find(|entry| {
        entry.first() == Some(&0) && entry.get(1).is_some_and(|stands| u32::from(*stands) == bit)
    })?;
    let name = entry.get(2..)?.split(|byte| *byte == 0).next()?;
    Some(format!("bit {bit}, \"{}\"", name.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_are_named_by_the_image() {
        let mut table = vec![0; ENTRY];
        table[1] = 5;
        table[2..10].copy_from_slice(b"frobnic\x1b");
        assert_eq!(names(1 << 5 | 1 << 63, &table), "bit 5, \"frobnic\\x1b\", bit 63");
        assert_eq!(names(1 << 6, &table), "bit 6");
    }
}
