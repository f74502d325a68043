//! A tar, member by member, from a stream that comes once: the headers of the `tar` crate, our limits.
//!
//! The crate's own iteration borrows its archive, so nothing that is read in small steps can own it; it
//! also reads extensions of any length into memory, and forgives those that are malformed.
//!
//! Refuses to know: what members are for. Sparse members are told by name and not expanded.

mod extension;

use std::io::{self, Read};

use tar::{EntryType, Header};

use self::extension::Extensions;
use crate::error::{Classify, Error, Kind};
use crate::io::{Sequential, fill};

/// Headers and data come in blocks of this many bytes.
const BLOCK: usize = 512;

/// Members of one tar, extensions included.
const MOST_MEMBERS: u32 = 1_000_000;

/// Bytes that are read over in one step.
const STEP: usize = 64 << 10;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Directory,
    Symlink,
    HardLink,
    Device,
    Fifo,
    Sparse,
    Other,
}

/// One member, its extensions applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The name as it stands there.
    pub(super) name: Vec<u8>,
    /// What a link leads to.
    pub(super) link: Vec<u8>,
    pub(super) kind: MemberKind,
    /// The length of its data in bytes.
    pub(super) size: u64,
    /// Where in the tar its data begins.
    pub(super) at: u64,
}

/// What is wrong with a tar.
#[derive(Debug, thiserror::Error)]
pub(super) enum TapeError {
    #[error("the tar is damaged at byte {at}: {why}")]
    Damaged { at: u64, why: &'static str },
    #[error("the tar ends early, at byte {at}: {why}")]
    Short { at: u64, why: &'static str },
    #[error("the tar is over a limit at byte {at}: {what} of {found}, the cap is {cap}")]
    OverLimit { at: u64, what: &'static str, found: u64, cap: u64 },
}

impl Classify for TapeError {
    fn kind(&self) -> Kind {
        Kind::Image
    }
}

/// A reader that may know a way over bytes which nobody wants.
pub(super) trait Pass: Read {
    /// Goes over the next `count` bytes; returns how many there were.
    ///
    /// # Errors
    /// Whatever the reader fails with.
    fn pass(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut self.take(count), &mut io::sink())
    }
}

impl Pass for Sequential {}

#[cfg(test)]
impl Pass for &[u8] {}

/// A tar being read.
pub(super) struct Tape<R> {
    reader: R,
    /// Bytes read so far.
    at: u64,
    /// Data of the present member that was not read yet.
    left: u64,
    /// Bytes behind that data up to the next block.
    padding: u64,
    members: u32,
    ended: bool,
}

impl<R: Pass> Tape<R> {
    /// The tar that `reader` brings from its first byte on.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, at: 0, left: 0, padding: 0, members: 0, ended: false }
    }

    /// The next member, or `None` after the end mark; data that was not read is passed over.
    ///
    /// # Errors
    /// [`TapeError`]; whatever the reader fails with.
    pub(super) fn next_member(&mut self) -> Result<Option<Member>, Error> {
        let mut extensions = Extensions::default();
        while let Some(header) = self.header()? {
            let size = size(&header).ok_or_else(|| self.damaged("the size is no number"))?;
            if extension::is_extension(&header) {
                let cap = extension::cap(&header);
                if size > cap {
                    return Err(self.over("an extension", size, cap));
                }
                self.expect(size)?;
                let data = self.small()?;
                extensions.take_in(&header, &data).map_err(|why| self.damaged(why))?;
                continue;
            }
            return self.member(&header, size, extensions).map(Some);
        }
        if extensions != Extensions::default() {
            return Err(self.damaged("it ends with an extension of a member that does not follow"));
        }
        Ok(None)
    }

    /// The next bytes of the present member's data; 0 at their end.
    ///
    /// # Errors
    /// [`TapeError::Short`]; whatever the reader fails with.
    pub(super) fn read_data(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let room = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let buf = buf.get_mut(..room).unwrap_or_default();
        if buf.is_empty() {
            return Ok(0);
        }
        let count = read(&mut self.reader, buf)?;
        if count == 0 {
            return Err(TapeError::Short { at: self.at, why: "within a member's data" }.into());
        }
        self.advance(count);
        self.left = self.left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }

    /// Reads whatever follows the end mark, up to the end of the stream.
    ///
    /// # Errors
    /// Whatever the reader fails with.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        let mut buf = vec![0; STEP];
        while read(&mut self.reader, &mut buf)? > 0 {}
        Ok(())
    }

