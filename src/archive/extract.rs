//! The loop: each member is checked against the policy and made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, fchmod, futimens, syncfs};

use super::error::ArchiveError;
use super::file::{Page, Scribe};
use super::ledger::Last;
use super::place::Place;
use super::tree::{Tree, shown, times};
use super::walk::{Member, MemberKind, PIPE, Walk};
use super::{Policy, Summary, name};
use crate::error::Error;
use crate::format::preallocation::Preallocation;
use crate::io::Sequential;
use crate::progress::{Progress, Stop};
use crate::sink::SinkError;

/// Bytes of content that are held at a time; a multiple of the block in which zeros are looked for.
const BUFFER: usize = 256 << 10;

/// An archive that is unpacked, and removed again unless [`Unpacked::finish`] succeeds.
pub struct Unpacked {
    tree: Arc<Mutex<Tree>>,
    progress: Arc<Progress>,
    preallocation: Preallocation,
    policy: Policy,
    summary: Summary,
}

impl Place {
    /// Unpacks `stream`, a tar archive without its codecs, and reads it to its end.
    ///
    /// When this fails, everything that it made is removed again; so it is when a signal ends the
    /// program, as far as there is time.
    ///
    /// # Errors
    /// [`ArchiveError`] for what is no archive, is damaged or is refused; what the stream fails with;
    /// [`SinkError::Full`] where there is no space; what the file system fails with.
    pub fn unpack(
        self,
        stream: Sequential,
        progress: &Arc<Progress>,
        stop: &Stop,
    ) -> Result<Unpacked, Error> {
        let mut walk = Walk::new(stream);
        // A first look before anything is made.
        let first = walk.next()?;
        let tree = Arc::new(Mutex::new(self.tree()?));
        let step = Arc::clone(&tree);
        progress.undo.arm(move || {
            lock(&step).revoke();
        });
        let (progress, summary) = (Arc::clone(progress), Summary::default());
        let (preallocation, policy) = (self.preallocation, self.policy);
        let mut unpacked = Unpacked { tree, progress, preallocation, policy, summary };
        unpacked.fill(walk, first, self.max_size, stop)?;
        Ok(unpacked)
    }
}

impl Unpacked {
    /// Gives the directories their modes and makes everything durable.
    ///
    /// # Errors
    /// What the file system fails with; everything is then removed.
    pub fn finish(mut self) -> Result<Summary, Error> {
        let root = {
            let mut tree = lock(&self.tree);
            tree.seal()?;
            tree.root.try_clone().map_err(|cause| tree.unflushed(cause))?
        };
        // A signal that comes while the file system takes its time finds the lock free.
        syncfs(&root).map_err(|errno| lock(&self.tree).unflushed(errno.into()))?;
        lock(&self.tree).keep()?;
        Ok(std::mem::take(&mut self.summary))
    }

    fn fill(
        &mut self,
        mut walk: Walk,
        first: Option<Member>,
        max: Option<u64>,
        stop: &Stop,
    ) -> Result<(), Error> {
        let progress = Arc::clone(&self.progress);
        let (buffer, preallocation) = (vec![0; BUFFER], self.preallocation);
        let mut scribe = Scribe { progress: &progress, stop, buffer, preallocation };
        let mut next = first;
        while let Some(member) = next {
            stop.check()?;
            self.count(&member, max)?;
            self.make(&mut walk, &member, &mut scribe)?;
            next = walk.next()?;
        }
        let odd = walk.drain(|| stop.check())?;
        if odd > 0 && self.summary.entries == 0 {
            return Err(ArchiveError::NoArchive.into());
        }
        if odd > 0 {
            let warning =
                "data follow the archive's end mark and were left alone: another archive, or rubbish";
            self.summary.warnings.push(warning.to_owned());
        }
        Ok(())
    }

    /// Counts `member` in before it is made.
    fn count(&mut self, member: &Member, max: Option<u64>) -> Result<(), ArchiveError> {
        self.summary.entries = self.summary.entries.saturating_add(1);
        if let MemberKind::File { size, .. } = member.kind {
            let needed = self.summary.size.saturating_add(size);
            if let Some(cap) = max.filter(|max| needed > *max) {
                return Err(ArchiveError::TooLarge { needed, cap });
            }
            self.summary.size = needed;
        }
        Ok(())
    }

    /// The mode that `member` gets.
    fn mode(&self, member: &Member) -> u32 {
        match self.policy {
            Policy::Foreign => member.mode & 0o777,
            Policy::Faithful => member.mode,
        }
    }

    fn make(&self, walk: &mut Walk, member: &Member, scribe: &mut Scribe<'_>) -> Result<(), Error> {
        let refuse = |why| ArchiveError::Member { name: crate::format::shown::name(&member.name), why };
        let parts = name::parts(&member.name).map_err(refuse)?;
        let (tree, mode) = (&self.tree, self.mode(member));
        match &member.kind {
            MemberKind::File { size, extents } => {
                let file = lock(tree).file(&parts)?;
                let path = lock(tree).path.join(shown(&parts));
                let page = Page { file: &file, path: &path };
                scribe.write(walk, &page, extents, *size)?;
                fchmod(&file, Mode::from_raw_mode(mode))
                    .map_err(|errno| SinkError::failed("set the mode of", &path, None, errno.into()))?;
                // A file without its time is as good.
                let _ = futimens(&file, &times(member.mtime));
                Ok(())
            }
            MemberKind::Directory => lock(tree).directory(&parts, Last { mode, mtime: member.mtime }),
            MemberKind::Symlink(target) => {
                let link = |why| link(member, target, why);
                match self.policy {
                    Policy::Foreign => name::check_target(target, parts.len().saturating_sub(1)),
                    Policy::Faithful => name::check_opaque(target),
                }
                .map_err(link)?;
                lock(tree).symlink(&parts, target, member.mtime)
            }
            MemberKind::Hardlink(target) => {
                let target_parts = name::parts(target).map_err(|why| link(member, target, why))?;
                lock(tree).hardlink(&parts, &target_parts)
            }
            MemberKind::Refused(PIPE) if self.policy == Policy::Faithful => {
                lock(tree).fifo(&parts, Last { mode, mtime: member.mtime })
            }
            MemberKind::Refused(why) => Err(refuse(why).into()),
        }
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        lock(&self.tree).revoke();
        self.progress.undo.disarm();
    }
}

fn link(member: &Member, target: &[u8], why: &'static str) -> ArchiveError {
    ArchiveError::Link {
        name: crate::format::shown::name(&member.name),
        target: crate::format::shown::name(target),
        why,
    }
}

fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}
