//! Blank disks: nothing is fetched, and only their size matters.

use std::path::Path;
use std::sync::Arc;

use super::complete;
use super::place::{self, Volume};
use crate::config::{ContentType, ImporterPod};
use crate::error::Error;
use crate::format::addr::GuestOffset;
use crate::format::preallocation::Preallocation;
use crate::progress::{Phase, Progress, Stop};
use crate::report::termination::Termination;
use crate::sink::{self, Existing, Sink, TargetSpec};

/// Zeros between two looks at the wish to stop, in bytes.
const STEP: u64 = 64 << 20;

/// Makes the disk blank. A device has no message: the controller takes it as it is.
pub(super) fn create(
    pod: &ImporterPod,
    volume: Volume,
    progress: &Arc<Progress>,
    stop: &Stop,
) -> Result<Option<Termination>, Error> {
    let requested = pod.image_size.unwrap_or(u64::MAX);
    let size = match volume {
        Volume::Device if pod.import.preallocation == Preallocation::Off => return Ok(None),
        Volume::Device => place::device_size()?.min(requested),
        Volume::Files => {
            let free = place::free(Path::new(place::DATA))?;
            if requested != u64::MAX && requested > free {
                tracing::warn!("{requested} bytes are requested, {free} are free");
            }
            pod.overhead.usable(free.min(requested))
        }
    };
    let target = volume.target(ContentType::Kubevirt);
    let spec = TargetSpec {
        path: target.to_owned(),
        preallocation: volume.claim(pod.import.preallocation),
        existing: Existing::Overwrite,
        max_size: None,
    };
    progress.enter(Phase::Pouring);
    fill(&*sink::open(&spec, Arc::clone(progress))?, size, progress, stop)?;
    place::seal(target)?;
    progress.enter(Phase::Done);
    Ok(Some(complete(pod)))
}

fn fill(sink: &dyn Sink, size: u64, progress: &Progress, stop: &Stop) -> Result<(), Error> {
    progress.virtual_size.store(size, std::sync::atomic::Ordering::Relaxed);
    sink.prepare(Some(size))?;
    let mut at = 0_u64;
    while at < size {
        stop.check()?;
        let step = size.saturating_sub(at).min(STEP);
        sink.zero(GuestOffset(at), step)?;
        at = at.saturating_add(step);
    }
    stop.check()?;
    progress.enter(Phase::Flushing);
    Ok(sink.finish(size)?)
}
