//! Where images come from: each source consumes itself and hands over its best form.
//!
//! Refuses to know: formats, codecs, targets. It alone has an asynchronous runtime, and keeps it
//! to itself: what it hands over is read by blocking calls.

mod facts;
mod file;
mod http;
mod notes;
mod options;
mod pem;
mod registry;
mod secret;
mod setting;
mod stdin;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Classify, Error, Kind};
use crate::io::Input;
use crate::progress::{Progress, Stop};

pub(crate) use facts::{DiskFault, ImageFault, image_fault, status, unreadable};
#[cfg(feature = "fuzzing")]
pub(crate) use http::fuzzing as fuzzing_http;
pub(crate) use http::plain_client;
pub use notes::{Notes, Version};
pub use options::{Forwarding, NetworkOptions, ProxyOptions, RegistryOptions, Verification};
pub(crate) use pem::PemError;
#[cfg(feature = "fuzzing")]
pub(crate) use registry::fuzzing as fuzzing_registry;
pub use secret::{Locator, Secret};

/// What a source reports to, and what it obeys.
#[derive(Clone)]
pub struct Context {
    /// The counters of the import.
    pub progress: Arc<Progress>,
    /// The wish to end the run; a waiting read looks at it ten times a second.
    pub stop: Arc<Stop>,
    /// The longest time without a byte.
    pub idle_timeout: Duration,
    /// Ranges that may be under way at the same time.
    pub connections: usize,
    /// What the user says of the network.
    pub network: Arc<NetworkOptions>,
    /// What the source learns beside the bytes.
    pub notes: Arc<Notes>,
}

/// A place that holds an image.
pub trait Source {
    /// Opens the place and hands over its best form.
    ///
    /// # Errors
    /// Whatever keeps the place from being read, of the kind that says whether a retry helps.
    fn open(self: Box<Self>) -> Result<Input, Error>;

    /// The name that messages may show: without credentials and without a query.
    fn name(&self) -> String;
}

/// The source that `text` names: a URL, a path, or `-` for standard input.
///
/// # Errors
/// [`Kind::Usage`] for an unknown scheme or a URL that cannot be read.
pub fn from_argument(text: &str, context: Context) -> Result<Box<dyn Source>, Error> {
    if text == "-" {
        return Ok(Box::new(stdin::Stdin::new(context)));
    }
    if registry::is_image(text) {
        return Ok(Box::new(registry::Registry::parse(text, context)?));
    }
    match scheme(text).as_deref() {
        None => Ok(Box::new(file::File::new(text.into(), context))),
        Some("http" | "https") => Ok(Box::new(http::Http::parse(text, context)?)),
        Some("file") => Ok(Box::new(file::File::from_url(text, context)?)),
        Some(other) => Err(ArgumentError::Scheme(other.to_owned()).into()),
    }
}

/// Where a source lies, as far as its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It was opened before, or there is none.
    Given,
    /// A file, a directory or a device of this machine.
    Local(PathBuf),
    /// Elsewhere.
    Remote,
}

/// Where the source lies that `text` names; what names none is nowhere.
#[must_use]
pub fn whereabouts(text: &str) -> Whereabouts {
    if text.is_empty() || text == "-" {
        return Whereabouts::Given;
    }
    if registry::is_image(text) {
        return registry::path(text).map_or(Whereabouts::Remote, Whereabouts::Local);
    }
    match scheme(text).as_deref() {
        None => Whereabouts::Local(text.into()),
        Some("http" | "https") => Whereabouts::Remote,
        Some("file") => file::path(text).ok().map_or(Whereabouts::Given, Whereabouts::Local),
        Some(_) => Whereabouts::Given,
    }
}

/// The scheme in front of `://`, in lower case; anything else is a path.
fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let legal = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    legal.then(|| scheme.to_ascii_lowercase())
}

/// Why an argument names no source.
#[derive(Debug, thiserror::Error)]
enum ArgumentError {
    #[error(
        "{0}:// is not supported; a source is http://, https://, docker://, oci:, oci-archive:, docker-archive:, \
         file://, a path, or - for standard input"
    )]
    Scheme(String),
    #[error("the URL cannot be read: {0}")]
    Url(#[from] url::ParseError),
    #[error("a file:// URL names an absolute path on this machine, as in file:///images/disk.qcow2")]
    FileUrl,
}

impl Classify for ArgumentError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// `time` as a person would say it: `3 s`, `0.3 s`.
fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        return format!("{} s", time.as_secs());
    }
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn context() -> Context {
        Context {
            progress: Arc::default(),
            stop: Arc::default(),
            idle_timeout: Duration::from_secs(5),
            connections: 2,
            network: Arc::default(),
            notes: Arc::default(),
        }
    }

    #[test]
    fn an_argument_is_a_url_a_path_or_standard_input() {
        let name = |text: &str| from_argument(text, context()).map(|source| source.name());
        assert_eq!(name("-").unwrap(), "standard input");
        assert_eq!(name("disk.img").unwrap(), "disk.img");
        assert_eq!(name("a:b").unwrap(), "a:b");
        assert_eq!(name("1x://b").unwrap(), "1x://b");
        assert_eq!(name("oci:/a/b:c:d").unwrap(), "oci:/a/b:c:d");
        assert_eq!(name("OCI-Archive:b.tar").unwrap(), "oci-archive:b.tar");
        assert_eq!(
            name("docker-archive:b.tar:c").unwrap(),
            "docker-archive:b.tar:docker.io/library/c:latest"
        );
        assert_eq!(name("file:///a%20b/c.img").unwrap(), "/a b/c.img");
        assert_eq!(name("HTTPS://u:p@Host:444/a/b.img?token=x#f").unwrap(), "https://host:444/a/b.img");
    }

    #[test]
    fn what_is_no_source_is_refused_by_name() {
        for (text, word) in [
            ("docker://A/b", "repository"),
            ("s3://a/b", "s3://"),
            ("oci:", "PATH:NAME"),
            ("docker-archive:x:Y", "repository"),
            ("nbd+unix://a", "nbd+unix://"),
            ("file://other/a", "file:///"),
            ("http://", "empty host"),
            ("http://[::bad/", "IPv6"),
        ] {
            let error = from_argument(text, context()).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_name_says_where_a_source_lies() {
        let local = |path: &str| Whereabouts::Local(path.into());
        for (text, place) in [
            ("-", Whereabouts::Given),
            ("", Whereabouts::Given),
            ("s3://a/b", Whereabouts::Given),
            ("file://other/a", Whereabouts::Given),
            ("disk.img", local("disk.img")),
            ("file:///a%20b/c.img", local("/a b/c.img")),
            ("oci:/a/b:c:d", local("/a/b")),
            ("OCI-Archive:b.tar", local("b.tar")),
            ("docker-archive:b.tar:c", local("b.tar")),
            ("docker://a/b", Whereabouts::Remote),
            ("HTTPS://host/a", Whereabouts::Remote),
        ] {
            assert_eq!(whereabouts(text), place, "{text}");
        }
    }

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_secs(3)), "3 s");
        assert_eq!(seconds(Duration::from_millis(300)), "0.3 s");
    }
}
