//! The target directory as it fills: everything is made here, noted, and removed again on failure.
//!
//! All paths are walked from the directory's descriptor, part by part and through no link.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, chmodat, linkat, mkdirat, mknodat,
    statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::Policy;
use super::beneath;
use super::error::ArchiveError;
use super::ledger::{Last, Ledger, Node, What};
use super::pax::Time;
use crate::error::{Error, Kind};
use crate::sink::{Existing, SinkError};

/// What only we may do with a directory as long as it fills.
pub(super) const PRIVATE: Mode = Mode::RWXU;

/// The target directory, and what was made in it.
pub(super) struct Tree {
    /// How messages name it.
    pub(super) path: PathBuf,
    pub(super) root: OwnedFd,
    pub(super) ledger: Ledger,
    /// The directories from the root to where the last member went.
    pub(super) chain: Vec<(Node, OwnedFd)>,
    pub(super) state: State,
    /// Whether what lies in the way was given up, and directories of ours with it.
    pub(super) existing: Existing,
    /// Whose archive it is.
    pub(super) policy: Policy,
    /// The modes that directories of an earlier run of ours had before.
    pub(super) adopted: BTreeMap<Node, u32>,
}

/// How far the filling has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Members arrive.
    Filling,
    /// Directories have their modes, which may keep us out.
    Sealed,
    /// Everything is complete and durable.
    Kept,
    /// Everything was removed; nothing is made any more.
    Revoked,
}

impl Tree {
    /// The directory `root`, which was made or found at `path`.
    pub(super) fn new(path: PathBuf, root: OwnedFd, what: What) -> Result<Self, Error> {
        let failed = |cause| SinkError::failed("open", &path, None, cause);
        let chain = vec![(Ledger::ROOT, root.try_clone().map_err(failed)?)];
        Ok(Self {
            path,
            root,
            ledger: Ledger::new(what),
            chain,
            state: State::Filling,
            existing: Existing::Refuse,
            policy: Policy::Foreign,
            adopted: BTreeMap::new(),
        })
    }

