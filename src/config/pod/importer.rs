//! What the environment of an importer pod says.
//!
//! Refuses to know: files and devices. The paths are CDI's, and whether something lies there is
//! for the worker to see.

use std::path::PathBuf;
use std::sync::Arc;

use super::pouring::pouring;
use super::values::go_bool;
use crate::config::choices::{ContentType, Resume};
use crate::config::environment::{is_empty, text};
use crate::config::{ImportConfig, network};
use crate::format::overhead::Overhead;
use crate::format::preallocation::Preallocation;
use crate::format::quantity;
use crate::source::{NetworkOptions, RegistryOptions, Secret, Verification};

/// What an importer pod is to do.
#[derive(Clone, Debug)]
pub struct ImporterPod {
    /// Where the image comes from.
    pub source: PodSource,
    /// The import, but for the target and its sizes, which the worker sees when it runs.
    pub import: ImportConfig,
    /// The checksum as given; whether it is one is found out where the source is opened.
    pub checksum: Option<String>,
    /// The requested size of the disk in bytes.
    pub image_size: Option<u64>,
    /// What the file system of the target takes for itself.
    pub overhead: Overhead,
    /// The label of the progress metric.
    pub owner_uid: String,
    /// How the container beside us that holds the image says that it is ready, and hears that we are done.
    pub node_pull: Option<NodePull>,
}

/// Where the image of a pod comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodSource {
    /// A web server.
    Http,
    /// A container registry.
    Registry,
    /// Nowhere: the disk is blank.
    Blank,
    /// One that CDI knows, and we do not yet.
    Later(&'static str),
    /// One that nobody knows.
    Unknown(String),
}

/// The files by which two containers of a pod talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePull {
    /// Holds the name of the image when the server is ready.
    pub ready: PathBuf,
    /// Is made when the import is done.
    pub done: Option<PathBuf>,
}

/// A variable without which a pod does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodError {
    /// It is no Go bool.
    #[error("PREALLOCATION is neither true nor false")]
    Preallocation,
    /// It is no quantity.
    #[error("IMPORTER_IMAGE_SIZE: {0}")]
    Size(#[from] quantity::QuantityError),
}

impl ImporterPod {
    /// What the environment says.
    ///
    /// # Errors
    /// [`PodError`] for a variable without which CDI's importer would not start either.
    pub(super) fn read() -> Result<Self, PodError> {
        let preallocation = text("PREALLOCATION").and_then(|text| go_bool(&text));
        let preallocation = match preallocation.ok_or(PodError::Preallocation)? {
            true => Preallocation::Falloc,
            false => Preallocation::Off,
        };
        let image_size = text("IMPORTER_IMAGE_SIZE").map(|text| quantity::parse(&text)).transpose()?;
        let ready = text("IMPORTER_READY_FILE").map(PathBuf::from);
        Ok(Self {
            source: source(),
            import: import(preallocation),
            checksum: text("IMPORTER_CHECKSUM"),
            image_size,
            overhead: Overhead::parse(&text("FILESYSTEM_OVERHEAD").unwrap_or_default()),
            owner_uid: text("OWNER_UID").unwrap_or_default(),
            node_pull: ready
                .filter(|_| pulls_by_node())
                .map(|ready| NodePull { ready, done: text("IMPORTER_DONE_FILE").map(PathBuf::from) }),
        })
    }
}

fn pulls_by_node() -> bool {
    text("IMPORTER_PULL_METHOD").is_some_and(|method| method == "node")
}

fn source() -> PodSource {
    match text("IMPORTER_SOURCE").unwrap_or_default().as_str() {
        "http" => PodSource::Http,
        "registry" => PodSource::Registry,
        "none" => PodSource::Blank,
        "s3" => PodSource::Later("s3"),
        "gcs" => PodSource::Later("gcs"),
        "imageio" => PodSource::Later("imageio"),
        "vddk" => PodSource::Later("vddk"),
        other => PodSource::Unknown(other.to_owned()),
    }
}

fn import(preallocation: Preallocation) -> ImportConfig {
    let archive = text("IMPORTER_CONTENTTYPE").is_some_and(|content| content == "archive");
    ImportConfig {
        source: text("IMPORTER_ENDPOINT").unwrap_or_default().into(),
        content_type: if archive { ContentType::Archive } else { ContentType::Kubevirt },
        connections: 4,
        network: Arc::new(network_options()),
        preallocation,
        // The kubelet starts a pod that was killed again, and its volumes are still there.
        resume: if text("DISKPOUR_RESUME").is_some_and(|wish| wish == "no") {
            Resume::Off
        } else {
            Resume::On
        },
        ..pouring()
    }
}

/// Certificates, headers and secrets, where the controller puts them.
fn network_options() -> NetworkOptions {
    let user = text("IMPORTER_ACCESS_KEY_ID");
    let password = text("IMPORTER_SECRET_KEY");
    // One without the other is none, as for CDI.
    let (username, password) = user.zip(password).unzip();
    let insecure = text("INSECURE_TLS").and_then(|text| go_bool(&text)).unwrap_or(false);
    NetworkOptions {
        username,
        password: password.map(Secret::new),
        headers: headers(),
        ca_certs: text("IMPORTER_CERT_DIR").map(PathBuf::from).into_iter().collect(),
        verification: if insecure { Verification::Insecure } else { Verification::Full },
        proxies: network::proxies(),
        registry: RegistryOptions {
            arch: text("IMPORTER_REGISTRY_IMAGE_ARCHITECTURE"),
            ..RegistryOptions::default()
        },
        ..NetworkOptions::default()
    }
}

/// The headers of `IMPORTER_EXTRA_HEADER_0` and those after it, up to the first that is not there at
/// all; what has no colon is none.
fn headers() -> Vec<Secret> {
    let name = |number| format!("IMPORTER_EXTRA_HEADER_{number}");
    (0_u32..)
        .map(name)
        .map_while(|name| text(&name).or_else(|| is_empty(&name).then(String::new)))
        .filter(|header| header.contains(':'))
        .map(Secret::new)
        .collect()
}
