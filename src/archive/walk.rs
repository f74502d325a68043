//! The archive from its first block to its end: one member after the other, and its content.
//!
//! Refuses to know: where members go, and which of them are refused for what they are.

use std::io;

use super::header::{self, BLOCK, Block, Header};
use super::pax::{self, Flaw, Pax, Time};
use super::sparse::Extent;
use super::{ArchiveError, LONG_LIMIT, PAX_LIMIT};
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
    pub(super) left: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks `archive` as the loop does and reads what files hold; the names, or why it ended.
    fn walked(archive: &[u8]) -> Result<Vec<String>, String> {
        let mut walk = Walk::new(Sequential::new(std::io::Cursor::new(archive.to_vec()), None));
        let mut names = Vec::new();
        while let Some(member) = walk.next().map_err(|error| error.to_string())? {
            if let MemberKind::File { extents, .. } = member.kind {
                for extent in extents {
                    let mut bytes = vec![0; usize::try_from(extent.len.min(1 << 20)).unwrap()];
                    walk.read(&mut bytes).map_err(|error| error.to_string())?;
                }
            }
            names.push(String::from_utf8_lossy(&member.name).into_owned());
        }
        walk.drain(|| Ok(())).map_err(|error| error.to_string())?;
        Ok(names)
    }

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content).unwrap();
        };
        add("short", b"content");
        add(&"long/".repeat(40), b"");
        add("last", &[9; 1000]);
        let records: [(&str, &[u8]); 2] = [("path", b"renamed"), ("mtime", b"1.5")];
        builder.append_pax_extensions(records).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("x").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn archives_of_the_crate_tar_are_walked() {
        assert_eq!(walked(&sample()).unwrap(), ["short", &"long/".repeat(40), "last", "renamed"]);
    }

    #[test]
    fn an_archive_cut_anywhere_before_its_end_mark_fails() {
        let whole = sample();
        for len in 0..whole.len() - 1024 {
            assert!(walked(&whole[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn rubbish_in_any_place_ends_the_walk_and_nothing_else() {
        let whole = sample();
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut damaged = whole.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(state >> 33).unwrap() % damaged.len();
                damaged[at] = state.to_be_bytes()[6];
                // The sums are made right again, so that the damage gets further.
                let (blocks, _) = damaged.as_chunks_mut::<BLOCK>();
                let header = &mut blocks[at / BLOCK];
                if &header[257..262] == b"ustar" {
                    let mut fixed = tar::Header::from_byte_slice(header).clone();
                    fixed.set_cksum();
                    header.copy_from_slice(fixed.as_bytes());
                }
            }
            // Neither a panic nor an endless loop; a right answer is not asked for.
            let _ = walked(&damaged);
        }
    }
}
