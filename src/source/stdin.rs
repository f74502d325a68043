//! Bytes that come through a descriptor and are gone when read: standard input, a FIFO, a
//! character device.
//!
//! Refuses to know: who writes into the other end.

use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Context, Source, seconds};
use crate::error::{Classify, Error, Kind};
use crate::io::{Input, Sequential};

/// How often a waiting read looks at the wish to stop.
const STEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Standard input, whatever it is: a promise to read it from where it stands, once.
pub(super) struct Stdin {
    context: Context,
}

impl Stdin {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }
}

impl Source for Stdin {
    fn open(self: Box<Self>) -> Result<Input, Error> {
        let name = self.name();
        let owned = io::stdin().as_fd().try_clone_to_owned();
        let file = std::fs::File::from(owned.map_err(|cause| PipeError::Open { name: name.clone(), cause })?);
        Ok(Input::Sequential(stream(file, name, self.context)?))
    }

    fn name(&self) -> String {
        "standard input".to_owned()
    }
}

/// `file` from where it stands to its end; the length is known only of a regular file.
pub(super) fn stream(mut file: std::fs::File, name: String, context: Context) -> Result<Sequential, Error> {
    let failed = |cause| PipeError::Open { name: name.clone(), cause };
    let facts = file.metadata().map_err(failed)?;
    if facts.is_dir() {
        return Err(PipeError::Directory { name }.into());
    }
    let len = match facts.is_file() {
        true => Some(facts.len().saturating_sub(file.stream_position().map_err(failed)?)),
        false => None,
    };
    context.progress.fetch_total.store(len.unwrap_or(0), Relaxed);
    Ok(Sequential::new(Pipe { file, name, context, promised: len, taken: 0 }, len))
}

/// A descriptor that is waited for in short steps.
struct Pipe {
    file: std::fs::File,
    name: String,
    context: Context,
    promised: Option<u64>,
    taken: u64,
}

impl Pipe {
    /// Returns when a read will not block: there are bytes, or the writer has gone.
    fn wait(&self) -> Result<(), Error> {
        let limit = self.context.idle_timeout;
        let start = Instant::now();
        loop {
            self.context.stop.check()?;
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&STEP)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(cause) => return Err(self.failed(cause.into()).into()),
            }
            if start.elapsed() >= limit {
                return Err(PipeError::Idle { name: self.name.clone(), limit }.into());
            }
        }
    }

    fn failed(&self, cause: io::Error) -> PipeError {
        PipeError::Read { name: self.name.clone(), at: self.taken, cause }
    }

    /// What an end of the stream here means.
    fn ended(&self) -> Result<(), PipeError> {
        match self.promised {
            Some(promised) if self.taken < promised => {
                Err(PipeError::Truncated { name: self.name.clone(), promised, taken: self.taken })
            }
            _ => Ok(()),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // A file that grows is read up to the length that was promised.
        let left = self.promised.map_or(u64::MAX, |promised| promised.saturating_sub(self.taken));
        let room = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buf = buf.get_mut(..room).unwrap_or_default();
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            self.wait()?;
            match self.file.read(buf) {
                Ok(0) => {
                    self.ended().map_err(Error::from)?;
                    return Ok(0);
                }
                Ok(count) => {
                    let bytes = u64::try_from(count).unwrap_or(u64::MAX);
                    self.taken = self.taken.saturating_add(bytes);
                    self.context.progress.fetched.fetch_add(bytes, Relaxed);
                    return Ok(count);
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(cause) => return Err(Error::from(self.failed(cause)).into()),
            }
        }
    }
}

/// Why a pipe cannot be read to its end.
#[derive(Debug, thiserror::Error)]
enum PipeError {
    #[error("{name} cannot be opened")]
    Open {
        name: String,
        #[source]
        cause: io::Error,
    },
    #[error("{name} is a directory; a source is one file")]
    Directory { name: String },
    #[error("{name}: reading failed after {at} bytes")]
    Read {
        name: String,
        at: u64,
        #[source]
        cause: io::Error,
    },
    #[error("{name}: no byte for {}; the limit is --idle-timeout", seconds(*limit))]
    Idle { name: String, limit: Duration },
    #[error("{name} is truncated: it had {promised} bytes when it was opened and ends after {taken}")]
    Truncated { name: String, promised: u64, taken: u64 },
}

impl Classify for PipeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { .. } | Self::Read { .. } => Kind::Other,
            Self::Directory { .. } => Kind::Usage,
            Self::Idle { .. } => Kind::Unreachable,
            Self::Truncated { .. } => Kind::Integrity,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::error::kind_within;
    use crate::source::tests::context;
    use std::io::SeekFrom;

    fn pipe(context: &Context) -> (Sequential, std::io::PipeWriter) {
        let (reader, writer) = std::io::pipe().unwrap();
        let file = std::fs::File::from(OwnedFd::from(reader));
        (stream(file, "pipe".to_owned(), context.clone()).unwrap(), writer)
    }

    #[test]
    fn a_pipe_is_counted_and_ends_when_the_writer_goes() {
        let context = context();
        let (mut stream, mut writer) = pipe(&context);
        assert_eq!(stream.known_len(), None);
        writer.write_all(b"abc").unwrap();
        drop(writer);
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"abc");
        assert_eq!(context.progress.fetched.load(Relaxed), 3);
    }

    #[test]
    fn a_silent_writer_ends_the_read_at_the_idle_timeout() {
        let context = Context { idle_timeout: Duration::from_millis(200), ..context() };
        let (mut stream, _writer) = pipe(&context);
        let error = stream.read(&mut [0; 9]).unwrap_err();
        assert_eq!(kind_within(&error), Some(Kind::Unreachable));
        assert_eq!(error.to_string(), "pipe: no byte for 0.2 s; the limit is --idle-timeout");
    }

    #[test]
    fn the_wish_to_stop_ends_a_waiting_read() {
        let context = context();
        let (mut stream, _writer) = pipe(&context);
        context.stop.ask(Kind::Interrupted);
        assert_eq!(kind_within(&stream.read(&mut [0; 9]).unwrap_err()), Some(Kind::Interrupted));
    }

    #[test]
    fn a_redirected_file_is_read_from_where_it_stands() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        file.seek(SeekFrom::Start(4)).unwrap();
        let mut stream = stream(file, "file".to_owned(), context()).unwrap();
        assert_eq!(stream.known_len(), Some(6));
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        assert_eq!(all, "456789");
    }
}
