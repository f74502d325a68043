//! How the filling of a directory ends: everything is sealed and kept, or removed again.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, OFlags, chmodat, fchmod, futimens, unlinkat};
use rustix::io::Errno;

use super::beneath;
use super::ledger::{Last, Ledger, Node, What};
use super::tree::{PRIVATE, State, Tree, shown, times};
use crate::error::{Error, Kind};
use crate::sink::SinkError;

impl Tree {
    /// Gives the directories that we made their modes and times.
    pub(super) fn seal(&mut self) -> Result<(), Error> {
        self.check()?;
        self.state = State::Sealed;
        for (node, last) in self.ledger.last() {
            self.set_last(node, last).map_err(|errno| self.unset(node, errno))?;
        }
        Ok(())
    }

    /// Makes what is durable now the end of it, unless it was removed meanwhile.
    pub(super) fn keep(&mut self) -> Result<(), Error> {
        match self.state {
            State::Sealed => self.state = State::Kept,
            _ => return Err(Error::new(Kind::Other, "the directory was emptied again")),
        }
        Ok(())
    }

    /// Removes what we made and nothing else, unless it is kept; whether nothing of it remains.
    pub(super) fn revoke(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Revoked) {
            State::Filling => {}
            State::Sealed => self.reopen(),
            State::Kept => {
                self.state = State::Kept;
                return false;
            }
            State::Revoked => return true,
        }
        let mut gone = true;
        let made: Vec<(Node, What)> = self.ledger.made().collect();
        for (node, what) in made {
            let flags = if what == What::Made { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            let removed = self.beside(node).and_then(|(dir, name)| unlinkat(dir, name, flags));
            gone &= matches!(removed, Ok(()) | Err(Errno::NOENT));
        }
        for (node, mode) in std::mem::take(&mut self.adopted).into_iter().rev() {
            // What was there stays as it was; a directory that has gone meanwhile needs nothing.
            let restored = |(dir, name)| chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty());
            let _ = self.beside(node).and_then(restored);
        }
        if self.ledger.what(Ledger::ROOT) == What::Made {
            gone &= fs::remove_dir(&self.path).is_ok();
        }
        gone
    }

    fn set_last(&mut self, node: Node, last: Last) -> Result<(), Errno> {
        let opened;
        let fd = if node == Ledger::ROOT {
            self.root.as_fd()
        } else {
            let (dir, name) = self.beside(node)?;
            opened = beneath::open(dir, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            opened.as_fd()
        };
        fchmod(fd, Mode::from_raw_mode(last.mode))?;
        // A directory without its time is as good.
        let _ = futimens(fd, &times(last.mtime));
        Ok(())
    }

    /// Lets us into directories again whose modes may keep us out, the outermost first.
    fn reopen(&mut self) {
        for (node, _) in self.ledger.last().into_iter().rev() {
            // What stays shut is not emptied, and shows as not gone.
            let _ = if node == Ledger::ROOT {
                fchmod(&self.root, PRIVATE)
            } else {
                self.beside(node).and_then(|(dir, name)| chmodat(dir, name, PRIVATE, AtFlags::empty()))
            };
        }
    }

    /// The directory that holds `node`, entered by its names, and the name of `node` in it.
    fn beside(&mut self, node: Node) -> Result<(BorrowedFd<'_>, &[u8]), Errno> {
        let mut way = Vec::new();
        let mut next = self.ledger.parent(node);
        while let Some(parent) = next {
            way.push(parent);
            next = self.ledger.parent(parent);
        }
        way.reverse();
        let known = self.chain.iter().zip(&way).take_while(|((had, _), node)| had == *node).count();
        self.chain.truncate(known);
        for parent in way.into_iter().skip(known) {
            let (_, dir) = self.chain.last().ok_or(Errno::NOENT)?;
            let fd = beneath::passage(dir.as_fd(), self.ledger.name(parent))?;
            self.chain.push((parent, fd));
        }
        let (_, dir) = self.chain.last().ok_or(Errno::NOENT)?;
        Ok((dir.as_fd(), self.ledger.name(node)))
    }

    /// That the file system could not make everything durable.
    pub(super) fn unflushed(&self, cause: io::Error) -> Error {
        SinkError::failed("flush", &self.path, None, cause).into()
    }

    fn unset(&self, node: Node, errno: Errno) -> Error {
        let path = match self.ledger.name(node) {
            b"" => self.path.clone(),
            name => self.path.join(shown(&[name])),
        };
        SinkError::failed("set the mode of", &path, None, errno.into()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::pax::Time;
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    const SHUT: Last = Last { mode: 0, mtime: Time { seconds: 7, nanos: 8 } };

    /// A tree with a file below directories that nobody may enter in the end.
    fn filled(root: &Path) -> Tree {
        fs::write(root.join("theirs"), "keep").unwrap();
        let mut tree = Tree::new(root.to_path_buf(), File::open(root).unwrap().into(), What::Found).unwrap();
        tree.directory(&[b"a"], SHUT).unwrap();
        tree.directory(&[b"a", b"b"], SHUT).unwrap();
        tree.file(&[b"a", b"b", b"file"]).unwrap();
        tree.file(&[b"implied", b"file"]).unwrap();
        tree
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_sealed_and_cannot_be_kept_is_removed_although_its_modes_keep_us_out() {
        let root = tempfile::tempdir().unwrap();
        let mut tree = filled(root.path());
        tree.seal().unwrap();
        assert_eq!(fs::metadata(root.path().join("a")).unwrap().permissions().mode() & 0o777, 0);
        assert!(tree.revoke());
        assert_eq!(names(root.path()), ["theirs"]);
        assert!(tree.keep().is_err());
    }

    #[test]
    fn what_is_kept_is_never_removed() {
        let root = tempfile::tempdir().unwrap();
        let mut tree = filled(root.path());
        assert!(tree.keep().is_err());
        tree.seal().unwrap();
        tree.keep().unwrap();
        assert!(!tree.revoke());
        assert_eq!(names(root.path()), ["a", "implied", "theirs"]);
        tree.reopen();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn directories_of_ours_that_were_given_up_get_their_modes_and_keep_theirs_on_failure() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let (last, time) = (Last { mode: 0o750, ..SHUT }, SHUT.mtime);
        for (existing, end, expected) in [
            (crate::sink::Existing::Overwrite, true, 0o750),
            (crate::sink::Existing::Overwrite, false, 0o500),
            (crate::sink::Existing::Refuse, true, 0o500),
        ] {
            fs::create_dir_all(at("a/b")).unwrap();
            fs::set_permissions(at("a/b"), fs::Permissions::from_mode(0o500)).unwrap();
            fs::set_permissions(at("a"), fs::Permissions::from_mode(0o500)).unwrap();
            let mut tree =
                Tree::new(root.path().to_path_buf(), File::open(root.path()).unwrap().into(), What::Found)
                    .unwrap();
            tree.existing = existing;
            tree.directory(&[b"a"], last).unwrap();
            tree.directory(&[b"a", b"b"], last).unwrap();
            if existing == crate::sink::Existing::Overwrite {
                assert_eq!(mode(&at("a")), 0o700, "entered");
                tree.symlink(&[b"a", b"b", b"new"], b"x", time).unwrap();
            }
            if end {
                tree.seal().unwrap();
                tree.keep().unwrap();
            } else {
                assert!(tree.revoke());
                assert!(fs::symlink_metadata(at("a/b/new")).is_err());
            }
            assert_eq!((mode(&at("a")), mode(&at("a/b"))), (expected, expected), "{existing:?} {end}");
            fs::set_permissions(at("a"), fs::Permissions::from_mode(0o700)).unwrap();
            fs::set_permissions(at("a/b"), fs::Permissions::from_mode(0o700)).unwrap();
            fs::remove_dir_all(at("a")).unwrap();
        }
    }

    #[test]
    fn nothing_is_made_after_everything_was_removed() {
        let root = tempfile::tempdir().unwrap();
        let mut tree = filled(root.path());
        assert!(tree.revoke());
        assert!(tree.file(&[b"late"]).is_err());
        assert!(tree.directory(&[b"late"], SHUT).is_err());
        assert!(tree.symlink(&[b"late"], b"theirs", SHUT.mtime).is_err());
        assert!(tree.hardlink(&[b"late"], &[b"theirs"]).is_err());
        assert_eq!(names(root.path()), ["theirs"]);
    }

    #[test]
    fn what_somebody_else_put_into_our_directory_stays() {
        let root = tempfile::tempdir().unwrap();
        let mut tree = filled(root.path());
        fs::write(root.path().join("a/b/other"), "theirs too").unwrap();
        assert!(!tree.revoke());
        assert_eq!(names(&root.path().join("a/b")), ["other"]);
        assert_eq!(names(root.path()), ["a", "theirs"]);
    }
}
