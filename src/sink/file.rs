//! A file as a target: fresh, so that what is not written reads as zeros.
//!
//! Without `finish`, a file that we made is removed and one that was there is left empty. A
//! process that is killed leaves a part of the disk, its first MiB zero, and the marker beside it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{FallocateFlags, FlockOperation, SeekFrom, fallocate, flock, seek};
use rustix::io::{Errno, retry_on_intr};

use super::ladder::Ladder;
use super::marker::Marker;
use super::outlet::{Outlet, same};
use super::resume::Lasting;
use super::{Existing, Preallocation, Sink, SinkError, TargetSpec, fits, len_of};
use crate::format::addr::GuestOffset;
use crate::journal::Ranges;
use crate::progress::Progress;
use crate::sys::share::share;

/// Blocks are shared in multiples of this many bytes.
const SHARED_UNIT: u64 = 4096;

/// A file that holds nothing but what this import writes.
pub(super) struct FileSink {
    path: PathBuf,
    preallocation: Preallocation,
    max_size: Option<u64>,
    progress: Arc<Progress>,
    marker: Marker,
    /// The file that was there before, locked.
    found: Option<File>,
    opened: OnceLock<Opened>,
    /// What an earlier import left that is of use.
    kept: Mutex<Ranges>,
    /// Nothing is left to clean up: the file is complete, or gone.
    settled: AtomicBool,
}

struct Opened {
    outlet: Outlet,
    leftover: Arc<Leftover>,
    /// Whether zeros must be written to take up their space.
    literal: AtomicBool,
    /// Bytes reserved by fallocate.
    reserved: AtomicU64,
    /// Where the last write so far ended.
    end: AtomicU64,
    /// Whether blocks of a source turned out not to be shareable.
    unshared: AtomicBool,
}

impl FileSink {
    /// The file `path`, which is not there yet and will be made by `prepare`.
    pub(super) fn absent(path: PathBuf, spec: &TargetSpec, progress: Arc<Progress>) -> Self {
        Self {
            marker: Marker::beside(&path),
            path,
            preallocation: spec.preallocation,
            max_size: spec.max_size,
            progress,
            found: None,
            opened: OnceLock::new(),
            kept: Mutex::default(),
            settled: AtomicBool::new(false),
        }
    }

    /// The file `path`, which is there: empty, ours, or given up by its owner.
    pub(super) fn existing(
        path: PathBuf,
        spec: &TargetSpec,
        progress: Arc<Progress>,
    ) -> Result<Self, SinkError> {
        let failed = |cause| SinkError::failed("open", &path, None, cause);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        lock(&file, &path)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut sink = Self::absent(path, spec, progress);
        if len > 0 && spec.existing == Existing::Refuse && !sink.marker.exists() {
            let why = "is there already and not empty; use --force to overwrite it";
            return Err(SinkError::Unfit { path: sink.path.clone(), why });
        }
        sink.found = Some(file);
        Ok(sink)
    }

    fn failed(&self, action: &'static str, cause: io::Error) -> SinkError {
        SinkError::failed(action, &self.path, None, cause)
    }

    fn opened(&self) -> Result<&Opened, SinkError> {
        self.opened.get().ok_or(SinkError::Misused("a target is used before prepare"))
    }

    /// The file, made now if it was not there, and not cleaned up before this has succeeded.
    fn open_target(&self) -> Result<&Opened, SinkError> {
        if let Some(opened) = self.opened.get() {
            // What an earlier import left was of no use, and the file is made ready a second time.
            return Ok(opened);
        }
        let file = match &self.found {
            Some(file) => file.try_clone().map_err(|cause| self.failed("open", cause))?,
            None => self.create()?,
        };
        let leftover = Arc::new(Leftover {
            path: self.path.clone(),
            file: file.try_clone().map_err(|cause| self.failed("open", cause))?,
            created: self.found.is_none(),
            marker: Marker::beside(&self.path),
        });
        let step = Arc::clone(&leftover);
        self.progress.undo.arm(move || {
            // The process ends; nobody is left to tell.
            let _ = step.remove();
        });
        self.opened.get_or_init(|| Opened {
            outlet: Outlet::new(&self.path, file, 1),
            leftover,
            literal: AtomicBool::new(self.preallocation == Preallocation::Full),
            reserved: AtomicU64::new(0),
            end: AtomicU64::new(0),
            unshared: AtomicBool::new(false),
        });
        self.opened()
    }

    fn create(&self) -> Result<File, SinkError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&self.path).map_err(|cause| self.failed("create", cause))?;
        lock(&file, &self.path)?;
        Ok(file)
    }

    fn resize(&self, opened: &Opened, size: u64) -> Result<(), SinkError> {
        opened.outlet.file().set_len(size).map_err(|cause| self.failed("set the size of", cause))
    }

    /// Reserves the space of `size` bytes; zeros are written instead where that cannot be.
    fn reserve(&self, opened: &Opened, size: u64, flags: FallocateFlags) -> Result<(), SinkError> {
        if self.preallocation != Preallocation::Falloc || opened.literal.load(Relaxed) || size == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fallocate(opened.outlet.file(), flags, 0, size)) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                opened.literal.store(true, Relaxed);
                Ok(())
            }
            Err(error) => Err(self.failed("reserve space for", error.into())),
        }
    }

    /// Makes the file empty, or zero around what is kept of it.
    fn freshen(&self, opened: &Opened) -> Result<(), SinkError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_empty() {
            // First emptied, then marked: the marker never lies beside something that is not ours.
            self.resize(opened, 0)?;
            if !opened.leftover.created {
                opened.outlet.sync()?;
            }
            return self.marker.create();
        }
        let len = opened.outlet.file().metadata().map_err(|cause| self.failed("look at", cause))?.len();
        let ladder = Ladder::new(self.preallocation);
        for gap in kept.missing(0..len) {
            ladder.zero(&opened.outlet, gap.start, gap.end.saturating_sub(gap.start))?;
        }
        opened.end.fetch_max(kept.end(), Relaxed);
        opened.outlet.sync()
    }

    /// Leaves what a failed import leaves.
    fn discard(&self) -> Result<(), SinkError> {
        self.settled.store(true, Relaxed);
        self.progress.undo.disarm();
        self.opened.get().map_or(Ok(()), |opened| opened.leftover.remove())
    }
}

