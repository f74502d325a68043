//! A path on this machine: a regular file or a block device at random, anything else as a stream.
//!
//! Refuses to know: what an image may name in turn; only the path that the user gave is opened.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{Advice, OFlags, fadvise, seek};
use rustix::io::Errno;

use super::{ArgumentError, Context, Source, stdin};
use crate::error::{Classify, Error, Kind};
use crate::io::{Input, ReadAt, Reading, Sequential};

/// A path, not yet opened.
pub(super) struct File {
    path: PathBuf,
    context: Context,
}

impl File {
    pub(super) fn new(path: PathBuf, context: Context) -> Self {
        Self { path, context }
    }

    /// The path that a `file://` URL names.
    pub(super) fn from_url(text: &str, context: Context) -> Result<Self, ArgumentError> {
        Ok(Self::new(path(text)?, context))
    }
}

/// The path that the `file://` URL `text` names.
pub(super) fn path(text: &str) -> Result<PathBuf, ArgumentError> {
    url::Url::parse(text)?.to_file_path().map_err(|()| ArgumentError::FileUrl)
}

impl Source for File {
    fn open(self: Box<Self>) -> Result<Input, Error> {
        let name = self.name();
        let failed = |cause| FileError::Open { name: name.clone(), cause };
        // Without O_NONBLOCK the open itself would wait for the writer of a FIFO, deaf to Ctrl-C.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let mut file =
            fs::OpenOptions::new().read(true).custom_flags(flags).open(&self.path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Ok(Input::Sequential(stdin::stream(file, name, self.context)?));
        }
        let len = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if kind.is_file() {
            let found = file.metadata().map_err(failed)?;
            let (inode, changed) = (found.ino(), (found.ctime(), found.ctime_nsec()));
            let validator = format!("inode {inode}, {len} bytes, changed {}.{:09}", changed.0, changed.1);
            let place = self.path.canonicalize().map_err(failed)?;
            self.context.notes.set_version(&place.to_string_lossy(), validator);
        }
        Ok(Input::Random(Arc::new(FileAt { file, name, len, context: self.context })))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// A file or device of the length that it had when it was opened.
struct FileAt {
    file: fs::File,
    name: String,
    len: u64,
    context: Context,
}

impl FileAt {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize, Error> {
        loop {
            self.context.stop.check()?;
            match self.file.read_at(buf, at) {
                Ok(0) => {
                    return Err(FileError::Truncated { name: self.name.clone(), len: self.len, at }.into());
                }
                Ok(count) => {
                    let bytes = u64::try_from(count).unwrap_or(u64::MAX);
                    self.context.progress.fetched.fetch_add(bytes, Relaxed);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(FileError::Read { name: self.name.clone(), at, cause }.into()),
            }
        }
    }
}

impl FileAt {
    /// Whether the file still has the length that it had when it was opened.
    fn is_whole(&self) -> bool {
        self.file.metadata().is_ok_and(|now| now.len() >= self.len)
    }
}

impl ReadAt for FileAt {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let want = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        if offset.checked_add(want).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut rest, mut at) = (buf, offset);
        while !rest.is_empty() {
            let count = self.read_at(rest, at)?;
            rest = rest.get_mut(count..).unwrap_or_default();
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading { lanes: 4, piece: 2 << 20, gap: 64 << 10 }
    }

    fn next_data(&self, from: u64) -> Option<Range<u64>> {
        let rest = (from < self.len).then_some(from..self.len);
        // The descriptor's own offset moves, which nobody reads by.
        match seek(&self.file, rustix::fs::SeekFrom::Data(from)) {
            Ok(start) if (from..self.len).contains(&start) => {
                let end = seek(&self.file, rustix::fs::SeekFrom::Hole(start)).unwrap_or(self.len);
                Some(start..if end > start { end.min(self.len) } else { self.len })
            }
            // Only a hole follows, unless the file has shrunk: reading tells.
            Ok(_) | Err(Errno::NXIO) if self.is_whole() => None,
            // A device, or a file system that does not tell.
            _ => rest,
        }
    }

    fn file(&self) -> Option<&fs::File> {
        Some(&self.file)
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        // A hint: where it is not understood nothing is lost.
        let _ = fadvise(&self.file, 0, None, Advice::Sequential);
        self.context.progress.fetch_total.store(self.len, Relaxed);
        // What was looked at before comes again, and counts once.
        self.context.progress.fetched.store(0, Relaxed);
        let len = self.len;
        Ok(Sequential::new(FromStart { file: self, at: 0 }, Some(len)))
    }
}

/// A file read from its first byte on, without the descriptor's own offset.
struct FromStart {
    file: Arc<FileAt>,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = left.min(buf.len());
        let buf = buf.get_mut(..room).unwrap_or_default();
        if buf.is_empty() {
            return Ok(0);
        }
        let count = self.file.read_at(buf, self.at)?;
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{name} cannot be opened")]
    Open {
        name: String,
        #[source]
        cause: io::Error,
    },
    #[error("{name}: reading at byte {at} failed")]
    Read {
        name: String,
        at: u64,
        #[source]
        cause: io::Error,
    },
    #[error("{name} is truncated: it had {len} bytes when it was opened and now ends at {at}")]
    Truncated { name: String, len: u64, at: u64 },
}

impl Classify for FileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { cause, .. } => match cause.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Kind::Refused,
                _ => Kind::Other,
            },
            Self::Read { .. } => Kind::Other,
            Self::Truncated { .. } => Kind::Integrity,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::error::kind_within;
    use crate::source::tests::context;

