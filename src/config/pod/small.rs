//! The flags of two small programs that CDI keeps beside its importer: one tells the size of a disk,
//! one serves the disk that a container image holds.
//!
//! Refuses to know: files and sockets. Flags that make no sense are for the program to report, which
//! has an exit code for them.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::flags::{self, FlagError, Flags};
use crate::config::environment;

/// The flags of the size detection.
pub(super) const SIZE_FLAGS: [&str; 2] = ["image-path", "scheme"];

/// The flags of the server.
pub(super) const SERVER_FLAGS: [&str; 4] = ["p", "image-dir", "ready-file", "done-file"];

/// The port that CDI's importer asks.
const PORT: u16 = 8100;

/// Which disk's size is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeDetection {
    /// The disk: a file or a block device.
    pub path: PathBuf,
}

/// What the server serves, and how it and the importer talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageServer {
    /// Where it listens, on loopback; port 0 is any free one.
    pub listen: SocketAddr,
    /// The directory that holds the one image.
    pub dir: PathBuf,
    /// Is made when the server listens, and holds the name of the image.
    pub ready: PathBuf,
    /// Is made by the importer when the server shall end.
    pub done: PathBuf,
    /// The environment of the container, a `NAME=value` each.
    pub environment: Vec<String>,
}

/// Why the flags of a small program make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmallError {
    /// One is unknown or lacks its value.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// Nothing says whose size is wanted.
    #[error("-image-path is missing: the file or block device whose size is wanted")]
    NoPath,
    /// What is wanted is no file.
    #[error("-scheme {0:?} is not supported: only file:// is")]
    Scheme(String),
    /// A port that is no number of 16 bits.
    #[error("-p {0:?} is no port")]
    Port(String),
}

impl SizeDetection {
    /// What the words of a command line say.
    pub(super) fn read(words: &[OsString]) -> Result<Self, SmallError> {
        let flags = flags::parse(words, &SIZE_FLAGS)?;
        let scheme = flags.value("scheme").unwrap_or_default();
        if !matches!(scheme, "" | "file://") {
            return Err(SmallError::Scheme(scheme.to_owned()));
        }
        let path = flags.value("image-path").filter(|path| !path.is_empty()).ok_or(SmallError::NoPath)?;
        Ok(Self { path: path.into() })
    }
}

impl ImageServer {
    /// What the words of a command line say, and the environment.
    pub(super) fn read(words: &[OsString]) -> Result<Self, SmallError> {
        let flags = flags::parse(words, &SERVER_FLAGS)?;
        Ok(Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port(&flags)?)),
            dir: path(&flags, "image-dir", "/disk"),
            ready: path(&flags, "ready-file", "/shared/ready"),
            done: path(&flags, "done-file", "/shared/done"),
            environment: environment::all(),
        })
    }
}

fn port(flags: &Flags) -> Result<u16, SmallError> {
    let Some(text) = flags.value("p") else { return Ok(PORT) };
    text.parse().map_err(|_| SmallError::Port(text.to_owned()))
}

fn path(flags: &Flags, name: &str, default: &str) -> PathBuf {
    flags.value(name).filter(|value| !value.is_empty()).unwrap_or(default).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_size_is_that_of_one_file() {
        let read = |line: &str| SizeDetection::read(&words(line)).map(|size| size.path);
        assert_eq!(read("-image-path /data/disk.img"), Ok("/data/disk.img".into()));
        assert_eq!(read("--image-path=/x -v=3 -scheme file://"), Ok("/x".into()));
        assert_eq!(read(""), Err(SmallError::NoPath));
        assert_eq!(read("-image-path="), Err(SmallError::NoPath));
        let scheme = SmallError::Scheme("nbd://".to_owned());
        assert_eq!(read("-image-path /x -scheme nbd://"), Err(scheme));
        assert!(matches!(read("-path /x"), Err(SmallError::Flag(_))));
    }

    #[test]
    fn the_server_stays_on_loopback_with_the_paths_of_cdi() {
        let server = ImageServer::read(&[]).unwrap();
        assert_eq!(server.listen.to_string(), "127.0.0.1:8100");
        let paths = [server.dir, server.ready, server.done];
        assert_eq!(paths, ["/disk", "/shared/ready", "/shared/done"].map(PathBuf::from));
        let line = "-p 0 -image-dir /i -ready-file /r -done-file /d";
        let server = ImageServer::read(&words(line)).unwrap();
        assert_eq!(server.listen.to_string(), "127.0.0.1:0");
        assert_eq!([server.dir, server.ready, server.done], ["/i", "/r", "/d"].map(PathBuf::from));
        let port = ImageServer::read(&words("-p 65536"));
        assert_eq!(port, Err(SmallError::Port("65536".to_owned())));
        assert!(matches!(ImageServer::read(&words("-x 1")), Err(SmallError::Flag(_))));
    }
}
