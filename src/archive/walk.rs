//! The archive from its first block to its end: one member after the other, and its content.
//!
//! Refuses to know: where members go, and which of them are refused for what they are.

use std::io;

use super::header::{self, BLOCK, Block, Header};
use super::pax::{self, Flaw, Pax, Time};
use super::sparse::{self, Extent};
use super::{ArchiveError, EXTENTS_LIMIT, LONG_LIMIT, PAX_LIMIT};
use crate::error::{Error, Kind};
use crate::io::{Sequential, fill};

/// A member of an archive.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) kind: MemberKind,
    /// The permissions, at most 0777.
    pub(super) mode: u32,
    pub(super) mtime: Time,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum MemberKind {
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
    /// Something that is never unpacked; why.
    Refused(&'static str),
}

/// What extended headers say of the member after them.
#[derive(Default)]
struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// The archive, read up to somewhere.
pub(super) struct Walk {
    stream: Sequential,
    /// Bytes read so far.
    at: u64,
    /// Bytes of the present member's content that were not read yet.
    left: u64,
    /// Zeros that follow the content.
    padding: u64,
}

impl Walk {
    pub(super) fn new(stream: Sequential) -> Self {
        Self { stream, at: 0, left: 0, padding: 0 }
    }

    /// The next member; none at the end mark.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Error> {
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

    /// Reads what follows the end mark to the end of the stream; the bytes of it that are not zero.
    pub(super) fn drain(&mut self, mut between: impl FnMut() -> Result<(), Error>) -> Result<u64, Error> {
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
            other => MemberKind::Refused(refusal(other)),
        };
        let mtime = pax.mtime.unwrap_or(Time { seconds: header.mtime, nanos: 0 });
        Ok(Member { name, kind, mode: header.mode, mtime })
    }

    /// `kind`, whose content must be empty: programs disagree on whether it would follow.
    fn empty(&self, size: u64, kind: MemberKind) -> Result<MemberKind, Error> {
        if size == 0 { Ok(kind) } else { Err(self.damaged("a directory or a link has a size")) }
    }

    /// A sparse file in GNU tar's own format: pieces in the header, and in blocks after it.
    fn old_sparse(&mut self, block: &Block, stored: u64) -> Result<MemberKind, Error> {
        let (mut list, size) = header::sparse(block).map_err(|why| self.damaged(why))?;
        let mut extents = Vec::new();
        loop {
            for extent in list.extents {
                sparse::push(&mut extents, extent)?;
            }
            if !list.more {
                break;
            }
            let mut block = [0; BLOCK];
            self.take(&mut block, "within the list of a sparse file's pieces")?;
            list = header::sparse_extension(&block).map_err(|why| self.damaged(why))?;
        }
        self.enter(stored);
        self.sparse(size, extents)
    }

    /// A sparse file in a PAX archive: pieces in the PAX header, or as text before the data.
    fn new_sparse(&mut self, map: pax::Sparse, stored: u64) -> Result<MemberKind, Error> {
        let Some(size) = map.size else { return Err(self.damaged("a sparse file has no size")) };
        self.enter(stored);
        match (map.major, map.minor) {
            (None | Some(0), _) => self.sparse(size, map.extents),
            (Some(1), None | Some(0)) => {
                let extents = self.map()?;
                self.sparse(size, extents)
            }
            _ => Err(self.damaged("a sparse file is of a format that is not known")),
        }
    }

    fn sparse(&self, size: u64, extents: Vec<Extent>) -> Result<MemberKind, Error> {
        sparse::check(&extents, size, self.left).map_err(|why| self.damaged(why))?;
        Ok(MemberKind::File { size, extents })
    }

    /// The list of pieces before the data: decimal numbers on lines, in whole blocks.
    fn map(&mut self) -> Result<Vec<Extent>, Error> {
        let mut lines = Lines { block: [0; BLOCK], taken: BLOCK };
        let count = lines.number(self)?;
        if count > u64::try_from(EXTENTS_LIMIT).unwrap_or(u64::MAX) {
            let cap = u64::try_from(EXTENTS_LIMIT).unwrap_or(u64::MAX);
            let what = "a sparse file of more pieces than we take";
            return Err(ArchiveError::OverLimit { what, cap }.into());
        }
        let mut extents = Vec::new();
        for _ in 0..count {
            extents.push(Extent { at: lines.number(self)?, len: lines.number(self)? });
        }
        Ok(extents)
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
    fn enter(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(len_of(&[0; BLOCK])).saturating_sub(size);
    }

    fn skip_content(&mut self) -> Result<(), Error> {
        let mut buf = [0; 8 * BLOCK];
        let mut skip = self.left.saturating_add(self.padding);
        while skip > 0 {
            let step = usize::try_from(skip).unwrap_or(usize::MAX).min(buf.len());
            self.take(buf.get_mut(..step).unwrap_or_default(), "within a member's content")?;
            skip = skip.saturating_sub(u64::try_from(step).unwrap_or(u64::MAX));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Fills `buf` from the stream, which must not end before.
    fn take(&mut self, buf: &mut [u8], place: &'static str) -> Result<(), Error> {
        let count = fill(&mut self.stream, buf).map_err(unread)?;
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        match (count == buf.len(), self.at < len_of(&[0; BLOCK])) {
            (true, _) => Ok(()),
            (false, true) => Err(ArchiveError::NoArchive.into()),
            (false, false) => Err(ArchiveError::Truncated { at: self.at, why: place }.into()),
        }
    }

    fn damaged(&self, why: &'static str) -> Error {
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

/// The text before the data of a sparse file, block by block.
struct Lines {
    block: Block,
    taken: usize,
}

impl Lines {
    /// The number on the next line.
    fn number(&mut self, walk: &mut Walk) -> Result<u64, Error> {
        let mut digits = Vec::new();
        loop {
            if self.taken == BLOCK {
                walk.read(&mut self.block)?;
                self.taken = 0;
            }
            let byte = self.block.get(self.taken).copied().unwrap_or_default();
            self.taken = self.taken.saturating_add(1);
            match byte {
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                b'\n' if !digits.is_empty() => break,
                _ => return Err(walk.damaged("the list of a sparse file's pieces is malformed")),
            }
        }
        pax::decimal(&digits).ok_or_else(|| walk.damaged("a piece of a sparse file lies beyond any file"))
    }
}

/// Why a member of the type `kind` is never unpacked.
fn refusal(kind: u8) -> &'static str {
    match kind {
        b'3' => "it is a character device, which is never made",
        b'4' => "it is a block device, which is never made",
        b'6' => "it is a pipe, which is never made",
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
