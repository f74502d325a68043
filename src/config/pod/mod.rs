//! Pods: no subcommand, and an environment that says what to do.
//!
//! Refuses to know: what a worker does, and whether the files that variables name are there.

mod clone;
mod flags;
mod importer;
mod pouring;
mod small;
mod upload;
mod values;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::environment::text;
use super::{LogLevel, ServeConfig};
use flags::Flags;

pub use clone::{ClonePod, ClonePodError, VolumeMode};
pub use flags::FlagError;
pub use importer::{ImporterPod, NodePull, PodError, PodSource};
pub use small::{ImageServer, SizeDetection, SmallError};
pub use upload::UploadPodError;

/// What the start script of CDI's clone source passes on; all of it stands in the environment too.
const CLONE_FLAGS: [&str; 3] = ["content-type", "upload-bytes", "mount"];

/// A verbosity from which on everything is logged.
const CHATTY: u32 = 4;

/// What a container does in a pod of CDI.
#[derive(Clone, Debug)]
pub enum Worker {
    /// Imports an image, as the environment says, if it makes sense.
    Importer(Result<Box<ImporterPod>, PodError>),
    /// Receives an image or a clone, as the environment says, if it makes sense.
    UploadServer(Result<Box<ServeConfig>, UploadPodError>),
    /// Sends its volume to an upload server, as the environment says, if it makes sense.
    CloneSource(Result<Box<ClonePod>, ClonePodError>),
    /// Tells the size of a disk.
    SizeDetection(Result<SizeDetection, SmallError>),
    /// Serves the disk that a container image holds to an importer beside it.
    ImageServer(Result<ImageServer, SmallError>),
}

/// A worker, and how much it logs.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) worker: Worker,
    pub(super) log_level: LogLevel,
}

/// Why a pod does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The command line.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// `diskpour worker` in an environment of nobody.
    #[error("the environment says nothing of what to do; a pod has IMPORTER_SOURCE, for example")]
    NoRole,
}

/// The parts that one binary plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Importer,
    UploadServer,
    CloneSource,
}

/// What `argv`, the program's name first, and the environment call for; none for a person's command.
///
/// # Errors
/// [`CallError`] for a flag that Go's package would refuse, and for `worker` without a role.
pub(super) fn called(argv: &[OsString]) -> Option<Result<Call, CallError>> {
    let (name, words) = argv.split_first()?;
    if let Some(call) = small(name, words) {
        return Some(Ok(call));
    }
    let forced = words.first().is_some_and(|word| word == "worker");
    let words = if forced { words.get(1..).unwrap_or_default() } else { words };
    let named = by_name(name);
    let own: &[&str] = if named == Some(Role::CloneSource) { &CLONE_FLAGS } else { &[] };
    let flags = flags::parse(words, own);
    let role = match (named, forced) {
        (Some(role), _) => role,
        (None, true) => match by_variables() {
            Some(role) => role,
            None => return Some(Err(CallError::NoRole)),
        },
        // Somebody who types a command means the command, whatever the environment says.
        (None, false) => by_variables().filter(|_| flags.is_ok())?,
    };
    Some(match flags {
        Ok(flags) => Ok(Call { worker: worker(role), log_level: log_level(&flags) }),
        Err(error) => Err(error.into()),
    })
}

/// One of the two small programs, by the program's name or the first of its `words`.
fn small(name: &OsStr, words: &[OsString]) -> Option<Call> {
    let name = Path::new(name).file_name()?.to_str()?;
    let first = words.first().and_then(|word| word.to_str()).unwrap_or_default();
    let rest = words.get(1..).unwrap_or_default();
    let worker = match (name, first) {
        ("cdi-image-size-detection", _) => Worker::SizeDetection(SizeDetection::read(words)),
        (_, "image-size-detection") => Worker::SizeDetection(SizeDetection::read(rest)),
        // The controller has the binary copied to /shared/server, and runs that.
        ("cdi-containerimage-server" | "server", _) => Worker::ImageServer(ImageServer::read(words)),
        (_, "containerimage-server") => Worker::ImageServer(ImageServer::read(rest)),
        _ => return None,
    };
    Some(Call { worker, log_level: LogLevel::Info })
}

/// The role of a binary that is called `name`, as CDI's images call theirs.
fn by_name(name: &OsStr) -> Option<Role> {
    match Path::new(name).file_name()?.to_str()? {
        "cdi-importer" => Some(Role::Importer),
        "cdi-uploadserver" => Some(Role::UploadServer),
        "cdi-cloner" | "cloner_startup.sh" => Some(Role::CloneSource),
        _ => None,
    }
}

/// The role that the variables of the environment are for.
fn by_variables() -> Option<Role> {
    match () {
        () if text("IMPORTER_SOURCE").is_some() => Some(Role::Importer),
        () if upload::is_meant() => Some(Role::UploadServer),
        () if clone::is_meant() => Some(Role::CloneSource),
        () => None,
    }
}

fn worker(role: Role) -> Worker {
    match role {
        Role::Importer => Worker::Importer(ImporterPod::read().map(Box::new)),
        Role::UploadServer => Worker::UploadServer(upload::read().map(Box::new)),
        Role::CloneSource => Worker::CloneSource(clone::read().map(Box::new)),
    }
}

fn log_level(flags: &Flags) -> LogLevel {
    if flags.verbosity() >= CHATTY { LogLevel::Debug } else { LogLevel::Info }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small_of(line: &str) -> Option<Worker> {
        let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        called(&argv).and_then(Result::ok).map(|call| call.worker)
    }

    #[test]
    fn the_small_programs_are_known_by_their_name_or_their_first_word() {
        for line in [
            "/usr/bin/cdi-image-size-detection -image-path /data/disk.img",
            "diskpour image-size-detection -image-path /data/disk.img",
        ] {
            let Some(Worker::SizeDetection(Ok(size))) = small_of(line) else { panic!("{line}") };
            assert_eq!(size.path, Path::new("/data/disk.img"));
        }
        for line in [
            "/usr/bin/cdi-containerimage-server -image-dir /i",
            "/shared/server -p 8100 -image-dir /i -ready-file /shared/ready -done-file /shared/done",
            "diskpour containerimage-server -image-dir /i",
        ] {
            let Some(Worker::ImageServer(Ok(server))) = small_of(line) else { panic!("{line}") };
            assert_eq!(server.dir, Path::new("/i"));
        }
        assert!(matches!(small_of("cdi-image-size-detection x"), Some(Worker::SizeDetection(Err(_)))));
        assert!(matches!(small_of("server -x"), Some(Worker::ImageServer(Err(_)))));
        assert!(small_of("diskpour server").is_none());
    }
}