    /// Makes a new file; what lay there goes.
    pub(super) fn file(&mut self, parts: &[&[u8]]) -> Result<File, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::RUSR | Mode::WUSR;
        self.leaf(parts, |dir, name| beneath::open(dir, name, flags, mode)).map(File::from)
    }

    /// Makes a pipe with a name; what lay there goes.
    pub(super) fn fifo(&mut self, parts: &[&[u8]], last: Last) -> Result<(), Error> {
        self.leaf(parts, |dir, name| {
            mknodat(dir, name, FileType::Fifo, PRIVATE, 0)?;
            // It was made this moment, in a directory that is ours to fill: no link is followed.
            chmodat(dir, name, Mode::from_raw_mode(last.mode), AtFlags::empty())?;
            let _ = utimensat(dir, name, &times(last.mtime), AtFlags::SYMLINK_NOFOLLOW);
            Ok(())
        })
    }

    /// Makes a symbolic link to `target`, which was found harmless.
    pub(super) fn symlink(&mut self, parts: &[&[u8]], target: &[u8], mtime: Time) -> Result<(), Error> {
        self.leaf(parts, |dir, name| {
            symlinkat(target, dir, name)?;
            // A link without its time is as good.
            let _ = utimensat(dir, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW);
            Ok(())
        })
    }

    /// Makes another name of the file `target`.
    pub(super) fn hardlink(&mut self, parts: &[&[u8]], target: &[&[u8]]) -> Result<(), Error> {
        let refuse = |why| {
            let (name, target) = (shown(parts), shown(target));
            Err(ArchiveError::Link { name, target, why }.into())
        };
        let Some((of, dirs)) = target.split_last() else { return refuse("a directory has one name only") };
        let Ok(from) = self.descend(dirs) else { return refuse("there is no such file") };
        match statat(&from, *of, AtFlags::SYMLINK_NOFOLLOW)
            .map(|found| FileType::from_raw_mode(found.st_mode))
        {
            Ok(kind) if self.may_have_names(kind) && parts == target => return Ok(()),
            Ok(kind) if self.may_have_names(kind) => {}
            // A symbolic link means something else in another directory.
            Ok(_) => return refuse("it is no regular file"),
            Err(_) => return refuse("there is no such file"),
        }
        // Without AT_SYMLINK_FOLLOW a link gets the name, and not what it leads to.
        self.leaf(parts, |dir, name| linkat(&from, *of, dir, name, AtFlags::empty()))
    }

    /// Whether a `kind` may have more than one name.
    fn may_have_names(&self, kind: FileType) -> bool {
        match kind {
            FileType::RegularFile => true,
            FileType::Symlink | FileType::Fifo => self.policy == Policy::Faithful,
            _ => false,
        }
    }

    /// Makes a directory where there is none; one that we made gets `last` in the end, and so does one
    /// of ours that was given up: a run that was killed leaves it with [`PRIVATE`].
    pub(super) fn directory(&mut self, parts: &[&[u8]], last: Last) -> Result<(), Error> {
        self.check()?;
        let node = match parts.split_last() {
            None => Ledger::ROOT,
            Some((name, dirs)) => {
                let (parent, depth) = self.enter(dirs)?;
                let node = match self.ledger.find(parent, name) {
                    Some(node) => node,
                    None => self.new_directory(parts, parent, depth)?,
                };
                if self.ledger.what(node) == What::Found {
                    self.adopt(node, parts, depth)?;
                }
                node
            }
        };
        if self.ledger.what(node) == What::Made || self.adopted.contains_key(&node) {
            self.ledger.set_last(node, last);
        }
        Ok(())
    }

    /// Lets us into the directory `node`, which lies in the one at `depth` of the chain, if it is ours
    /// and was given up.
    fn adopt(&mut self, node: Node, parts: &[&[u8]], depth: usize) -> Result<(), Error> {
        if self.existing == Existing::Refuse || self.adopted.contains_key(&node) {
            return Ok(());
        }
        let name = parts.last().copied().unwrap_or_default();
        let (_, dir) = self.link(depth)?;
        let Ok(found) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(()) };
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        if !is_directory || found.st_uid != rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        let mode = Mode::from_raw_mode(found.st_mode & 0o7777);
        if !mode.contains(PRIVATE) {
            let opened = chmodat(dir, name, mode | PRIVATE, AtFlags::empty());
            opened.map_err(|errno| self.unmade(parts, errno))?;
        }
        self.adopted.insert(node, mode.as_raw_mode());
        Ok(())
    }

    /// Makes something that is no directory by `make`; what lay there goes first.
    fn leaf<T>(
        &mut self,
        parts: &[&[u8]],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Error> {
        self.check()?;
        let Some((name, dirs)) = parts.split_last() else {
            return Err(member(parts, "it has the name of the directory itself"));
        };
        let (parent, depth) = self.enter(dirs)?;
        let (_, dir) = self.link(depth)?;
        let made = match make(dir, name) {
            Err(Errno::EXIST) => match unlinkat(dir, *name, AtFlags::empty()) {
                Err(Errno::ISDIR | Errno::PERM) => {
                    return Err(member(parts, "a directory of that name is in the way"));
                }
                Err(errno) => Err(errno),
                Ok(()) => make(dir, name),
            },
            made => made,
        };
        let made = made.map_err(|errno| self.unmade(parts, errno))?;
        self.note(parent, depth, name, What::Leaf)?;
        Ok(made)
    }

    /// The directory `dirs`, made as far as it is not there; its node, and where it is in the chain.
    fn enter(&mut self, dirs: &[&[u8]]) -> Result<(Node, usize), Error> {
        let same = |((node, _), name): &(&(Node, OwnedFd), &&[u8])| self.ledger.name(*node) == **name;
        let known = self.chain.iter().skip(1).zip(dirs).take_while(same).count();
        self.chain.truncate(known.saturating_add(1));
        for (depth, name) in dirs.iter().enumerate().skip(known) {
            let here = dirs.get(..=depth).unwrap_or_default();
            let (parent, dir) = self.link(depth)?;
            let (node, made) = match self.ledger.find(parent, name) {
                Some(node) => (Some(node), Err(Errno::EXIST)),
                None => (None, mkdirat(dir, *name, Mode::RWXU | Mode::RWXG | Mode::RWXO)),
            };
            let fd = match made {
                Ok(()) | Err(Errno::EXIST) => beneath::passage(dir, name),
                Err(errno) => Err(errno),
            };
            let fd = match fd {
                Ok(fd) => fd,
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(member(here, "it is no directory, but other members lie in it"));
                }
                Err(errno) => return Err(self.unmade(here, errno)),
            };
            let what = if made.is_ok() { What::Made } else { What::Found };
            let node = node.map_or_else(|| self.note(parent, depth, name, what), Ok)?;
            self.chain.push((node, fd));
        }
        self.link(dirs.len()).map(|(node, _)| (node, dirs.len()))
    }

    /// The directory at `depth` of the chain.
    fn link(&self, depth: usize) -> Result<(Node, BorrowedFd<'_>), Error> {
        let link = self.chain.get(depth).map(|(node, fd)| (*node, fd.as_fd()));
        link.ok_or_else(|| Error::new(Kind::Other, "defect of diskpour: a directory was lost"))
    }

    /// Makes the directory `name` in `parent`, unless it is there; a file or a link there goes.
    fn new_directory(&mut self, parts: &[&[u8]], parent: Node, depth: usize) -> Result<Node, Error> {
        let name = parts.last().copied().unwrap_or_default();
        let (_, dir) = self.link(depth)?;
        let there = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        let kind = there.map(|found| FileType::from_raw_mode(found.st_mode));
        let made = match kind {
            Ok(FileType::Directory) => return self.note(parent, depth, name, What::Found),
            Ok(_) => unlinkat(dir, name, AtFlags::empty()).and_then(|()| mkdirat(dir, name, PRIVATE)),
            Err(_) => mkdirat(dir, name, PRIVATE),
        };
        made.map_err(|errno| self.unmade(parts, errno))?;
        self.note(parent, depth, name, What::Made)
    }

    /// Takes note of `name` in the directory at `depth` of the chain; what cannot be noted goes again.
    fn note(&mut self, parent: Node, depth: usize, name: &[u8], what: What) -> Result<Node, Error> {
        let noted = self.ledger.add(parent, name, what);
        if let (Err(_), Ok((_, dir))) = (&noted, self.link(depth)) {
            let _ = match what {
                What::Leaf => unlinkat(dir, name, AtFlags::empty()),
                What::Made => unlinkat(dir, name, AtFlags::REMOVEDIR),
                What::Found => Ok(()),
            };
        }
        Ok(noted?)
    }

    /// The directory `dirs`, which must be there.
    fn descend(&self, dirs: &[&[u8]]) -> Result<OwnedFd, Errno> {
        let root = beneath::passage(self.root.as_fd(), b".")?;
        dirs.iter().try_fold(root, |dir, name| beneath::passage(dir.as_fd(), name))
    }

    /// That nobody has removed everything meanwhile, as a signal does.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.state {
            State::Filling => Ok(()),
            _ => Err(Error::new(Kind::Other, "the directory takes nothing any more")),
        }
    }

    fn unmade(&self, parts: &[&[u8]], errno: Errno) -> Error {
        let path = self.path.join(shown(parts));
        SinkError::failed("create", &path, None, errno.into()).into()
    }
}

