//! One import of an archive: its codecs come off, its members go into a directory.

use std::sync::Arc;
use std::time::Instant;

use super::head;
use super::tap::Tap;
use super::{Origin, choices, counted};
use crate::archive::{self, Policy, Spec};
use crate::config::{ImportConfig, Overwrite};
use crate::error::{Error, Kind};
use crate::format::preallocation::Preallocation;
use crate::io::relay;
use crate::matrix::Endpoint;
use crate::progress::{Phase, Progress, Stop};
use crate::report::{DigestReport, Outcome};
use crate::sink::Existing;

/// Unpacks the archive of `origin` into the directory that `config` names.
///
/// # Errors
/// Every [`Kind`]; what was made is then removed, and nothing else.
pub(super) fn unpack(
    config: &ImportConfig,
    origin: Origin,
    progress: &Arc<Progress>,
    stop: &Arc<Stop>,
    tap: &Tap,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    if origin.endpoint == Endpoint::Registry {
        let why = "a container image is no archive; --content-type archive is for a tar of files";
        return Err(Error::new(Kind::Usage, why));
    }
    let place = archive::open(&spec(config))?;
    let input = origin.source.open()?;
    let (stream, codecs) = head::archive(input, choices(config), tap)?;
    progress.enter(Phase::Pouring);
    let unpacked = place.unpack(relay(stream), progress, stop)?;
    let digest = tap.check(stop)?;
    stop.check()?;
    progress.enter(Phase::Flushing);
    let summary = unpacked.finish()?;
    progress.enter(Phase::Done);
    Ok(Outcome {
        format: "tar".to_owned(),
        codecs: codecs.iter().map(ToString::to_string).collect(),
        route: "archive".to_owned(),
        virtual_size: summary.size,
        entries: Some(summary.entries),
        digest: Some(DigestReport::new(&digest, config.checksum.as_ref())),
        warnings: summary.warnings,
        ..counted(progress, started.elapsed())
    })
}

/// The directory that `config` names, as a place for anybody's archive; its files keep their holes.
pub(super) fn spec(config: &ImportConfig) -> Spec {
    let existing = match config.overwrite {
        Overwrite::Refuse => Existing::Refuse,
        Overwrite::Force => Existing::Overwrite,
    };
    Spec {
        dir: config.target.clone(),
        existing,
        max_size: config.max_size,
        preallocation: Preallocation::Off,
        policy: Policy::Foreign,
    }
}
