//! The source of a pod: what is said to servers, and what is remembered of how it was opened.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use super::place::{HEADERS, PROXY_CERTS};
use crate::config::{ContentType, ImportConfig, ImporterPod, PodSource};
use crate::error::{Classify, Error, Kind};
use crate::format::digest::{Checksum, ChecksumError};
use crate::format::redact;
use crate::io::Input;
use crate::report::escaped;
use crate::source::{self, Context, NetworkOptions, Secret, Source};

/// What CDI's importer calls itself; people look for it in the logs of proxies.
const AGENT: &str = "cdi-golang-importer";

/// What CDI's importer is called towards registries, by its library.
const REGISTRY_AGENT: &str = "Go-http-client/1.1";

/// The deepest directory of headers: a secret in a directory of its own is at the second level.
const DEPTH: u32 = 4;

/// The source could not be opened: the words differ from those of what comes later.
#[derive(Debug, thiserror::Error)]
#[error("the source cannot be opened")]
pub(super) struct Unopened {
    /// Why not.
    #[source]
    pub(super) cause: Error,
}

impl Classify for Unopened {
    fn kind(&self) -> Kind {
        self.cause.kind()
    }
}

fn unopened(cause: impl Into<Error>) -> Error {
    Unopened { cause: cause.into() }.into()
}

/// What keeps a pod from asking for its source.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error(r#"endpoint "IMPORTER_ENDPOINT" is missing or blank"#)]
    NoEndpoint,
    #[error("invalid checksum: {0}")]
    Checksum(ChecksumError),
    #[error("unsupported protocol scheme {0:?}, a web server's are http and https")]
    NoWeb(String),
    #[error(r#"Invalid image name "{0}", expected colon-separated transport:reference"#)]
    NoTransport(String),
    #[error(r#"Invalid image name "{0}", unknown transport"#)]
    Transport(String),
}

impl Classify for SourceError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// The source that `config` names, which remembers that it could not be opened.
pub(super) fn watched(
    kind: &PodSource,
    config: &ImportConfig,
    context: Context,
) -> Result<Box<dyn Source>, Error> {
    belongs(kind, &config.source).map_err(unopened)?;
    let inner = source::from_argument(&config.source, context.clone()).map_err(unopened)?;
    Ok(Box::new(Watched { inner, context, content: config.content_type }))
}

/// That `endpoint` is one of a source of this kind: who names it may not read the pod's own files.
fn belongs(kind: &PodSource, endpoint: &str) -> Result<(), SourceError> {
    if endpoint.trim().is_empty() {
        return Err(SourceError::NoEndpoint);
    }
    let shown = || escaped(&redact::url(endpoint));
    if *kind == PodSource::Registry {
        return match endpoint.split_once(':') {
            None => Err(SourceError::NoTransport(shown())),
            Some(("docker", rest)) if rest.starts_with("//") => Ok(()),
            Some(("oci-archive", _)) => Ok(()),
            Some(_) => Err(SourceError::Transport(shown())),
        };
    }
    let scheme = endpoint.split_once("://").map_or("", |(scheme, _)| scheme);
    let web = ["http", "https"].into_iter().any(|web| web.eq_ignore_ascii_case(scheme));
    if web { Ok(()) } else { Err(SourceError::NoWeb(escaped(scheme))) }
}

struct Watched {
    inner: Box<dyn Source>,
    context: Context,
    content: ContentType,
}

