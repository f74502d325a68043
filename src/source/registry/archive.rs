//! A local tar as a place with names: an index made in one pass, members read where they lie.
//!
//! Nothing is unpacked. A tar that is compressed as a whole is decoded anew for each member.
//!
//! Refuses to know: what the members mean.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use super::error::RegistryError;
use super::local::LocalFile;
use super::words::shown;
use crate::archive::{Member, MemberKind, Walk, is_header};
use crate::codec::{Codec, Options, decode};
use crate::error::{Error, Kind};
use crate::format::magic::{HEAD, Sniffed, sniff};
use crate::io::{Pass, Sequential, relay};
use crate::source::Context;

/// Members that are remembered: an image of 1000 layers needs some 4000.
const MOST_MEMBERS: usize = 1 << 16;

/// Bytes of all names that are remembered.
const MOST_NAMES: usize = 8 << 20;

/// Where a member's data lies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Data { at: u64, size: u64 },
    Link(Vec<u8>),
}

/// A tar and where its members are.
pub(super) struct Archive {
    file: LocalFile,
    codec: Option<Codec>,
    members: BTreeMap<Vec<u8>, Place>,
}

impl Archive {
    /// Opens the tar at `path` and reads it once.
    ///
    /// # Errors
    /// Whatever the file fails with, or is wrong with the tar.
    pub(super) fn open(path: &Path, context: &Context) -> Result<Self, Error> {
        let file = LocalFile::open(path, context)?;
        let unread = |error| Error::from_io(error, Kind::Other);
        let mut head = Vec::new();
        file.whole().take(u64::try_from(HEAD).unwrap_or(u64::MAX)).read_to_end(&mut head).map_err(unread)?;
        let codec = match sniff(&head) {
            Sniffed::Codec(codec) if !is_header(&head) => Some(codec),
            _ => None,
        };
        let mut archive = Self { file, codec, members: BTreeMap::new() };
        archive.members = match codec {
            None => index(archive.file.whole()),
            Some(codec) => index(archive.decoded(codec)?),
        }?;
        Ok(archive)
    }

    /// The length of the member that `name` leads to.
    ///
    /// # Errors
    /// [`RegistryError::Shape`] when there is none.
    pub(super) fn size(&self, name: &str) -> Result<u64, RegistryError> {
        self.place(name).map(|(_, size)| size)
    }

    /// The member that `name` leads to, and its length.
    ///
    /// # Errors
    /// [`RegistryError::Shape`] when there is none; whatever keeps it from being read.
    pub(super) fn member(&self, name: &str) -> Result<(Sequential, u64), Error> {
        let (at, size) = self.place(name)?;
        let Some(codec) = self.codec else {
            return Ok((self.file.slice(at..at.saturating_add(size)).into_stream(), size));
        };
        let mut stream = self.decoded(codec)?;
        let passed = stream.pass(at).map_err(|error| Error::from_io(error, Kind::Other))?;
        let part = Part { stream, left: size, name: self.file.name().to_owned() };
        if passed < at {
            return Err(part.truncated().into());
        }
        Ok((Sequential::new(part, Some(size)), size))
    }

    /// Where the data of the member lie that `name` leads to, and their length.
    fn place(&self, name: &str) -> Result<(u64, u64), RegistryError> {
        let place = match self.members.get(name.as_bytes()) {
            // Docker stores a layer that images share once, and links from the others to it.
            Some(Place::Link(target)) => self.members.get(target),
            other => other,
        };
        match place {
            Some(Place::Data { at, size }) => Ok((*at, *size)),
            _ => {
                let why = format!("has no member {}", shown(name));
                Err(RegistryError::shape(self.file.name(), why))
            }
        }
    }

    fn decoded(&self, codec: Codec) -> Result<Sequential, Error> {
        let stream = relay(self.file.whole().into_stream());
        let stop = self.file.context().stop.clone();
        let stream = decode(codec, stream, &Options { threads: 1 })
            .map_err(|error| Error::from_io(error, Kind::Other))?;
        Ok(stream.tapped(|stream| Stopping { stream, stop }))
    }
}