    fn opened(path: &std::path::Path) -> Result<Input, Error> {
        Box::new(File::new(path.to_owned(), context())).open()
    }

    #[test]
    fn a_regular_file_is_read_at_random_and_in_order() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let Input::Random(place) = opened(file.path()).unwrap() else { panic!("a stream") };
        let mut four = [0; 4];
        place.read_exact_at(&mut four, 6).unwrap();
        assert_eq!(&four, b"6789");
        let past = place.read_exact_at(&mut four, 7).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
        let mut all = String::new();
        place.into_sequential().unwrap().read_to_string(&mut all).unwrap();
        assert_eq!(all, "0123456789");
    }

    #[test]
    fn a_sparse_file_tells_where_its_data_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        file.as_file().write_all_at(&[7; 10], 2 << 20).unwrap();
        let Input::Random(place) = opened(file.path()).unwrap() else { panic!("a stream") };
        let data = place.next_data(0).unwrap();
        assert!(data.contains(&(2 << 20)) && data.end <= 4 << 20, "{data:?}");
        assert!(place.next_data(data.start).is_some_and(|same| same == data));
        assert_eq!(place.next_data(4 << 20), None);
        file.as_file().set_len(1 << 20).unwrap();
        assert_eq!(place.next_data(3 << 20), Some(3 << 20..4 << 20), "reading will tell that it has shrunk");
    }

    #[test]
    fn a_file_that_shrinks_is_truncated() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 5000]).unwrap();
        let input = opened(file.path()).unwrap();
        file.as_file().set_len(1000).unwrap();
        let error = input.into_sequential().unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(kind_within(&error), Some(Kind::Integrity));
        assert!(error.to_string().contains("had 5000 bytes when it was opened and now ends at 1000"));
    }

    #[test]
    fn what_is_no_file_is_told_apart() {
        let place = tempfile::tempdir().unwrap();
        let kind = |name: &str| opened(&place.path().join(name)).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(kind("absent"), Err(Kind::Refused));
        assert_eq!(kind("."), Err(Kind::Usage));
        let Input::Sequential(mut endless) = opened("/dev/zero".as_ref()).unwrap() else {
            panic!("a device read at random")
        };
        assert_eq!(endless.peek(3).unwrap(), [0; 3]);
    }
}
