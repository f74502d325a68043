//! What somebody who acts on a failure needs to know of it: facts, found by the types of its causes.

use std::io;
use std::path::Path;

use super::http::HttpError;
use super::registry;
use super::setting::SettingError;
use crate::error::Error;

/// What is wrong with a container image, as far as somebody tells it in words of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageFault {
    /// The index has no image for the architecture, and its variant or nothing.
    NoArchitecture(String, String),
    /// A single image is for another architecture than was asked for.
    OtherArchitecture {
        /// What it is for.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// It is booted by its own tools.
    Bootc,
    /// It holds no disk, or more than one.
    NoDisk(DiskFault),
}

/// Why an image has no disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// There is no directory for it.
    NoDirectory,
    /// The directory is empty.
    Empty,
    /// There is more than one file.
    Several,
    /// There is a directory.
    Directory,
    /// There is something else that is no regular file.
    NoFile,
}

/// What is wrong with the container image that `error` speaks of.
pub(crate) fn image_fault(error: &Error) -> Option<ImageFault> {
    registry::fault(error)
}

/// The status that a server answered with, where `error` came of that, and its usual words.
pub(crate) fn status(error: &Error) -> Option<(u16, &'static str)> {
    let status = error.find::<HttpError>()?.status()?;
    let words = reqwest::StatusCode::from_u16(status).ok()?.canonical_reason();
    Some((status, words.unwrap_or_default()))
}

/// The file or directory that could not be read, which the user named beside the source, and why.
pub(crate) fn unreadable(error: &Error) -> Option<(&Path, &io::Error)> {
    let setting = match error.find::<HttpError>() {
        Some(HttpError::Setting(setting)) => setting,
        _ => error.find::<SettingError>()?,
    };
    match setting {
        SettingError::Unreadable { path, cause, .. } => Some((path, cause)),
        _ => None,
    }
}