    /// The next header; `None` at the end mark.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        self.skip()?;
        if self.ended {
            return Ok(None);
        }
        let mut header = Header::new_old();
        let filled = fill(&mut self.reader, header.as_mut_bytes()).map_err(failed)?;
        self.advance(filled);
        match filled {
            BLOCK => {}
            0 => return Err(self.short("there is no end mark")),
            _ => return Err(self.short("within a header")),
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(None);
        }
        if !is_header(header.as_bytes()) {
            return Err(self.damaged("the checksum of a header is wrong"));
        }
        self.members = self.members.saturating_add(1);
        if self.members > MOST_MEMBERS {
            return Err(self.over("a number of members", self.members.into(), MOST_MEMBERS.into()));
        }
        Ok(Some(header))
    }

    fn member(&mut self, header: &Header, size: u64, extensions: Extensions) -> Result<Member, Error> {
        let size = extensions.size.unwrap_or(size);
        let mut kind = kind(header.entry_type());
        if header.entry_type() == EntryType::GNUSparse {
            self.skip_sparse_map(header)?;
        }
        let name = extensions.name.unwrap_or_else(|| header.path_bytes().into_owned());
        if name.is_empty() || name.contains(&0) {
            return Err(self.damaged("a member has no proper name"));
        }
        if name.len() > extension::MOST_NAME {
            let (found, cap) = (u64::try_from(name.len()).unwrap_or(u64::MAX), extension::MOST_NAME);
            return Err(self.over("a name", found, u64::try_from(cap).unwrap_or(u64::MAX)));
        }
        if kind == MemberKind::File && name.ends_with(b"/") {
            kind = MemberKind::Directory;
        } else if extensions.sparse {
            kind = MemberKind::Sparse;
        }
        let dataless = !matches!(kind, MemberKind::File | MemberKind::Sparse | MemberKind::Other);
        if dataless && size > 0 {
            // Readers disagree on whether data follow, and so on what the members behind are.
            return Err(self.damaged("a member without data has a size"));
        }
        self.expect(size)?;
        let link = header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        Ok(Member { name, link: extensions.link.unwrap_or(link), kind, size, at: self.at })
    }

    /// Passes over the blocks of a sparse map that stand between header and data.
    fn skip_sparse_map(&mut self, header: &Header) -> Result<(), Error> {
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while more {
            let mut map = tar::GnuExtSparseHeader::new();
            let filled = fill(&mut self.reader, map.as_mut_bytes()).map_err(failed)?;
            self.advance(filled);
            if filled < BLOCK {
                return Err(self.short("within a sparse map"));
            }
            more = map.is_extended();
        }
        Ok(())
    }

    /// Data of `size` bytes follow.
    fn expect(&mut self, size: u64) -> Result<(), Error> {
        let end = size.checked_next_multiple_of(512);
        if end.and_then(|end| self.at.checked_add(end)).is_none() {
            return Err(self.damaged("a size is larger than any file"));
        }
        self.left = size;
        self.padding = end.unwrap_or(size).saturating_sub(size);
        Ok(())
    }

    /// The present member's data, which were found to be short.
    fn small(&mut self) -> Result<Vec<u8>, Error> {
        let mut data = vec![0; usize::try_from(self.left).unwrap_or(0)];
        let mut filled = 0_usize;
        while self.left > 0 {
            let count = self.read_data(data.get_mut(filled..).unwrap_or_default())?;
            filled = filled.saturating_add(count);
        }
        Ok(data)
    }

    /// Passes over what is left of the present member.
    fn skip(&mut self) -> Result<(), Error> {
        let left = self.left.saturating_add(self.padding);
        if left > 0 {
            let passed = self.reader.pass(left).map_err(failed)?;
            self.at = self.at.saturating_add(passed);
            if passed < left {
                return Err(self.short("within a member's data"));
            }
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }

    fn damaged(&self, why: &'static str) -> Error {
        TapeError::Damaged { at: self.at, why }.into()
    }

    fn short(&self, why: &'static str) -> Error {
        TapeError::Short { at: self.at, why }.into()
    }

    fn over(&self, what: &'static str, found: u64, cap: u64) -> Error {
        TapeError::OverLimit { at: self.at, what, found, cap }.into()
    }
}

/// Whether `block` is a tar header by its own checksum.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Some(block) = block.get(..BLOCK) else { return false };
    let header = Header::from_byte_slice(block);
    let field = 148..156;
    let sum = block.iter().enumerate().fold(0_u32, |sum, (at, byte)| {
        sum.wrapping_add(u32::from(if field.contains(&at) { b' ' } else { *byte }))
    });
    header.cksum().is_ok_and(|expected| expected == sum)
}

/// One read, again after an interruption.
fn read(reader: &mut impl Read, buf: &mut [u8]) -> Result<usize, Error> {
    loop {
        match reader.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(failed),
        }
    }
}

fn failed(error: io::Error) -> Error {
    Error::from_io(error, Kind::Other)
}

fn kind(of: EntryType) -> MemberKind {
    match of {
        EntryType::Regular | EntryType::Continuous => MemberKind::File,
        EntryType::Directory => MemberKind::Directory,
        EntryType::Symlink => MemberKind::Symlink,
        EntryType::Link => MemberKind::HardLink,
        EntryType::Char | EntryType::Block => MemberKind::Device,
        EntryType::Fifo => MemberKind::Fifo,
        EntryType::GNUSparse => MemberKind::Sparse,
        _ => MemberKind::Other,
    }
}

/// The size field: octal digits, or a number of 11 bytes behind a byte 0x80.
fn size(header: &Header) -> Option<u64> {
    let field = &header.as_old().size;
    if let [0x80, high @ .., a, b, c, d, e, f, g, h] = field {
        let fits = high.iter().all(|byte| *byte == 0);
        return fits.then(|| u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
    }
    let digits = field.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(8)?;
        value.checked_mul(8)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests;