/// The names in a tar and where their data are.
fn index(tar: impl Pass) -> Result<BTreeMap<Vec<u8>, Place>, Error> {
    let mut walk = Walk::new(tar);
    let mut members = BTreeMap::new();
    let mut bytes = 0_usize;
    while let Some(member) = walk.next()? {
        let Some((name, place)) = entry(&member, walk.at()) else { continue };
        bytes = bytes.saturating_add(name.len());
        if members.len() >= MOST_MEMBERS || bytes > MOST_NAMES {
            let found = u64::try_from(members.len()).unwrap_or(u64::MAX);
            let (what, cap) = ("the archive".to_owned(), u64::try_from(MOST_MEMBERS).unwrap_or(u64::MAX));
            return Err(RegistryError::OverLimit { what, found, unit: "members or more", cap }.into());
        }
        let shown_name = shown(&name);
        if members.insert(name, place).is_some() {
            let why = format!("has {shown_name} twice, so that readers disagree");
            return Err(RegistryError::shape("the archive", why).into());
        }
    }
    Ok(members)
}

/// Name and place of what may be a blob, whose content starts `at` a byte; nothing else can be.
fn entry(member: &Member, at: u64) -> Option<(Vec<u8>, Place)> {
    let name = normal(&[], &member.name)?;
    match &member.kind {
        MemberKind::File { size, .. } if !member.is_sparse() => Some((name, Place::Data { at, size: *size })),
        MemberKind::Symlink(link) => {
            let dir = name.iter().rposition(|byte| *byte == b'/').and_then(|at| name.get(..at));
            let target = normal(dir.unwrap_or_default(), link)?;
            Some((name, Place::Link(target)))
        }
        MemberKind::Hardlink(link) => {
            let target = normal(&[], link)?;
            Some((name, Place::Link(target)))
        }
        _ => None,
    }
}

/// `name` as seen from `dir`, without `.`, `..` and empty parts; `None` if it leads out.
fn normal(dir: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let from = if name.starts_with(b"/") { &[] } else { dir };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|byte| *byte == b'/').chain(name.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            other => parts.push(other),
        }
    }
    (!parts.is_empty()).then(|| parts.join(&b'/'))
}

/// A decoded stream that obeys the wish to stop, however little input it takes.
struct Stopping {
    stream: Sequential,
    stop: std::sync::Arc<crate::progress::Stop>,
}

impl Read for Stopping {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.stream.read(buf)
    }
}

/// A member of a tar that is compressed as a whole.
struct Part {
    stream: Sequential,
    left: u64,
    name: String,
}

impl Part {
    fn truncated(&self) -> RegistryError {
        RegistryError::shape(&self.name, "became shorter while it was read")
    }
}

impl Read for Part {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let buf = buf.get_mut(..room).unwrap_or_default();
        if buf.is_empty() {
            return Ok(0);
        }
        let count = self.stream.read(buf)?;
        if count == 0 {
            return Err(Error::from(self.truncated()).into());
        }
        self.left = self.left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::registry::testing::Tar;
    use crate::source::tests::context;

    fn archive(tar: &[u8]) -> Result<Archive, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), tar).unwrap();
        Archive::open(file.path(), &context())
    }

    fn text(archive: &Archive, name: &str) -> String {
        let (mut stream, len) = archive.member(name).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(len, text.len() as u64);
        text
    }

    #[test]
    fn members_are_read_where_they_lie_packed_or_not() {
        let tar = Tar::default()
            .file("./a", b"first")
            .file("d/b", b"second")
            .entry("l/c", b'2', "../d/b")
            .entry("l/d", b'1', "d/b");
        let tar = tar.end();
        for bytes in [tar.clone(), zstd::encode_all(&tar[..], 1).unwrap()] {
            let archive = archive(&bytes).unwrap();
            for (name, expected) in [("a", "first"), ("d/b", "second"), ("l/c", "second"), ("l/d", "second")]
            {
                assert_eq!(text(&archive, name), expected, "{name}");
            }
            assert!(archive.member("b").is_err());
        }
    }

    #[test]
    fn links_lead_to_members_and_nowhere_else() {
        let tar = Tar::default()
            .entry("out", b'2', "../../etc/passwd")
            .entry("abs", b'2', "/etc/passwd")
            .entry("loop", b'2', "loop");
        let archive = archive(&tar.file("d/../../x", b"x").end()).unwrap();
        for name in ["out", "abs", "loop", "x", "d/../../x", ""] {
            assert!(archive.member(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        let error = archive(&Tar::default().file("a", b"1").file("./a", b"2").end()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), Kind::Image);
        assert!(error.to_string().contains("twice"), "{error}");
    }
}
