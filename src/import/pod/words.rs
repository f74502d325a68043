//! What the user of a failed pod reads, in the words that CDI's controller, its tests and its users know.
//!
//! Which words they are follows from the types of the causes, never from their texts. CDI's importer
//! calls every failed read `failed to pull image`, those of web servers too; here only those of
//! registries are called that.

use rustix::io::Errno;

use super::Refusal;
use super::node::NodeError;
use super::origin::Unopened;
use crate::config::{ContentType, ImporterPod, PodSource};
use crate::error::{Error, Kind};
use crate::format::qcow2::Qcow2Error;
use crate::format::redact;
use crate::image::RawError;
use crate::import::head::HeadError;
use crate::import::tap::Mismatch;
use crate::sink::SinkError;
use crate::source::{self, DiskFault, ImageFault};

const TO_SCRATCH: &str = "Unable to transfer source data to scratch space";
const TO_FILE: &str = "Unable to transfer source data to target file";
const TO_DIRECTORY: &str = "Unable to transfer source data to target directory";
const CONVERTED: &str = "Unable to convert source data to target format";

/// The message of a pod that failed with `error`.
pub(super) fn told(pod: &ImporterPod, error: &Error) -> String {
    if let (Kind::Interrupted | Kind::Terminated, _) | (_, Some(_)) =
        (error.kind(), error.find::<NodeError>())
    {
        return error.to_string();
    }
    match error.find::<Refusal>() {
        Some(Refusal::Later(name)) => return format!("Unable to connect to {name} data source: {error}"),
        Some(Refusal::BlankArchive | Refusal::Unknown(_)) => return error.to_string(),
        Some(Refusal::ImageArchive | Refusal::ArchiveOnDevice) => {
            return format!("Unable to process data: {error}");
        }
        None => {}
    }
    match (&pod.source, error.find::<Unopened>()) {
        (PodSource::Blank, _) => format!("Unable to create blank image: {}", reason(error)),
        (PodSource::Registry, opening) => {
            format!("Unable to process data: {}", registry(pod, error, opening))
        }
        (_, Some(Unopened { cause })) => {
            format!("Unable to connect to http data source: {}", connecting(cause))
        }
        (_, None) => format!("Unable to process data: {}", processing(pod, error)),
    }
}

/// Why a web server's answer could not be had.
fn connecting(error: &Error) -> String {
    if let Some((status, words)) = source::status(error) {
        return format!("expected status code 200, got {status}. Status: {status} {words}");
    }
    match (source::unreadable(error), error.kind()) {
        (Some((path, cause)), _) => format!("Error listing files in {}: {cause}", path.display()),
        (None, Kind::Unreachable | Kind::Refused) => format!("HTTP request errored: {error}"),
        (None, _) => error.to_string(),
    }
}

/// Why a container image could not be had, or what is wrong with it.
fn registry(pod: &ImporterPod, error: &Error, opening: Option<&Unopened>) -> String {
    if let Some(fault) = source::image_fault(error) {
        return format!("{TO_SCRATCH}: {}", image(&fault));
    }
    let error = opening.map_or(error, |opening| &opening.cause);
    match error.kind() {
        Kind::Unreachable | Kind::Refused | Kind::Integrity | Kind::Usage => {
            format!("{TO_SCRATCH}: Failed to read registry image: failed to pull image: {error}")
        }
        Kind::Image if opening.is_some() => format!("{TO_SCRATCH}: Failed to read registry image: {error}"),
        _ => processing(pod, error),
    }
}

fn image(fault: &ImageFault) -> String {
    let nothing = "Failed to find VM disk image file in the container image";
    let words = match fault {
        ImageFault::NoArchitecture(arch, variant) => format!(
            "Error retrieving image: choosing image instance: no image found in image index for architecture \
             \"{arch}\", variant \"{variant}\", OS \"linux\""
        ),
        ImageFault::OtherArchitecture { found, wanted } => format!(
            "Error validating architecture: manifest image architecture: \"{found}\" doesn't match requested \
             architecture: \"{wanted}\""
        ),
        ImageFault::Bootc => {
            "bootc image detected: it is booted by its own tools and holds no disk image".to_owned()
        }
        ImageFault::NoDisk(fault) => {
            return match fault {
                DiskFault::NoDirectory => format!("{nothing}: image directory does not exist"),
                DiskFault::Empty => {
                    format!("{nothing}: image file does not exist in image directory - directory is empty")
                }
                DiskFault::Several => "image directory contains more than one file".to_owned(),
                DiskFault::Directory => "image directory contains another directory".to_owned(),
                DiskFault::NoFile => format!("{nothing}: what lies in the image directory is no file"),
            };
        }
    };
    format!("Failed to read registry image: {words}")
}

/// Why an image that flows does not become a disk.
fn processing(pod: &ImporterPod, error: &Error) -> String {
    let way = match (pod.import.content_type, &pod.source) {
        (ContentType::Archive, _) => TO_DIRECTORY,
        (ContentType::Kubevirt, PodSource::Registry) => TO_SCRATCH,
        (ContentType::Kubevirt, _) => TO_FILE,
    };
    let name = || redact::url(&pod.import.source);
    if let Some(Mismatch { expected, received }) = error.find::<Mismatch>() {
        return format!(
            "{way}: checksum validation failed: checksum mismatch: expected {expected}, calculated {received}"
        );
    }
    match error.find::<HeadError>() {
        Some(HeadError::Empty) => return header("EOF"),
        Some(HeadError::Short { .. }) => return header("unexpected EOF"),
        Some(HeadError::Unsupported(format)) => {
            return format!("{CONVERTED}: Invalid format {format} for image {}", name());
        }
        _ => {}
    }
    if let Some(RawError(format)) = error.find() {
        return format!("{CONVERTED}: Invalid format {format} for image {}", name());
    }
    if let Some(Qcow2Error::BackingFile(file)) = error.find() {
        return format!(
            "{CONVERTED}: Image {} is invalid because it has invalid backing file {file}",
            name()
        );
    }
    match error.kind() {
        Kind::Image if way != TO_DIRECTORY => format!("{CONVERTED}: {error}"),
        _ => format!("{way}: {}", reason(error)),
    }
}

fn header(why: &str) -> String {
    format!("Unable to obtain information about data source: could not process image header: {why}")
}

/// What `error` says, with the words that the controller knows for want of space.
fn reason(error: &Error) -> String {
    if let Some(words) = error.find().and_then(SinkError::capacity_words) {
        return words;
    }
    // Scratch space has the size of the target, so that the same helps against both.
    let full = match error.os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC) => ": no space left on device",
        Some(Errno::DQUOT) => ": disk quota exceeded",
        _ => "",
    };
    format!("{error}{full}")
}