/// What a failed import has to clean up.
struct Leftover {
    path: PathBuf,
    file: File,
    /// Whether we made the file.
    created: bool,
    marker: Marker,
}

impl Leftover {
    /// Removes a file that we made, empties one that was there.
    fn remove(&self) -> Result<(), SinkError> {
        let failed = |action, cause| SinkError::failed(action, &self.path, None, cause);
        if !self.created {
            self.file.set_len(0).map_err(|cause| failed("set the size of", cause))?;
        } else if self.is_still_there() {
            fs::remove_file(&self.path).map_err(|cause| failed("remove", cause))?;
        }
        self.marker.remove()
    }

    /// Whether the path still names our file and not another that took its place.
    fn is_still_there(&self) -> bool {
        match (fs::symlink_metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(ours)) => same(&there, &ours),
            _ => false,
        }
    }
}

impl Sink for FileSink {
    fn capacity(&self) -> Option<u64> {
        self.max_size
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        fits(size.unwrap_or(0), self.max_size)?;
        let opened = self.open_target()?;
        self.freshen(opened)?;
        let Some(size) = size else {
            // Whether space can be reserved must be known before the first zero.
            return self.reserve(opened, 4096, FallocateFlags::KEEP_SIZE);
        };
        self.reserve(opened, size, FallocateFlags::empty())?;
        opened.reserved.store(size, Relaxed);
        self.resize(opened, size)
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        let (opened, end) = (self.opened()?, at.plus(len_of(buf)).0);
        fits(end, self.max_size)?;
        opened.outlet.write_all_at(buf, at.0)?;
        opened.end.fetch_max(end, Relaxed);
        self.progress.written.fetch_add(len_of(buf), Relaxed);
        Ok(())
    }

    /// Only counts, unless space is to be taken up: the caller promises that nothing was written there.
    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        let (opened, end) = (self.opened()?, at.plus(len).0);
        fits(end, self.max_size)?;
        if opened.literal.load(Relaxed) {
            opened.outlet.write_zeros(at.0, len)?;
            opened.end.fetch_max(end, Relaxed);
        }
        self.progress.zeroed.fetch_add(len, Relaxed);
        Ok(())
    }

    /// Never where space was to be set aside: shared blocks need new space when the guest writes.
    fn share(&self, from: (&File, u64), len: u64, at: GuestOffset) -> Result<bool, SinkError> {
        let (opened, end) = (self.opened()?, at.plus(len).0);
        fits(end, self.max_size)?;
        let whole = [from.1, len, at.0].iter().all(|value| value.is_multiple_of(SHARED_UNIT));
        if !whole || self.preallocation != Preallocation::Off || opened.unshared.load(Relaxed) {
            return Ok(false);
        }
        if share(from, (opened.outlet.file(), at.0), len).is_err() {
            // Whatever the reason is, a copy either works or says it better.
            opened.unshared.store(true, Relaxed);
            return Ok(false);
        }
        opened.end.fetch_max(end, Relaxed);
        self.progress.written.fetch_add(len, Relaxed);
        Ok(true)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        self.opened()?.outlet.read_exact_at(buf, at.0)
    }

    fn sync(&self) -> Result<(), SinkError> {
        self.opened()?.outlet.sync()
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        fits(virtual_size, self.max_size)?;
        let opened = self.opened()?;
        if opened.reserved.load(Relaxed) < virtual_size {
            self.reserve(opened, virtual_size, FallocateFlags::empty())?;
        }
        let end = opened.end.load(Relaxed);
        if opened.literal.load(Relaxed) {
            opened.outlet.write_zeros(end, virtual_size.saturating_sub(end))?;
        }
        self.resize(opened, virtual_size)?;
        opened.outlet.finish()?;
        self.marker.remove()?;
        self.settled.store(true, Relaxed);
        self.progress.undo.disarm();
        Ok(())
    }

    fn next_data(&self, from: GuestOffset) -> Option<GuestOffset> {
        let file = self.opened.get()?.outlet.file();
        match seek(file, SeekFrom::Data(from.0)) {
            Ok(at) => Some(GuestOffset(at)),
            Err(Errno::NXIO) => None,
            Err(_) => Some(from),
        }
    }

    fn revoke(&self) -> Result<(), SinkError> {
        self.discard()
    }
}

impl Lasting for FileSink {
    fn marker(&self, _scratch: Option<&Path>) -> Option<Marker> {
        Some(self.marker.clone())
    }

    fn keep(&self, kept: Ranges) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    fn leave(&self) {
        self.settled.store(true, Relaxed);
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if !self.settled.load(Relaxed) {
            // The import failed already; its error is the one to tell.
            let _ = self.discard();
        }
    }
}

/// Keeps other processes of ours away from the file, for as long as it is open.
fn lock(file: &File, path: &Path) -> Result<(), SinkError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            let why = "is being written by another process; wait for its end or stop it";
            Err(SinkError::Busy { path: path.to_path_buf(), why })
        }
        // Some network file systems have no locks.
        Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => Ok(()),
        Err(error) => Err(SinkError::failed("lock", path, None, error.into())),
    }
}