fn member(parts: &[&[u8]], why: &'static str) -> Error {
    ArchiveError::Member { name: shown(parts), why }.into()
}

/// The name that `parts` make.
pub(super) fn shown(parts: &[&[u8]]) -> String {
    crate::format::shown::name(parts.join(&b'/'))
}

/// `mtime`, and nothing of the time of access.
pub(super) fn times(mtime: Time) -> Timestamps {
    let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() };
    Timestamps { last_access: unchanged, last_modification }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const LAST: Last = Last { mode: 0o755, mtime: Time { seconds: 7, nanos: 8 } };

    fn tree(root: &std::path::Path) -> Tree {
        Tree::new(root.to_path_buf(), File::open(root).unwrap().into(), What::Found).unwrap()
    }

    #[test]
    fn a_link_that_appears_in_the_way_is_not_walked_through() {
        let base = tempfile::tempdir().unwrap();
        let (root, outside) = (base.path().join("root"), base.path().join("outside"));
        for dir in [&root, &outside] {
            fs::create_dir(dir).unwrap();
        }
        let mut tree = tree(&root);
        symlink(&outside, root.join("out")).unwrap();
        assert!(tree.file(&[b"out", b"evil"]).is_err());
        assert!(tree.directory(&[b"out", b"evil"], LAST).is_err());
        assert!(tree.hardlink(&[b"h"], &[b"out", b"evil"]).is_err());
        // As a directory of its own it takes the link's place.
        tree.directory(&[b"out"], LAST).unwrap();
        tree.file(&[b"out", b"fine"]).unwrap();
        assert!(root.join("out/fine").exists());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn the_chain_of_directories_follows_names_that_jump_about() {
        let root = tempfile::tempdir().unwrap();
        let mut tree = tree(root.path());
        let names: [&[&[u8]]; 6] = [
            &[b"a", b"b", b"1"],
            &[b"a", b"2"],
            &[b"3"],
            &[b"a", b"b", b"4"],
            &[b"b", b"b", b"5"],
            &[b"a", b"b", b"6"],
        ];
        for parts in names {
            tree.file(parts).unwrap();
        }
        for name in ["a/b/1", "a/2", "3", "a/b/4", "b/b/5", "a/b/6"] {
            assert!(root.path().join(name).is_file(), "{name}");
        }
        assert!(tree.revoke());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn errors_name_the_path_below_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let mut tree = tree(root.path());
        let error = tree.unmade(&[b"d", b"f\n"], Errno::NOSPC);
        assert_eq!(error.kind(), Kind::TargetFull);
        assert!(error.to_string().ends_with("/d/f\\n: no space left on device"), "{error}");
        assert!(tree.file(&[]).unwrap_err().to_string().contains("directory itself"));
    }
}
