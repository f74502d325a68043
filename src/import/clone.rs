//! A clone that arrives from another pod: poured or unpacked as it was sent.
//!
//! Nothing is sniffed, checked against a size or resized: the source is a volume of ours, and who
//! asked for the clone expands it later. Only what the carrier proves is checked.

use std::sync::Arc;
use std::time::Instant;

use super::archive::spec;
use super::{counted, open_sink};
use crate::archive::{self, Policy, Spec};
use crate::codec::unsnap;
use crate::config::ImportConfig;
use crate::copy::{Pouring, stream};
use crate::error::{Error, Kind};
use crate::image::Trailer;
use crate::io::{Sequential, relay};
use crate::progress::{Phase, Progress, Stop};
use crate::report::Outcome;
use crate::source::Source;

/// The name of the file that holds the disk in the file system of a volume.
const DISK: &str = "disk.img";

/// What a clone source sends, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The bytes of a device, into the target.
    Disk,
    /// The files of a file system, into the target, which is a directory, as this policy has it.
    Files(Policy),
    /// The files of a file system, of which the one that holds the disk goes into the target.
    DiskInFiles,
}

/// Brings the clone that `arrival` is to the target that `config` names.
///
/// # Errors
/// Every [`Kind`]; the target is then as after a failed import.
pub(crate) fn take(
    config: &ImportConfig,
    arrival: Box<dyn Source>,
    shape: Shape,
    run: (&Arc<Progress>, &Arc<Stop>),
) -> Result<Outcome, Error> {
    let (started, (progress, stop)) = (Instant::now(), run);
    let outcome = match shape {
        Shape::Files(policy) => {
            let spec = Spec { preallocation: config.preallocation, policy, ..spec(config) };
            files(&spec, arrival, progress, stop)?
        }
        Shape::Disk => disk(config, progress, stop, || plain(arrival))?,
        Shape::DiskInFiles => disk(config, progress, stop, || archive::single(plain(arrival)?, DISK))?,
    };
    progress.enter(Phase::Done);
    Ok(Outcome { codecs: vec!["snappy".to_owned()], ..merged(outcome, counted(progress, started.elapsed())) })
}

/// The plain bytes of `arrival`.
fn plain(arrival: Box<dyn Source>) -> Result<Sequential, Error> {
    let stream = arrival.open()?.into_sequential();
    Ok(relay(unsnap(stream.map_err(|error| Error::from_io(error, Kind::Other))?)))
}

fn disk(
    config: &ImportConfig,
    progress: &Arc<Progress>,
    stop: &Arc<Stop>,
    open: impl FnOnce() -> Result<Sequential, Error>,
) -> Result<Outcome, Error> {
    let sink = open_sink(config, progress)?;
    let mut source = open()?;
    // Without a byte nothing would ever be prepared.
    if source.peek(1).map_err(|error| Error::from_io(error, Kind::Other))?.is_empty() {
        return Err(Error::new(Kind::Image, "the clone is empty, which no disk is"));
    }
    progress.enter(Phase::Pouring);
    let pouring = Pouring { sink: &*sink, progress, stop, workers: config.workers };
    let size = stream(source, Trailer::Free, pouring)?;
    stop.check()?;
    progress.enter(Phase::Flushing);
    sink.finish(size)?;
    Ok(Outcome { format: "raw".to_owned(), virtual_size: size, ..Outcome::default() })
}

fn files(
    spec: &Spec,
    arrival: Box<dyn Source>,
    progress: &Arc<Progress>,
    stop: &Arc<Stop>,
) -> Result<Outcome, Error> {
    let place = archive::open(spec)?;
    let source = plain(arrival)?;
    progress.enter(Phase::Pouring);
    let unpacked = place.unpack(source, progress, stop)?;
    stop.check()?;
    progress.enter(Phase::Flushing);
    let summary = unpacked.finish()?;
    Ok(Outcome {
        format: "tar".to_owned(),
        virtual_size: summary.size,
        entries: Some(summary.entries),
        warnings: summary.warnings,
        ..Outcome::default()
    })
}

/// What was poured, and the counters of the run.
fn merged(poured: Outcome, counters: Outcome) -> Outcome {
    Outcome {
        format: poured.format,
        route: "clone".to_owned(),
        virtual_size: poured.virtual_size,
        entries: poured.entries,
        warnings: poured.warnings,
        ..counters
    }
}
