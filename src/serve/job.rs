//! What becomes of an upload's bytes: which way they take, and with what settings.
//!
//! Refuses to know: HTTP, and whether the bytes will come.

use std::path::Path;
use std::sync::Arc;

use super::bridge::Arrival;
use super::route::{Answer, Payload};
use crate::archive::Policy;
use crate::config::{ContentType, ImportConfig, PodTerms, ServeConfig};
use crate::error::{Error, Kind};
use crate::import::clone::{self, Shape};
use crate::import::volume::{self, Wanted};
use crate::import::{self, Origin};
use crate::matrix::Endpoint;
use crate::progress::{Progress, Stop};
use crate::report::Outcome;

/// The ways that an upload's bytes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// A disk image, poured.
    Image,
    /// An archive, unpacked.
    Archive,
    /// A clone, as its source has it.
    Clone(Shape),
}

/// An upload that succeeded.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What was done.
    pub outcome: Outcome,
    /// Whether another pod sent its volume, and no client an image.
    pub cloned: bool,
    /// Whether the target's space is claimed as the settings want it.
    pub preallocated: bool,
}

impl Job {
    /// What `payload` means for the target of `config`.
    pub(super) fn of(payload: Payload, answer: Answer, config: &ServeConfig) -> Result<Self, Error> {
        let refused = |words: &'static str| Err(Error::new(Kind::Other, words));
        let device = volume::is_device(&config.import.target);
        match (payload, answer) {
            // Both answers come when the target is durable. The asynchronous one might come earlier, when
            // the image is here and valid; as it is poured while it arrives, that is the same moment
            // but for the last flush, and a failure of that flush can still be told to the client.
            (Payload::Image, _) => Ok(Self::Image),
            (Payload::Archive, _) if device => {
                refused("an archive of files needs a file system, not a device")
            }
            (Payload::Archive, _) => Ok(Self::Archive),
            (Payload::BlockClone | Payload::FilesystemClone, Answer::Received) => {
                refused("async clone not supported")
            }
            (Payload::BlockClone, Answer::Finished) => Ok(Self::Clone(Shape::Disk)),
            (Payload::FilesystemClone, Answer::Finished) => {
                let files = if config.pod.is_some() { !device } else { config.import.target.is_dir() };
                // Who speaks is known by the certificate's name: headers are whatever a client sends.
                let policy = config.pod.as_ref().map_or(Policy::Foreign, |pod| pod.clones);
                Ok(Self::Clone(if files { Shape::Files(policy) } else { Shape::DiskInFiles }))
            }
        }
    }

    /// Brings what `arrival` is to the target of `config`; blocks until it is durable there.
    pub(super) fn run(
        self,
        config: &ServeConfig,
        arrival: Arrival,
        progress: &Arc<Progress>,
        stop: &Arc<Stop>,
    ) -> Result<Delivery, Error> {
        let import = self.settings(config)?;
        let arrival = Box::new(arrival);
        let outcome = match self {
            Self::Clone(shape) => clone::take(&import, arrival, shape, (progress, stop))?,
            Self::Image | Self::Archive => {
                let origin = Origin { source: arrival, endpoint: Endpoint::Upload, notes: Arc::default() };
                import::pour(&import, origin, progress, stop)?
            }
        };
        if self == Self::Image && config.pod.is_some() {
            volume::settle(&import.target)?;
        }
        Ok(Delivery {
            outcome,
            cloned: matches!(self, Self::Clone(_)),
            preallocated: self.preallocated(&import),
        })
    }

    /// Whether CDI counts the target's space as claimed: for the disk of an image where it was asked
    /// for, for a clone of files always, for the others never.
    fn preallocated(self, import: &ImportConfig) -> bool {
        use crate::format::preallocation::Preallocation;
        match self {
            Self::Image => import.preallocation != Preallocation::Off,
            Self::Clone(Shape::Files(_) | Shape::DiskInFiles) => true,
            Self::Archive | Self::Clone(Shape::Disk) => false,
        }
    }

    /// The settings of the import that this is.
    fn settings(self, config: &ServeConfig) -> Result<ImportConfig, Error> {
        let base = ImportConfig { content_type: self.content_type(), ..config.import.clone() };
        let Some(pod) = &config.pod else { return Ok(base) };
        let fitted = volume::fitted(&base, wanted(pod))?;
        Ok(match self {
            Self::Image => fitted,
            // Who asked for the clone grows it later; what does not fit, the volume says.
            Self::Clone(Shape::Disk | Shape::DiskInFiles) => unsized_at(fitted, &base.target),
            Self::Archive | Self::Clone(Shape::Files(_)) => unsized_at(fitted, &pod.directory),
        })
    }

    fn content_type(self) -> ContentType {
        match self {
            Self::Archive | Self::Clone(Shape::Files(_)) => ContentType::Archive,
            Self::Image | Self::Clone(Shape::Disk | Shape::DiskInFiles) => ContentType::Kubevirt,
        }
    }
}

/// Makes the volume of a pod ready, as every upload will again.
pub(super) fn ready(config: &ServeConfig) -> Result<(), Error> {
    config.pod.as_ref().map_or(Ok(()), |pod| volume::fitted(&config.import, wanted(pod)).map(|_| ()))
}

fn wanted(pod: &PodTerms) -> Wanted {
    Wanted { size: pod.image_size, overhead: pod.overhead }
}

fn unsized_at(config: ImportConfig, target: &Path) -> ImportConfig {
    ImportConfig { target: target.to_owned(), size: None, max_size: None, ..config }
}
