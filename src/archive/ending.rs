//! How the filling of a directory ends: everything is sealed and kept, or removed again.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, OFlags, chmodat, fchmod, futimens, syncfs, unlinkat};
use rustix::io::Errno;

use super::beneath;
use super::ledger::{Last, Ledger, Node, What};
use super::tree::{PRIVATE, State, Tree, shown, times};
use crate::error::Error;
use crate::sink::SinkError;

impl Tree {
    /// Gives the directories that we made their modes and times, and makes everything durable.
    pub(super) fn keep(&mut self) -> Result<(), Error> {
        self.check()?;
        self.state = State::Sealing;
        for (node, last) in self.ledger.last() {
            self.seal(node, last).map_err(|errno| self.failed("set the mode of", node, errno))?;
        }
        syncfs(&self.root).map_err(|errno| self.failed("flush", Ledger::ROOT, errno))?;
        self.state = State::Kept;
        Ok(())
    }

    /// Removes what we made and nothing else, unless it is kept; whether nothing of it remains.
    pub(super) fn revoke(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Revoked) {
            State::Filling => {}
            State::Sealing => self.reopen(),
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
        if self.ledger.what(Ledger::ROOT) == What::Made {
            gone &= fs::remove_dir(&self.path).is_ok();
        }
        gone
    }

    fn seal(&mut self, node: Node, last: Last) -> Result<(), Errno> {
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

    fn failed(&self, action: &'static str, node: Node, errno: Errno) -> Error {
        let path = match self.ledger.name(node) {
            b"" => self.path.clone(),
            name => self.path.join(shown(&[name]).to_string()),
        };
        SinkError::failed(action, &path, None, errno.into()).into()
    }
}
