//! What a container would see of the disk: names, whiteouts, opaque directories, layer by layer.
//!
//! Layers are looked at from the top. What one of them holds hides nothing in itself, only what lies
//! below it.
//!
//! Refuses to know: bytes. It is told each member's name and kind.

use std::collections::BTreeSet;

use super::error::RegistryError;
use super::words::{MOST_NAMES, list, shown};
use crate::archive::{Member, MemberKind};
use crate::source::DiskFault;

/// The directory that holds the disk.
const DISK: &[u8] = b"disk";

/// What hides the name behind it in the layers below.
const WHITEOUT: &[u8] = b".wh.";

/// What hides all of its directory in the layers below.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Names that are not to be seen in lower layers; a disk image has none.
const MOST_HIDDEN: usize = 1000;

/// A path as parts, without `.` and empty ones.
type Path = Vec<Vec<u8>>;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// The one file in this directory.
    In(Path),
    /// This very file.
    At(Path),
}

/// What is seen of the layers so far.
#[derive(Debug)]
pub(super) struct View {
    wanted: Wanted,
    /// Nothing below can be seen.
    covered: bool,
    /// Names in the directory that cannot be seen below.
    hidden: BTreeSet<Vec<u8>>,
    /// The same for the layers below the present one.
    covers: bool,
    hides: BTreeSet<Vec<u8>>,
    /// What the present layer has where the disk should be.
    found: Names,
    files: usize,
    /// Whether any layer has the directory, and one in it.
    directory: bool,
    within: bool,
    /// What there is elsewhere.
    aside: Names,
}

/// The first few names of many.
#[derive(Debug, Default)]
struct Names {
    some: Vec<String>,
    total: usize,
}

/// What a member is to the one who looks for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A file that may be the disk, and the first thing of all that this layer has there.
    Candidate,
    /// Anything else.
    Aside,
}

impl View {
    /// Looks for the one file under `/disk/`, or for the file at `path`.
    ///
    /// # Errors
    /// [`RegistryError::Reference`] for a path that is none.
    pub(super) fn new(path: Option<&str>) -> Result<Self, RegistryError> {
        let wanted = match path {
            None => Wanted::In(vec![DISK.to_vec()]),
            Some(text) => match parts(text.as_bytes()) {
                Some(parts) if !parts.is_empty() && !text.ends_with('/') => Wanted::At(parts),
                _ => {
                    let why = "--image-path takes the path of a file in the image, without `..`";
                    return Err(RegistryError::Reference { text: shown(text), why });
                }
            },
        };
        Ok(Self {
            wanted,
            covered: false,
            hidden: BTreeSet::new(),
            covers: false,
            hides: BTreeSet::new(),
            found: Names::default(),
            files: 0,
            directory: false,
            within: false,
            aside: Names::default(),
        })
    }

    /// Takes in a member of the present layer.
    ///
    /// # Errors
    /// [`RegistryError::Shape`] for a name with `..`, [`RegistryError::OverLimit`].
    pub(super) fn look(&mut self, member: &Member) -> Result<Look, RegistryError> {
        let Some(path) = parts(&member.name) else {
            let why = format!("has `..` in the name `{}`", shown(&member.name));
            return Err(RegistryError::shape("a member of the layer", why));
        };
        let Some((last, dir)) = path.split_last() else { return Ok(Look::Aside) };
        if last.starts_with(WHITEOUT) {
            self.whiteout(dir, last)?;
            return Ok(Look::Aside);
        }
        match self.wanted.clone() {
            Wanted::In(wanted) => Ok(self.look_in(&wanted, &path, member)),
            Wanted::At(wanted) => Ok(self.look_at(&wanted, &path, member)),
        }
    }

    /// Whether the present layer has anything where the disk should be.
    pub(super) fn decides(&self) -> bool {
        self.found.total > 0
    }

    /// Goes down to the next layer; whether anything there can be seen.
    pub(super) fn descend(&mut self) -> bool {
        self.covered |= std::mem::take(&mut self.covers);
        self.hidden.append(&mut self.hides);
        !self.covered
    }

    /// That the present layer holds the disk and nothing beside it.
    ///
    /// # Errors
    /// [`RegistryError::NoDisk`], which lists what there is.
    pub(super) fn judge(&self) -> Result<(), RegistryError> {
        if self.found.total == 1 && self.files == 1 {
            return Ok(());
        }
        let there = list(&self.found.some, self.found.total);
        let words = match (&self.wanted, self.found.total) {
            (_, 0) => self.absent(),
            (Wanted::In(_), 1) => {
                format!(
                    "the image has no regular file under /disk/ but {there}; --image-path names another place"
                )
            }
            (Wanted::In(_), _) => format!(
                "the image has more than one file under /disk/: {there}; --image-path names one of them"
            ),
            (Wanted::At(_), _) => format!("the image has no single regular file at --image-path but {there}"),
        };
        Err(RegistryError::NoDisk { fault: self.fault(), words })
    }

    fn fault(&self) -> DiskFault {
        match self.found.total {
            0 if self.directory => DiskFault::Empty,
            0 => DiskFault::NoDirectory,
            _ if self.within => DiskFault::Directory,
            1 => DiskFault::NoFile,
            _ => DiskFault::Several,
        }
    }

