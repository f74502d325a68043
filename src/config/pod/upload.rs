//! What the environment of an upload server's pod says.
//!
//! Refuses to know: files and devices. The paths are CDI's, and whether something lies there is
//! for the worker to see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::ValueEnum;

use super::pouring::pouring;
use super::values::go_bool;
use crate::archive::Policy;
use crate::config::ImportConfig;
use crate::config::environment::text;
use crate::config::serve::{Clients, PodTerms, Security, ServeConfig, TlsConfig, TlsVersion};
use crate::format::date;
use crate::format::overhead::Overhead;
use crate::format::preallocation::Preallocation;
use crate::format::quantity;

/// Where the disk goes in a pod with a file system.
const DISK: &str = "/data/disk.img";

/// Where the files of archives go.
const FILES: &str = "/data";

const PORT: u16 = 8443;

/// The common name of all who upload through CDI's proxy, whoever they are. The target of a clone is given
/// the name of that one clone instead, and the certificate for it to its source alone.
const UPLOADERS: &str = "client.upload-server.cdi.kubevirt.io";

/// A variable without which an upload server's pod does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadPodError {
    /// It is no instant.
    #[error("DEADLINE is no instant of RFC 3339, such as 2026-08-20T07:05:00Z")]
    Deadline,
    /// It is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// It is no address.
    #[error("LISTEN_ADDRESS is no IP address")]
    Address,
    /// It is no quantity.
    #[error("UPLOAD_IMAGE_SIZE: {0}")]
    Size(#[from] quantity::QuantityError),
}

/// Whether the environment is that of an upload server.
pub(super) fn is_meant() -> bool {
    text("TLS_KEY_FILE").or_else(|| text("CLIENT_NAME")).is_some()
}

/// What the environment says.
///
/// # Errors
/// [`UploadPodError`]; CDI's server would start without the clients' CA or name, and then nobody or, worse,
/// anybody could upload.
pub(super) fn read() -> Result<ServeConfig, UploadPodError> {
    let path = |name| text(name).map(PathBuf::from).ok_or(UploadPodError::Missing(name));
    let deadline = text("DEADLINE").map(|text| date::rfc3339(&text).ok_or(UploadPodError::Deadline));
    let deadline = deadline.transpose()?.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    let name = text("CLIENT_NAME").ok_or(UploadPodError::Missing("CLIENT_NAME"))?;
    let clones = policy(&name);
    let tls = TlsConfig {
        cert: path("TLS_CERT_FILE")?,
        key: path("TLS_KEY_FILE")?,
        clients: Clients::Signed { ca: path("CLIENT_CERT_FILE")?, name: Some(name) },
        min_version: least_version(),
        ciphers: ciphers(),
    };
    let pod = PodTerms {
        directory: PathBuf::from(FILES),
        image_size: text("UPLOAD_IMAGE_SIZE").map(|text| quantity::parse(&text)).transpose()?,
        overhead: Overhead::parse(&text("FILESYSTEM_OVERHEAD").unwrap_or_default()),
        deadline,
        clones,
    };
    Ok(ServeConfig { listen: listen()?, security: Security::Tls(tls), import: import(), pod: Some(pod) })
}

/// How clones are unpacked that come from who is called `name`.
fn policy(name: &str) -> Policy {
    if name == UPLOADERS { Policy::Foreign } else { Policy::Faithful }
}

/// Where to listen; a port that is none is passed over, as CDI has it.
fn listen() -> Result<SocketAddr, UploadPodError> {
    let port = text("LISTEN_PORT").and_then(|text| text.parse().ok()).unwrap_or(PORT);
    let address = text("LISTEN_ADDRESS").map(|text| text.parse().map_err(|_| UploadPodError::Address));
    let address = match address.transpose()? {
        // Go listens on both families where the address is none in particular, and pods may have either.
        None | Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        Some(address) => address,
    };
    Ok(SocketAddr::new(address, port))
}

/// The least version of TLS; 1.2 where the variable names none.
fn least_version() -> TlsVersion {
    let named = text("TLS_MIN_VERSION").and_then(|text| TlsVersion::from_str(&text, false).ok());
    named.unwrap_or(TlsVersion::V12)
}

fn ciphers() -> Vec<String> {
    let names = text("TLS_CIPHERS").unwrap_or_default();
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn import() -> ImportConfig {
    let preallocate = text("PREALLOCATION").and_then(|text| go_bool(&text)).unwrap_or(false);
    ImportConfig {
        source: "the upload".into(),
        target: PathBuf::from(text("DESTINATION").unwrap_or_else(|| DISK.to_owned())),
        preallocation: if preallocate { Preallocation::Falloc } else { Preallocation::Off },
        ..pouring()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_through_the_proxy_is_a_stranger_and_the_source_of_a_clone_is_none() {
        assert_eq!(policy("client.upload-server.cdi.kubevirt.io"), Policy::Foreign);
        assert_eq!(policy("from-ns/disk-to-ns/copy"), Policy::Faithful);
    }
}
