//! The archive from its first block to its end: one member after the other, and its content.
//!
//! Refuses to know: where members go, and what they are for.

use std::io;

use super::header::{self, BLOCK, Block, Header};
use super::pax::{self, Flaw, Pax, Time};
use super::sparse::Extent;
use super::{ArchiveError, ENTRIES_LIMIT, LONG_LIMIT, NAME_LIMIT, PAX_LIMIT};
use crate::error::{Error, Kind};
use crate::io::{Pass, Sequential, fill};

/// A member of an archive.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: MemberKind,
    /// The permissions, at most 07777.
    pub(super) mode: u32,
    pub(super) mtime: Time,
}

impl Member {
    /// Whether it is a file with holes, of which the archive holds a part only.
    pub(crate) fn is_sparse(&self) -> bool {
        match &self.kind {
            MemberKind::File { size, extents } => {
                !matches!(extents[..], [Extent { at: 0, len }] if len == *size)
            }
            _ => false,
        }
    }
}

/// What a member is.
#[derive(Debug)]
pub(crate) enum MemberKind {
    /// A file of `size` bytes, of which those in `extents` are stored.
    File {
        size: u64,
        extents: Vec<Extent>,
    },
    Directory,
    /// A symbolic link to this.
    Symlink(Vec<u8>),
    /// Another name of this file.
    Hardlink(Vec<u8>),
    /// Something that is not unpacked, but for a [`PIPE`] of a faithful copy; why.
    Refused(&'static str),
}

/// Why a pipe is not unpacked.
pub(super) const PIPE: &str = "it is a pipe, which is never made";

/// What extended headers say of the member after them.
#[derive(Default)]
struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// The archive, read up to somewhere.
pub(crate) struct Walk<R = Sequential> {
    stream: R,
    /// Bytes read so far.
    at: u64,
    /// Members met so far.
    members: usize,
    /// Bytes of the present member's content that were not read yet.
    pub(super) left: u64,
    /// Zeros that follow the content.
    padding: u64,
}

impl<R: Pass> Walk<R> {
    /// The archive that `stream` brings from its first byte on.
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, at: 0, members: 0, left: 0, padding: 0 }
    }

    /// Where in the archive the next byte lies; behind [`Walk::next`] the first of the content.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next member; none at the end mark. Content that was not read is passed over.
    ///
    /// # Errors
    /// [`ArchiveError`]; whatever the stream fails with.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, Error> {
        let mut pending = Pending::default();
        loop {
            self.skip_content()?;
            let start = self.at;
            let Some(block) = self.header()? else {
                return if pending.is_empty() {
                    Ok(None)
                } else {
                    Err(self.damaged("its end mark follows an extended header"))
                };
            };
            if start == 0 && !header::is_header(&block) {
                return Err(ArchiveError::NoArchive.into());
            }
            let header = header::parse(&block).map_err(|why| ArchiveError::Damaged { at: start, why })?;
            match header.kind {
                b'L' => pending.name = Some(self.long(&header, pending.name.is_some())?),
                b'K' => pending.link = Some(self.long(&header, pending.link.is_some())?),
                b'x' => pending.pax = Some(self.pax(&header, pending.pax.is_some())?),
                b'g' => {
                    let bytes =
                        self.extended(&header, PAX_LIMIT, "a PAX header of more bytes than we take")?;
                    pax::check_global(&bytes).map_err(|flaw| self.flaw(flaw))?;
                }
                // The label of a tape is nothing that is unpacked.
                b'V' => self.enter(header.size),
                _ => return self.member(&block, header, pending).map(Some),
            }
        }
    }

    /// Fills `buf` with the next bytes of the present member's content.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<(), Error> {
        let len = len_of(buf);
        if len > self.left {
            return Err(self.damaged("a member's content ends too early"));
        }
        self.take(buf, "within a member's content")?;
        self.left = self.left.saturating_sub(len);
        Ok(())
    }

    /// The next bytes of the present member's content, at most as many as fit; 0 at their end.
    ///
    /// # Errors
    /// [`ArchiveError::Truncated`]; whatever the stream fails with.
    pub(crate) fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let room = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let buf = buf.get_mut(..room).unwrap_or_default();
        self.read(buf)?;
        Ok(room)
    }

    /// Reads what follows the end mark to the end of the stream; the bytes of it that are not zero.
    ///
    /// # Errors
    /// Whatever the stream fails with, or `between`, which runs before each step.
    pub(crate) fn drain(&mut self, mut between: impl FnMut() -> Result<(), Error>) -> Result<u64, Error> {
        let (mut buf, mut odd) = (vec![0; 64 << 10], 0_u64);
        loop {
            between()?;
            let count = fill(&mut self.stream, &mut buf).map_err(unread)?;
            let bytes = buf.get(..count).unwrap_or_default();
            if count == 0 {
                return Ok(odd);
            }
            if !crate::io::is_zero(bytes) {
                odd = odd.saturating_add(len_of(bytes));
            }
            self.at = self.at.saturating_add(len_of(bytes));
        }
    }

    /// The next block where it is no end mark: two blocks of zeros, or one at the end of the stream.
    fn header(&mut self) -> Result<Option<Block>, Error> {
        let mut block = [0; BLOCK];
        self.take(&mut block, "before its end mark")?;
        if !header::is_zero(&block) {
            return Ok(Some(block));
        }
        match fill(&mut self.stream, &mut block).map_err(unread)? {
            0 => return Ok(None),
            count => self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)),
        }
        if header::is_zero(&block) { Ok(None) } else { Err(self.damaged("data follow half of an end mark")) }
    }

    /// What `header` and the extended headers before it say together.
    fn member(&mut self, block: &Block, header: Header, pending: Pending) -> Result<Member, Error> {
        let mut pax = pending.pax.unwrap_or_default();
        let mut map = pax.sparse.take();
        let named = map.as_mut().and_then(|map| map.name.take());
        let name = named.or(pax.path).or(pending.name).unwrap_or(header.name);
        let link = pax.link.or(pending.link).unwrap_or(header.link);
        // The size that a PAX header gives wins: whoever goes by the other one reads data as headers.
        let size = pax.size.unwrap_or(header.size);
        let is_directory = header.kind == b'5' || name.ends_with(b"/");
        let is_file = matches!(header.kind, b'0' | 0 | b'7' | b'S') && !is_directory;
        if map.is_some() && !is_file {
            return Err(self.damaged("a member with a list of pieces is no file"));
        }
        if name.len() > NAME_LIMIT {
            return Err(self.damaged("a name is longer than 4096 bytes"));
        }
        self.members = self.members.saturating_add(1);
        if self.members > ENTRIES_LIMIT {
            let cap = u64::try_from(ENTRIES_LIMIT).unwrap_or(u64::MAX);
            return Err(ArchiveError::OverLimit { what: "more entries than we take", cap }.into());
        }
        let kind = match header.kind {
            b'S' if is_file && map.is_none() => self.old_sparse(block, size)?,
            b'0' | 0 | b'7' if is_file => match map {
                Some(map) => self.new_sparse(*map, size)?,
                None => {
                    self.enter(size);
                    MemberKind::File { size, extents: vec![Extent { at: 0, len: size }] }
                }
            },
            b'0' | 0 | b'5' | b'7' => self.empty(size, MemberKind::Directory)?,
            b'2' => self.empty(size, MemberKind::Symlink(link))?,
            // Old programs give links the size of the file, without its content.
            b'1' => self.empty(pax.size.unwrap_or(0), MemberKind::Hardlink(link))?,
            other @ (b'3' | b'4' | b'6') => self.empty(size, MemberKind::Refused(refusal(other)))?,
            other => {
                self.enter(size);
                MemberKind::Refused(refusal(other))
            }
        };
        let mtime = pax.mtime.unwrap_or(Time { seconds: header.mtime, nanos: 0 });
        Ok(Member { name, kind, mode: header.mode, mtime })
    }

    /// `kind`, whose content must be empty: programs disagree on whether it would follow.
    fn empty(&self, size: u64, kind: MemberKind) -> Result<MemberKind, Error> {
        if size == 0 { Ok(kind) } else { Err(self.damaged("a member without content has a size")) }
    }

    fn long(&mut self, header: &Header, again: bool) -> Result<Vec<u8>, Error> {
        self.once(again)?;
        let mut name = self.extended(header, LONG_LIMIT, "a long name of more bytes than we take")?;
        if name.last() == Some(&0) {
            name.pop();
        }
        if name.is_empty() { Err(self.damaged("a long name is empty")) } else { Ok(name) }
    }

    fn pax(&mut self, header: &Header, again: bool) -> Result<Pax, Error> {
        self.once(again)?;
        let bytes = self.extended(header, PAX_LIMIT, "a PAX header of more bytes than we take")?;
        pax::parse(&bytes).map_err(|flaw| self.flaw(flaw))
    }

    fn once(&self, again: bool) -> Result<(), Error> {
        if again {
            Err(self.damaged("two extended headers of one kind belong to one member"))
        } else {
            Ok(())
        }
    }

    /// The whole content of an extended header.
    fn extended(&mut self, header: &Header, cap: u64, what: &'static str) -> Result<Vec<u8>, Error> {
        let len = usize::try_from(header.size).ok().filter(|_| header.size <= cap);
        let Some(len) = len else { return Err(ArchiveError::OverLimit { what, cap }.into()) };
        self.enter(header.size);
        let mut bytes = vec![0; len];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes note that `size` bytes of content follow.
    pub(super) fn enter(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(len_of(&[0; BLOCK])).saturating_sub(size);
    }

    fn skip_content(&mut self) -> Result<(), Error> {
        let skip = self.left.saturating_add(self.padding);
        let passed = self.stream.pass(skip).map_err(unread)?;
        self.at = self.at.saturating_add(passed);
        if passed < skip {
            return Err(ArchiveError::Truncated { at: self.at, why: "within a member's content" }.into());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Fills `buf` from the stream, which must not end before.
    pub(super) fn take(&mut self, buf: &mut [u8], place: &'static str) -> Result<(), Error> {
        let count = fill(&mut self.stream, buf).map_err(unread)?;
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        match (count == buf.len(), self.at < len_of(&[0; BLOCK])) {
            (true, _) => Ok(()),
            (false, true) => Err(ArchiveError::NoArchive.into()),
            (false, false) => Err(ArchiveError::Truncated { at: self.at, why: place }.into()),
        }
    }

    pub(super) fn damaged(&self, why: &'static str) -> Error {
        ArchiveError::Damaged { at: self.at, why }.into()
    }

    fn flaw(&self, flaw: Flaw) -> Error {
        match flaw {
            Flaw::Malformed(why) => self.damaged(why),
            Flaw::Refused(error) => error.into(),
        }
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.pax.is_none()
    }
}

/// Why a member of the type `kind` is never unpacked.
fn refusal(kind: u8) -> &'static str {
    match kind {
        b'3' => "it is a character device, which is never made",
        b'4' => "it is a block device, which is never made",
        b'6' => PIPE,
        b's' => "it is a socket, which is never made",
        b'M' => "it is the rest of a file that began on another volume; give one archive of all volumes",
        b'D' => "it is a directory of an incremental archive, which is not supported",
        _ => "it is of a type that is not supported",
    }
}

fn unread(error: io::Error) -> Error {
    Error::from_io(error, Kind::Other)
}

fn len_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