    fn absent(&self) -> String {
        let place = match self.wanted {
            Wanted::In(_) => "no file under /disk/",
            Wanted::At(_) => "no file at --image-path",
        };
        let removed = if self.covered { ", an upper layer removes it" } else { "" };
        match self.aside.total {
            0 => format!("the image has {place}{removed}; it is empty otherwise"),
            total => format!("the image has {place}{removed}; it has {}", list(&self.aside.some, total)),
        }
    }

    fn look_in(&mut self, wanted: &[Vec<u8>], path: &[Vec<u8>], member: &Member) -> Look {
        let Some(below) = path.strip_prefix(wanted) else {
            self.aside.add_once(top(path, member));
            return Look::Aside;
        };
        self.directory = true;
        let visible = |name: &Vec<u8>| !self.hidden.contains(name);
        let directory = matches!(member.kind, MemberKind::Directory);
        self.within |= match below {
            [name] => directory && visible(name),
            [name, ..] => visible(name),
            [] => false,
        };
        match below {
            [] if directory => Look::Aside,
            [] => self.spoilt(path, member),
            [name, ..] if self.hidden.contains(name) => Look::Aside,
            [_] => self.candidate(path, member),
            _ => self.spoilt(path, member),
        }
    }

    fn look_at(&mut self, wanted: &[Vec<u8>], path: &[Vec<u8>], member: &Member) -> Look {
        if path == wanted {
            return self.candidate(path, member);
        }
        if path.starts_with(wanted) {
            return self.spoilt(path, member);
        }
        if wanted.starts_with(path) {
            // A directory on the way is as it should be.
            let way = matches!(member.kind, MemberKind::Directory);
            return if way { Look::Aside } else { self.spoilt(path, member) };
        }
        let beside = wanted.split_last().zip(path.split_last()).is_some_and(|((_, a), (_, b))| a == b);
        self.aside.add_once(if beside { described(path, member) } else { top(path, member) });
        Look::Aside
    }

    fn candidate(&mut self, path: &[Vec<u8>], member: &Member) -> Look {
        if !matches!(member.kind, MemberKind::File { .. }) || member.is_sparse() {
            return self.spoilt(path, member);
        }
        self.found.add(described(path, member));
        self.files = self.files.saturating_add(1);
        if self.found.total == 1 { Look::Candidate } else { Look::Aside }
    }

    /// Something that is no disk stands where the disk should be.
    fn spoilt(&mut self, path: &[Vec<u8>], member: &Member) -> Look {
        self.found.add(described(path, member));
        Look::Aside
    }

    fn whiteout(&mut self, dir: &[Vec<u8>], name: &[u8]) -> Result<(), RegistryError> {
        let (Wanted::In(wanted) | Wanted::At(wanted)) = &self.wanted;
        let holds = matches!(self.wanted, Wanted::In(_));
        if name == OPAQUE {
            // The directory of a file that is wanted, or one further up.
            let within = if holds { wanted.len() } else { wanted.len().saturating_sub(1) };
            self.covers |= dir.len() <= within && wanted.starts_with(dir);
            return Ok(());
        }
        let hidden = name.get(WHITEOUT.len()..).unwrap_or_default();
        if hidden.is_empty() || hidden.starts_with(WHITEOUT) {
            // The notes of a union filesystem, which no container sees.
            return Ok(());
        }
        let mut path = dir.to_vec();
        path.push(hidden.to_vec());
        self.covers |= wanted.starts_with(&path);
        if holds && dir == wanted.as_slice() {
            if self.hides.len() >= MOST_HIDDEN || self.hidden.len() >= MOST_HIDDEN {
                let (what, cap) = ("the list of removed files under /disk/".to_owned(), 1000);
                return Err(RegistryError::OverLimit { what, found: 1001, unit: "names or more", cap });
            }
            self.hides.insert(hidden.to_vec());
        }
        Ok(())
    }
}

impl Names {
    fn add(&mut self, name: String) {
        self.total = self.total.saturating_add(1);
        if self.some.len() < MOST_NAMES {
            self.some.push(name);
        }
    }

    /// Counts a name once, as far as names are remembered.
    fn add_once(&mut self, name: String) {
        if self.some.len() < MOST_NAMES && !self.some.contains(&name) {
            self.add(name);
        }
    }
}

/// The parts of `name`; `None` if one is `..`.
fn parts(name: &[u8]) -> Option<Path> {
    let parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(|part| (part != b"..").then(|| part.to_vec())).collect()
}

/// The first part of a path, as a message shows it.
fn top(path: &[Vec<u8>], member: &Member) -> String {
    let slash = if path.len() > 1 || matches!(member.kind, MemberKind::Directory) { "/" } else { "" };
    format!("/{}{slash}", shown(path.first().map(Vec::as_slice).unwrap_or_default()))
}

/// A member, as a message shows it.
fn described(path: &[Vec<u8>], member: &Member) -> String {
    let name = shown(path.join(&b'/'));
    let kind = match &member.kind {
        MemberKind::File { .. } if member.is_sparse() => "a sparse file, which is not supported in layers",
        MemberKind::File { size, .. } => return format!("/{name} ({size} bytes)"),
        MemberKind::Directory => return format!("/{name}/ (a directory)"),
        MemberKind::Symlink(_) => "a symbolic link",
        MemberKind::Hardlink(_) => "a hard link",
        MemberKind::Refused(why) => why,
    };
    format!("/{name} ({kind})")
}

#[cfg(test)]
mod tests;
