//! CDI's importer: what the environment of a pod asks for, done where its volumes are mounted, and
//! told in the words that the controller looks for.
//!
//! The controller knows a pod by its exit code and its termination message alone. Where CDI's own
//! importer has quirks that nobody can depend on, this one does better and says so in place.
//!
//! Refuses to know: the environment, who writes the message, how progress is shown.

mod blank;
mod node;
mod origin;
pub(super) mod place;
mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Origin;
use super::tap::Mismatch;
use crate::config::{ContentType, ImportConfig, ImporterPod, PodSource, Resume};
use crate::error::{Classify, Error, Kind};
use crate::format::preallocation::Preallocation;
use crate::format::redact;
use crate::progress::{Progress, Stop};
use crate::report::termination::{Ended, Termination, plain};
use crate::report::{escaped, labels};
use crate::source::{Context, Notes};

use place::Volume;
pub use place::{DATA, DEVICE, HEADERS, PROXY_CERTS, SCRATCH};

/// What a pod is asked for and cannot do, whatever the source holds.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// There is nothing that a blank archive could be.
    #[error("Cannot create empty disk with content type archive")]
    BlankArchive,
    /// CDI's webhook keeps it away from pods.
    #[error("a container image is no archive; content type archive is for a tar of files")]
    ImageArchive,
    /// CDI's importer unpacks to where nothing is mounted, and loses the files.
    #[error("an archive is unpacked into a file system, and this volume is a block device")]
    ArchiveOnDevice,
    /// A source that CDI has.
    #[error(
        "the source {0} is not supported yet by diskpour; CDI's own importer image reads it, or http if the image \
         can be had over it"
    )]
    Later(&'static str),
    /// A source that nobody has.
    #[error("Unknown data source: {0}")]
    Unknown(String),
}

impl Classify for Refusal {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// Does what `pod` asks for. The target is durable before this returns a success.
pub fn run(pod: &ImporterPod, progress: &Arc<Progress>, stop: &Arc<Stop>) -> Ended {
    match work(pod, progress, stop) {
        Ok(message) => Ended { exit_code: 0, message: message.map(Termination::to_json) },
        // A signal looks like a broken source from within.
        Err(error) => failed(pod, &stopped(stop).unwrap_or(error)),
    }
}

/// The wish of a signal to end.
fn stopped(stop: &Stop) -> Option<Error> {
    stop.check().err().filter(|wish| matches!(wish.kind(), Kind::Interrupted | Kind::Terminated))
}

fn work(pod: &ImporterPod, progress: &Arc<Progress>, stop: &Arc<Stop>) -> Result<Option<Termination>, Error> {
    let volume = Volume::find();
    refuse(pod, volume)?;
    // Before free space is looked at: CDI's importer counts what an earlier try left against the
    // next one, and fails for ever.
    let resume = if pod.source == PodSource::Blank { Resume::Off } else { pod.import.resume };
    place::tidy(pod.import.content_type, volume, resume);
    if pod.source == PodSource::Blank {
        return blank::create(pod, volume, progress, stop);
    }
    let labels = import(pod, volume, progress, stop)?;
    Ok(Some(Termination { labels, ..complete(pod) }))
}

fn refuse(pod: &ImporterPod, volume: Volume) -> Result<(), Refusal> {
    let archive = pod.import.content_type == ContentType::Archive;
    match &pod.source {
        PodSource::Later(name) => Err(Refusal::Later(name)),
        PodSource::Unknown(name) => Err(Refusal::Unknown(escaped(name))),
        PodSource::Blank if archive => Err(Refusal::BlankArchive),
        PodSource::Registry if archive => Err(Refusal::ImageArchive),
        _ if archive && volume == Volume::Device => Err(Refusal::ArchiveOnDevice),
        _ => Ok(()),
    }
}

/// Imports; the labels that the image asks for.
fn import(
    pod: &ImporterPod,
    volume: Volume,
    progress: &Arc<Progress>,
    stop: &Arc<Stop>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut config = configured(pod, volume)?;
    if let Some(node) = &pod.node_pull {
        config.source = node::ready(node, &config.source, stop)?.into();
    }
    let context = context(&config, progress, stop);
    let notes = Arc::clone(&context.notes);
    tracing::info!("importing {}", redact::url(&config.source));
    let origin = Origin {
        source: origin::watched(&pod.source, &config, context)?,
        endpoint: super::endpoint(&config.source, &config.network),
        notes: Arc::clone(&notes),
    };
    super::pour(&config, origin, progress, stop)?;
    place::seal(&config.target)?;
    let labels = match &pod.node_pull {
        None => labels(notes.image_env().iter().map(String::as_str)),
        Some(node) => {
            let labels = node::labels(&config, stop);
            node::done(node);
            labels
        }
    };
    Ok(labels)
}

fn context(config: &ImportConfig, progress: &Arc<Progress>, stop: &Arc<Stop>) -> Context {
    Context { notes: Arc::new(Notes::default()), ..super::context(config, progress, stop) }
}

/// The import that `pod` means, with what only its volumes tell.
fn configured(pod: &ImporterPod, volume: Volume) -> Result<ImportConfig, Error> {
    let mut config = ImportConfig {
        network: Arc::new(origin::network(pod)?),
        scratch_dir: place::scratch(),
        checksum: origin::checksum(pod)?,
        preallocation: volume.claim(pod.import.preallocation),
        ..pod.import.clone()
    };
    config.target = volume.target(config.content_type).to_owned();
    if volume == Volume::Files && config.content_type == ContentType::Kubevirt {
        let free = place::free(Path::new(place::DATA))?.saturating_add(place::left());
        let sizes = place::sizes(pod.overhead, free, pod.image_size);
        (config.max_size, config.size) = (Some(sizes.most), sizes.grown);
        tracing::info!("{} bytes are available, the disk grows to {:?}", sizes.most, sizes.grown);
    }
    Ok(config)
}

/// What a pod says that has done all.
fn complete(pod: &ImporterPod) -> Termination {
    let image = pod.import.content_type == ContentType::Kubevirt;
    let applied = image && pod.import.preallocation != Preallocation::Off;
    Termination {
        scratch_space_required: Some(false),
        preallocation_applied: Some(applied),
        message: "Import Complete".to_owned(),
        ..Termination::default()
    }
}

/// What a pod says that has not: to ask for scratch and to find a wrong checksum are no failures of
/// the process, or the kubelet would start it again.
fn failed(pod: &ImporterPod, error: &Error) -> Ended {
    let message = redact::urls(&words::told(pod, error));
    // The words that people and tests look for, and what they leave out.
    tracing::error!("{}", escaped(&message));
    tracing::info!("because of: {}", escaped(&redact::urls(&error.to_string())));
    let said = |termination: Termination| Ended { exit_code: 0, message: Some(termination.to_json()) };
    if error.kind() == Kind::ScratchRequired {
        if let Some(node) = &pod.node_pull {
            node::done(node);
        }
        let (required, applied) = (Some(true), Some(false));
        let nothing =
            Termination { scratch_space_required: required, preallocation_applied: applied, ..complete(pod) };
        return said(nothing);
    }
    if error.find::<Mismatch>().is_some() {
        return said(Termination { message, ..Termination::default() });
    }
    let exit_code = match error.kind() {
        kind @ (Kind::Interrupted | Kind::Terminated) => kind.verdict().exit_code,
        _ => 1,
    };
    Ended { exit_code, message: Some(plain(&message)) }
}
