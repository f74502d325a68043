//! Stretches of local files, read by offset.
//!
//! Refuses to know: names within. Only the path that the user gave is opened here, and what
//! `layout` adds to it.

use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::OFlags;

use crate::error::{Classify, Error, Kind};
use crate::io::{Pass, Sequential};
use crate::source::Context;

/// Why a local file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocalError {
    #[error("{name} cannot be opened")]
    Open {
        name: String,
        #[source]
        cause: io::Error,
    },
    #[error("{name} is no regular file")]
    Irregular { name: String },
    #[error("{name}: reading at byte {at} failed")]
    Read {
        name: String,
        at: u64,
        #[source]
        cause: io::Error,
    },
    #[error("{name} is truncated: it ends at byte {at}")]
    Truncated { name: String, at: u64 },
}

impl Classify for LocalError {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { cause, .. } => match cause.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => {
                    Kind::Refused
                }
                _ => Kind::Other,
            },
            Self::Irregular { .. } => Kind::Usage,
            Self::Read { .. } => Kind::Other,
            Self::Truncated { .. } => Kind::Integrity,
        }
    }
}

/// A regular file of the length that it had when it was opened.
#[derive(Clone)]
pub(super) struct LocalFile {
    file: Arc<fs::File>,
    name: Arc<str>,
    len: u64,
    context: Context,
}

impl LocalFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`LocalError::Open`], [`LocalError::Irregular`].
    pub(super) fn open(path: &Path, context: &Context) -> Result<Self, LocalError> {
        let name = path.display().to_string();
        let failed = |cause| LocalError::Open { name: name.clone(), cause };
        // A FIFO must not make the open itself wait.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        let facts = file.metadata().map_err(failed)?;
        if !facts.is_file() {
            return Err(LocalError::Irregular { name });
        }
        Ok(Self { file: Arc::new(file), name: name.into(), len: facts.len(), context: context.clone() })
    }

    /// The length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// What messages call the file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The whole file.
    pub(super) fn whole(&self) -> Slice {
        self.slice(0..self.len)
    }

    /// The bytes of `range`.
    pub(super) fn slice(&self, range: Range<u64>) -> Slice {
        Slice { file: self.clone(), range }
    }

    /// Whom the file's readers report to and obey.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }
}

/// A stretch of a file.
pub(super) struct Slice {
    file: LocalFile,
    range: Range<u64>,
}

impl Slice {
    /// The same bytes as a stream of known length.
    pub(super) fn into_stream(self) -> Sequential {
        let len = self.range.end.saturating_sub(self.range.start);
        Sequential::new(self, Some(len))
    }

    fn read_at(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let (name, at) = (|| self.file.name.to_string(), self.range.start);
        loop {
            self.file.context.stop.check()?;
            match self.file.file.read_at(buf, at) {
                Ok(0) => return Err(LocalError::Truncated { name: name(), at }.into()),
                Ok(count) => {
                    let bytes = u64::try_from(count).unwrap_or(u64::MAX);
                    self.file.context.progress.fetched.fetch_add(bytes, Relaxed);
                    self.range.start = at.saturating_add(bytes);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(LocalError::Read { name: name(), at, cause }.into()),
            }
        }
    }
}

impl Read for Slice {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.end.saturating_sub(self.range.start)).unwrap_or(usize::MAX);
        let room = buf.len().min(left);
        match buf.get_mut(..room).filter(|buf| !buf.is_empty()) {
            Some(buf) => Ok(self.read_at(buf)?),
            None => Ok(0),
        }
    }
}

impl Pass for Slice {
    fn pass(&mut self, count: u64) -> io::Result<u64> {
        let passed = count.min(self.range.end.saturating_sub(self.range.start));
        self.range.start = self.range.start.saturating_add(passed);
        Ok(passed)
    }
}
