//! Scratch space: an unnamed sparse file that ends with its last user.
//!
//! Refuses to know: why bytes wait. Spill puts parts of an image here, stage the whole of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::fs::{Mode, OFlags};

use crate::error::{Classify, Error, Kind};
use crate::io::{Aligned, Piece, ReadAt, Reading, Sequential, fill, pieces};
use crate::progress::{Progress, Stop};

/// Bytes that staging moves at a time.
const STEP: usize = 1 << 20;

/// Why scratch space could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// No file could be made there.
    #[error("the scratch directory {} cannot be used", dir.display())]
    Open {
        /// The directory that the user gave.
        dir: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A read or write failed; most often the space is used up.
    #[error("cannot {deed} scratch in {} at byte {at}", dir.display())]
    Access {
        /// What was tried.
        deed: &'static str,
        /// The directory that the user gave.
        dir: PathBuf,
        /// Where in the file.
        at: u64,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl Classify for ScratchError {
    fn kind(&self) -> Kind {
        Kind::ScratchFull
    }
}

/// An unnamed sparse file in the scratch directory.
pub struct Scratch {
    file: File,
    dir: PathBuf,
    len: AtomicU64,
    progress: Arc<Progress>,
}

impl Scratch {
    /// An empty file in `dir`; its writes are counted in `progress`.
    ///
    /// # Errors
    /// [`ScratchError::Open`].
    pub fn create(dir: &Path, progress: Arc<Progress>) -> Result<Self, ScratchError> {
        let file = unnamed(dir).map_err(|cause| ScratchError::Open { dir: dir.to_owned(), cause })?;
        if is_memory(&file) {
            tracing::warn!(
                "the scratch directory {} is on tmpfs: what is spilled takes memory",
                dir.display()
            );
        }
        Ok(Self { file, dir: dir.to_owned(), len: AtomicU64::new(0), progress })
    }

    /// Writes `buf` at `at`.
    ///
    /// # Errors
    /// [`ScratchError::Access`].
    pub fn write_all_at(&self, buf: &[u8], at: u64) -> Result<(), ScratchError> {
        self.file.write_all_at(buf, at).map_err(|cause| self.failed("write to", at, cause))?;
        let len = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        self.progress.scratch.fetch_add(len, Relaxed);
        self.len.fetch_max(at.saturating_add(len), Relaxed);
        Ok(())
    }

    /// Makes the file reach up to `end`; what was never written there reads as zeros.
    ///
    /// # Errors
    /// [`ScratchError::Access`].
    pub fn reach(&self, end: u64) -> Result<(), ScratchError> {
        if self.len() < end {
            self.file.set_len(end).map_err(|cause| self.failed("set the length of", end, cause))?;
            self.len.fetch_max(end, Relaxed);
        }
        Ok(())
    }

    /// Writes the whole of `stream`, leaving holes for its zeros, and hands it over for random reads.
    ///
    /// # Errors
    /// Whatever the stream fails with, [`ScratchError::Access`], and a stop.
    pub fn stage(self, mut stream: Sequential, stop: &Stop) -> Result<Arc<dyn ReadAt>, Error> {
        let mut buf = Aligned::zeroed(STEP);
        let mut at = 0_u64;
        loop {
            stop.check()?;
            let count = fill(&mut stream, &mut buf).map_err(|error| Error::from_io(error, Kind::Other))?;
            if count == 0 {
                break;
            }
            let filled = buf.get(..count).unwrap_or_default();
            for piece in pieces(filled) {
                if let Piece::Data(range) = piece {
                    let start = u64::try_from(range.start).unwrap_or(u64::MAX);
                    let data = filled.get(range).unwrap_or_default();
                    // Whoever reads ahead may wait for a server that has gone silent.
                    self.write_all_at(data, at.saturating_add(start))
                        .inspect_err(|_| stop.ask(Kind::Other))?;
                }
            }
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        self.file.set_len(at).map_err(|cause| self.failed("set the length of", at, cause))?;
        self.len.store(at, Relaxed);
        Ok(Arc::new(self))
    }

    fn failed(&self, deed: &'static str, at: u64, cause: io::Error) -> ScratchError {
        ScratchError::Access { deed, dir: self.dir.clone(), at, cause }
    }
}

impl ReadAt for Scratch {
    fn len(&self) -> u64 {
        self.len.load(Relaxed)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.file.read_exact_at(buf, offset);
        read.map_err(|cause| Error::from(self.failed("read from", offset, cause)).into())
    }

    fn reading(&self) -> Reading {
        Reading { lanes: 2, piece: 2 << 20, gap: 64 << 10 }
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        let file = self.file.try_clone()?;
        Ok(Sequential::new(file, Some(self.len())))
    }
}

/// A file without a name; where the file system has none (NFS), one whose name is taken away at once.
fn unnamed(dir: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
            named_briefly(dir)
        }
        Err(error) => Err(error.into()),
    }
}

fn named_briefly(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".diskpour-scratch-{}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Whether the file lies on tmpfs, so in memory.
fn is_memory(file: &File) -> bool {
    const TMPFS_MAGIC: u32 = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|status| u32::try_from(status.f_type) == Ok(TMPFS_MAGIC))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_staged_is_read_back_and_zeros_take_no_space() {
        let dir = tempfile::tempdir().unwrap();
        let progress = Arc::new(Progress::default());
        let scratch = Scratch::create(dir.path(), Arc::clone(&progress)).unwrap();
        let mut image = vec![0; 3 << 20];
        image[2 << 20..][..5].copy_from_slice(b"bytes");
        let stream = Sequential::new(io::Cursor::new(image), None);
        let staged = scratch.stage(stream, &Stop::default()).unwrap();
        assert_eq!(staged.len(), 3 << 20);
        let mut five = [0; 5];
        staged.read_exact_at(&mut five, 2 << 20).unwrap();
        assert_eq!(&five, b"bytes");
        assert_eq!(progress.scratch.load(Relaxed), 4096);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// Bytes of a server that has gone silent: none before the wish to stop.
    struct Silent(Arc<Stop>);

    impl Read for Silent {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            while !self.0.asked() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn scratch_that_is_full_does_not_wait_for_a_source_that_is_silent() {
        let (done, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // The device that has no room.
            let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let (dir, progress) = (PathBuf::from("/dev"), Arc::default());
            let scratch = Scratch { file, dir, len: AtomicU64::new(0), progress };
            let stop = Arc::new(Stop::default());
            let bytes = io::repeat(7).take(2 << 20).chain(Silent(Arc::clone(&stop)));
            let staged = scratch.stage(crate::io::relay(Sequential::new(bytes, None)), &stop);
            drop(done.send(staged.map(drop).unwrap_err()));
        });
        let error = result.recv_timeout(std::time::Duration::from_secs(20)).expect("it waits for the source");
        assert_eq!(error.kind(), Kind::ScratchFull);
        let words = "cannot write to scratch in /dev at byte 0: No space left on device";
        assert!(error.to_string().starts_with(words), "{error}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = Scratch::create(Path::new("/no/such/dir"), Arc::default()).err().unwrap();
        assert!(error.to_string().contains("/no/such/dir"));
        assert!(named_briefly(tempfile::tempdir().unwrap().path()).is_ok());
    }
}
