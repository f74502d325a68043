//! One header block: 512 bytes in, facts out. Layouts: POSIX.1-2017 ustar, and GNU tar's `tar.h`.
//!
//! Refuses to know: what came before it.

use std::ops::Range;

use super::sparse::Extent;

/// The unit of an archive in bytes.
pub(super) const BLOCK: usize = 512;

/// One unit of an archive.
pub(super) type Block = [u8; BLOCK];

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const PREFIX: Range<usize> = 345..500;
/// Where GNU headers hold the first pieces of a sparse file.
const SPARSE: Range<usize> = 386..482;
const SPARSE_MORE: usize = 482;
const SPARSE_SIZE: Range<usize> = 483..495;
/// Where the blocks that follow such a header hold more of them.
const EXTENSION: Range<usize> = 0..504;
const EXTENSION_MORE: usize = 504;

/// What one header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    /// The type of the member, a letter or a digit.
    pub(super) kind: u8,
    /// Bytes of content that follow.
    pub(super) size: u64,
    /// The permissions, at most 07777.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) mtime: i64,
}

/// Pieces of a sparse file, as one block of the old GNU format lists them.
pub(super) struct SparseBlock {
    pub(super) extents: Vec<Extent>,
    /// Whether another block follows.
    pub(super) more: bool,
}

/// Whether `head` starts with a header whose sum is right: nothing else looks like that by chance.
#[must_use]
pub fn is_header(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>().is_some_and(|block| !is_zero(block) && has_right_sum(block))
}

pub(super) fn is_zero(block: &Block) -> bool {
    crate::io::is_zero(block)
}

/// What `block`, which is not zero, says.
pub(super) fn parse(block: &Block) -> Result<Header, &'static str> {
    if !has_right_sum(block) {
        return Err("a header's checksum is wrong");
    }
    let mut name = text(field(block, NAME)).to_vec();
    let prefix = text(field(block, PREFIX));
    if field(block, MAGIC) == b"ustar\0" && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    let mode = number(field(block, MODE)).ok_or("a header's mode is no number")?;
    Ok(Header {
        name,
        link: text(field(block, LINK)).to_vec(),
        kind: block.get(TYPE).copied().unwrap_or(0),
        size: size(field(block, SIZE))?,
        mode: u32::try_from(mode & 0o7777).unwrap_or(0),
        mtime: number(field(block, MTIME))
            .and_then(|time| i64::try_from(time).ok())
            .ok_or("a header's time is no number")?,
    })
}

/// The first pieces of a sparse file, and its size with its holes.
pub(super) fn sparse(block: &Block) -> Result<(SparseBlock, u64), &'static str> {
    let list = pieces(field(block, SPARSE), block.get(SPARSE_MORE))?;
    Ok((list, size(field(block, SPARSE_SIZE))?))
}

/// More pieces of a sparse file, from a block that follows its header.
pub(super) fn sparse_extension(block: &Block) -> Result<SparseBlock, &'static str> {
    pieces(field(block, EXTENSION), block.get(EXTENSION_MORE))
}

fn pieces(fields: &[u8], more: Option<&u8>) -> Result<SparseBlock, &'static str> {
    let (pairs, _) = fields.as_chunks::<24>();
    let used = pairs.iter().take_while(|pair| pair.first() != Some(&0) && pair.get(12) != Some(&0));
    let extent =
        |pair: &[u8; 24]| Ok(Extent { at: size(field(pair, 0..12))?, len: size(field(pair, 12..24))? });
    let extents = used.map(extent).collect::<Result<_, &'static str>>()?;
    Ok(SparseBlock { extents, more: more.is_some_and(|flag| *flag != 0 && *flag != b'0') })
}

fn field(block: &[u8], range: Range<usize>) -> &[u8] {
    block.get(range).unwrap_or_default()
}

/// The bytes before the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn size(field: &[u8]) -> Result<u64, &'static str> {
    let value = number(field).ok_or("a header's size is no number")?;
    // What no file can have is no size either.
    let value = i64::try_from(value).map_err(|_| "a header's size is larger than any file")?;
    u64::try_from(value).map_err(|_| "a header's size is negative")
}

/// Octal digits between blanks, or base 256 with the highest bit set; nothing at all is zero.
fn number(field: &[u8]) -> Option<i128> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // The rest of the first byte is the highest digit, of seven bits and a sign.
        let start = if first & 0x40 != 0 { i128::from(first) - 0x100 } else { i128::from(first & 0x7f) };
        return Some(field.iter().skip(1).fold(start, |sum, byte| (sum << 8) | i128::from(*byte)));
    }
    let is_blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let digits = field.iter().skip_while(|byte| is_blank(byte));
    let mut value = 0;
    let mut ended = false;
    for byte in digits {
        match byte {
            b'0'..=b'7' if !ended => value = value * 8 + i128::from(*byte - b'0'),
            _ if is_blank(byte) => ended = true,
            _ => return None,
        }
    }
    Some(value)
}

/// Whether the sum of the bytes is what the header says; old programs took them for signed.
fn has_right_sum(block: &Block) -> bool {
    let Some(stored) = number(field(block, CHECKSUM)) else { return false };
    let bytes =
        || block.iter().enumerate().map(|(at, byte)| if CHECKSUM.contains(&at) { b' ' } else { *byte });
    let unsigned: i128 = bytes().map(i128::from).sum();
    let signed: i128 = bytes().map(|byte| i128::from(byte.cast_signed())).sum();
    stored == unsigned || stored == signed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let table: [(&[u8], Option<i128>); 10] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\x01\x02", Some(258)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"8", None),
            (b"12 4", None),
            (b"-1", None),
            (b"", None),
        ];
        for (field, value) in table {
            assert_eq!(number(field), value, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn a_header_of_the_crate_tar_is_understood() {
        let mut made = tar::Header::new_ustar();
        made.set_path("a/b").unwrap();
        made.set_size(77);
        made.set_mode(0o4751);
        made.set_mtime(1_700_000_000);
        made.set_entry_type(tar::EntryType::Regular);
        made.set_cksum();
        let header = parse(made.as_bytes()).unwrap();
        assert_eq!((header.name.as_slice(), header.size, header.kind), (&b"a/b"[..], 77, b'0'));
        assert_eq!((header.mode, header.mtime), (0o4751, 1_700_000_000));
        assert!(is_header(made.as_bytes()));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let mut made = tar::Header::new_gnu();
        made.set_path("file").unwrap();
        made.set_size(1);
        made.set_cksum();
        for at in (0..BLOCK).filter(|at| !CHECKSUM.contains(at)) {
            let mut block = *made.as_bytes();
            block[at] ^= 0x10;
            assert!(parse(&block).is_err(), "byte {at}");
        }
    }

    #[test]
    fn sizes_that_no_file_has_are_refused() {
        for field in
            [&[0xff; 12], b"\x80\0\0\0\x80\0\0\0\0\0\0\0", b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            let mut made = tar::Header::new_gnu();
            made.set_path("file").unwrap();
            made.as_old_mut().size = *field;
            made.set_cksum();
            assert!(parse(made.as_bytes()).is_err(), "{}", field.escape_ascii());
        }
    }
}