impl Source for Watched {
    fn open(self: Box<Self>) -> Result<Input, Error> {
        let input = self.inner.open().map_err(unopened)?;
        let image = self.content == ContentType::Kubevirt;
        let text = |kind: &&str| image && kind.starts_with("text/");
        if let Some(kind) = self.context.notes.media_type().filter(text) {
            tracing::warn!(
                "Unexpected content type '{}'. Content might not be a KubeVirt image.",
                escaped(kind)
            );
        }
        Ok(input)
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}

/// The checksum that `pod` asks for. A node's image is held to its digests by the node.
pub(super) fn checksum(pod: &ImporterPod) -> Result<Option<Checksum>, Error> {
    let given = pod.checksum.as_deref().filter(|_| pod.source == PodSource::Http && pod.node_pull.is_none());
    let parsed = given.map(Checksum::from_str).transpose();
    parsed.map_err(|error| unopened(SourceError::Checksum(error)))
}

/// What is said of the network, with what is mounted into the pod.
pub(super) fn network(pod: &ImporterPod) -> Result<NetworkOptions, Error> {
    let mut network = (*pod.import.network).clone();
    let agent = if pod.source == PodSource::Registry { REGISTRY_AGENT } else { AGENT };
    network.user_agent = Some(agent.to_owned());
    let certificates = Path::new(PROXY_CERTS);
    if certificates.is_dir() {
        network.proxy_ca_certs.push(certificates.to_owned());
    }
    if pod.source == PodSource::Http {
        secret_headers(Path::new(HEADERS), DEPTH, &mut network.headers).map_err(|cause| {
            // The path of a secret is none.
            let why = format!("the headers in {HEADERS} cannot be read: {cause}");
            unopened(Error::new(Kind::Usage, why))
        })?;
    }
    Ok(network)
}

/// Adds the header that each file below `dir` is; names with a dot in front are the machinery of the
/// volume, and what has no colon is no header.
fn secret_headers(dir: &Path, depth: u32, headers: &mut Vec<Secret>) -> std::io::Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    let mut entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let (path, found) = (entry.path(), fs::metadata(entry.path())?);
        if found.is_dir() && depth > 0 {
            secret_headers(&path, depth - 1, headers)?;
        } else if found.is_file() {
            let text = Secret::new(fs::read_to_string(&path)?);
            let text = text.reveal();
            headers.extend(text.contains(':').then(|| Secret::new(text.trim().to_owned())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_belongs_to_its_kind_of_source_and_is_never_a_local_path() {
        let said = |kind, endpoint| belongs(&kind, endpoint).err().map(|error| error.to_string());
        for endpoint in ["http://host/a", "HTTPS://host/a"] {
            assert_eq!(said(PodSource::Http, endpoint), None);
        }
        for endpoint in ["docker://host/a:b", "oci-archive:/image.tar:a"] {
            assert_eq!(said(PodSource::Registry, endpoint), None);
        }
        for endpoint in ["/etc/passwd", "-", "file:///etc/passwd", "oci:/a", "docker://host/a", "http:/a"] {
            let why = said(PodSource::Http, endpoint).unwrap();
            assert!(why.starts_with("unsupported protocol scheme "), "{why}");
        }
        for (endpoint, why) in [
            ("/etc/passwd", "expected colon-separated transport:reference"),
            ("-", "expected colon-separated transport:reference"),
            ("file:///etc/passwd", "unknown transport"),
            ("http://host/a", "unknown transport"),
            ("docker:a", "unknown transport"),
            ("docker-archive:/a", "unknown transport"),
        ] {
            let expected = format!("Invalid image name {endpoint:?}, {why}");
            assert_eq!(said(PodSource::Registry, endpoint), Some(expected));
        }
    }

    #[test]
    fn headers_are_the_files_of_a_secret_as_it_is_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("0/..2026_01");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("key"), "X-Secret: a:b\n").unwrap();
        fs::write(data.join("none"), "no header\n").unwrap();
        std::os::unix::fs::symlink("..2026_01", dir.path().join("0/..data")).unwrap();
        for name in ["key", "none"] {
            std::os::unix::fs::symlink(format!("..data/{name}"), dir.path().join("0").join(name)).unwrap();
        }
        fs::write(dir.path().join(".hidden"), "X-Hidden: 1").unwrap();
        fs::write(dir.path().join("1"), "X-Other: 2").unwrap();
        let mut headers = Vec::new();
        secret_headers(dir.path(), DEPTH, &mut headers).unwrap();
        let read: Vec<&str> = headers.iter().map(Secret::reveal).collect();
        assert_eq!(read, ["X-Secret: a:b", "X-Other: 2"]);
        secret_headers(&dir.path().join("absent"), DEPTH, &mut headers).unwrap();
    }
}
