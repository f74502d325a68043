//! The clone source: the bytes of a volume, sent to the upload server of another pod.
//!
//! Refuses to know: the environment, exit codes, and what the other pod does with the bytes.
//!
//! ```text
//! device ───────────┐
//! tree ─► pack(tar) ┴─► Counted ─► snappy ─► Outlet ─(bounded channel)─► Feed ─► post
//! ```

mod outlet;
mod pack;
mod post;
mod sparse;
mod tree;
mod volume;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use snap::write::FrameEncoder;

use crate::config::{ClonePod, ProgressStyle, VolumeMode};
use crate::error::{Classify, Error, Kind};
use crate::progress::{Phase, Progress, Stop};
use crate::report::{Pen, Reporter};

use outlet::{Outlet, channel};
use volume::Volume;

/// Why a volume cannot be sent.
#[derive(Debug, thiserror::Error)]
enum CloneError {
    /// The device, or something in the file system, cannot be read.
    #[error("cannot {action} {path}")]
    Read {
        /// What was tried, a verb.
        action: &'static str,
        /// What it was tried with.
        path: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Something in the file system cannot be sent as it is.
    #[error("{path}: {why}")]
    Unfit {
        /// What.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// The system gives no thread or no socket.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl Classify for CloneError {
    fn kind(&self) -> Kind {
        Kind::Other
    }
}

/// Sends the volume of `config`; what a pod says when the other one has it durably.
///
/// # Errors
/// What reading the volume and sending it fail with, and a stop; the other pod then has nothing.
pub fn run(
    config: &ClonePod,
    pen: &Pen,
    progress: &Arc<Progress>,
    stop: &Arc<Stop>,
) -> Result<String, Error> {
    let volume = Volume::open(config)?;
    progress.fetch_total.store(volume.size()?, Relaxed);
    let reporter = Reporter::start(progress, ProgressStyle::Plain, pen);
    progress.enter(Phase::Staging);
    let sent = send(config, &volume, progress, stop);
    if sent.is_ok() {
        progress.enter(Phase::Done);
    }
    reporter.finish();
    sent?;
    let applied = if config.preallocate { ", Preallocation applied" } else { "" };
    // Plain text, though the exit code is 0: the controller looks for the second half of it.
    Ok(format!("Clone Complete{applied}"))
}

fn send(config: &ClonePod, volume: &Volume, progress: &Progress, stop: &Stop) -> Result<(), Error> {
    let kind = match config.mode {
        VolumeMode::Block => "blockdevice-clone",
        VolumeMode::Filesystem => "filesystem-clone",
    };
    let request = post::Request::new(config, kind)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("post")
        .enable_all()
        .build()
        .map_err(CloneError::Start)?;
    let (outlet, feed) = channel();
    thread::scope(|scope| {
        let read = scope.spawn(|| produce(volume, outlet, progress, stop));
        let posted = runtime.block_on(request.send(feed));
        let read = read.join().unwrap_or_else(|_| Err(Error::new(Kind::Other, "a defect ended the reading")));
        match (read, posted) {
            // The other side has its reasons; otherwise, what went wrong here is why it complains.
            (Err(error), Err(reason)) if error.kind() == outlet::GONE => Err(reason),
            (Err(error), _) => Err(error),
            (Ok(()), posted) => posted,
        }
    })
}

/// Sends all of `volume` through `outlet`, and says so.
fn produce(volume: &Volume, outlet: Outlet, progress: &Progress, stop: &Stop) -> Result<(), Error> {
    let counted = Counted { out: FrameEncoder::new(outlet), progress, stop };
    let failed = |error| Error::from_io(error, Kind::Other);
    let counted = volume.write(counted)?;
    let outlet = counted.out.into_inner().map_err(|error| failed(error.into_error()))?;
    outlet.end().map_err(failed)
}

/// Counts what passes, and ends it when the run is to end.
struct Counted<'a, W> {
    out: W,
    progress: &'a Progress,
    stop: &'a Stop,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stop.check()?;
        let count = self.out.write(buf)?;
        self.progress.fetched.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
