//! The server's side of TLS, and what a client's certificate says of it.
//!
//! Refuses to know: HTTP. Certificate and key are read once, when the server starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, version};

use super::ciphers::choose;
use super::name::common_name;
use super::request::Peer;
use crate::config::{Clients, TlsConfig, TlsVersion};
use crate::error::{Classify, Kind};
use crate::source::PemError;

/// TLS 1.3 alone.
static NEW: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Every version that is sound.
static SOUND: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// Why TLS cannot be had as it is asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// A file with certificates or a key cannot be read.
    #[error("--{option} {}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: PemError,
    },
    /// A file holds no certificate.
    #[error("--{option} {} holds no certificate", path.display())]
    Empty {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be used, or does not belong to the key.
    #[error("--{option} {} cannot be used", path.display())]
    Unfit {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: rustls::Error,
    },
    /// The clients' CA cannot be used.
    #[error("--client-ca {} cannot be used", path.display())]
    Clients {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: VerifierBuilderError,
    },
    /// Nothing is left to encrypt with.
    #[error(
        "--tls-ciphers leaves no cipher suite for TLS {least} and above: {names}; the suites are those of \
         ECDHE with AES-GCM or ChaCha20-Poly1305, and those of TLS 1.3"
    )]
    NoCipher {
        /// The names that were given.
        names: String,
        /// The least version.
        least: &'static str,
    },
}

impl Classify for TlsError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// What the server's connections start with.
pub(super) fn server(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let mut provider = rustls::crypto::ring::default_provider();
    let chosen = choose(&provider.cipher_suites, &config.ciphers);
    if !chosen.unknown.is_empty() {
        tracing::warn!(
            "--tls-ciphers: passed over, as they are not supported: {}",
            chosen.unknown.join(", ")
        );
    }
    let (versions, least) = versions(config.min_version);
    provider.cipher_suites = chosen.suites;
    if !provider.cipher_suites.iter().any(|suite| versions.contains(&suite.version())) {
        return Err(TlsError::NoCipher { names: config.ciphers.join(", "), least });
    }
    let provider = Arc::new(provider);
    let (chain, key) = (certificates("tls-cert", &config.cert)?, key(&config.key)?);
    let unfit = |cause| TlsError::Unfit { option: "tls-cert", path: config.cert.clone(), cause };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(versions).map_err(unfit)?;
    let builder = match &config.clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::Signed { ca, .. } => builder.with_client_cert_verifier(verifier(ca, provider)?),
    };
    let mut server = builder.with_single_cert(chain, key).map_err(unfit)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every connection proves itself: none lives on what an earlier one has proved.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Arc::new(server))
}

/// What the certificate of the client of `session` says of it, where `clients` may upload.
pub(super) fn peer(clients: &Clients, session: &ServerConnection) -> Peer {
    let Clients::Signed { name, .. } = clients else { return Peer::Trusted };
    // The handshake has verified the first certificate; the others are what the client adds to it.
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    match (leaf, name) {
        (None, _) => Peer::Stranger("a client certificate is needed to upload".to_owned()),
        (Some(_), None) => Peer::Trusted,
        (Some(leaf), Some(name)) => match common_name(leaf) {
            Some(found) if found == *name => Peer::Trusted,
            Some(found) => Peer::Stranger(format!(
                "the client certificate is that of \"{}\", who may not upload",
                found.chars().take(128).collect::<String>().escape_debug()
            )),
            None => Peer::Stranger("the client certificate has no common name".to_owned()),
        },
    }
}

fn versions(least: TlsVersion) -> (&'static [&'static SupportedProtocolVersion], &'static str) {
    match least {
        TlsVersion::V13 => (NEW, "1.3"),
        TlsVersion::V12 => (SOUND, "1.2"),
        TlsVersion::V10 | TlsVersion::V11 => {
            tracing::warn!("--tls-min-version: TLS 1.0 and 1.1 are not sound; 1.2 is the least");
            (SOUND, "1.2")
        }
    }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |cause: pem::Error| TlsError::File { option, path: path.to_owned(), cause: cause.into() };
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)?;
    let found: Vec<_> = found;
    if found.is_empty() { Err(TlsError::Empty { option, path: path.to_owned() }) } else { Ok(found) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|cause| TlsError::File {
        option: "tls-key",
        path: path.to_owned(),
        cause: cause.into(),
    })
}

/// What clients must prove if they prove anything: a chain to the CA in `path`, in its time, for clients.
fn verifier(
    path: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client-ca", path)? {
        let unfit = |cause| TlsError::Unfit { option: "client-ca", path: path.to_owned(), cause };
        roots.add(certificate).map_err(unfit)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|cause| TlsError::Clients { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn config(dir: &Path) -> TlsConfig {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
        TlsConfig {
            cert: dir.join("tls.crt"),
            key: dir.join("tls.key"),
            clients: Clients::Anyone,
            min_version: TlsVersion::V12,
            ciphers: Vec::new(),
        }
    }

    #[track_caller]
    fn refused(config: &TlsConfig, words: &str) {
        let error = crate::error::Error::from(server(config).unwrap_err());
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn files_that_are_no_use_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        server(&config).unwrap();
        let other = dir.path().join("other.key");
        fs::write(&other, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        fs::write(dir.path().join("empty"), "").unwrap();
        let empty = dir.path().join("empty");
        refused(&TlsConfig { key: other, ..config.clone() }, "tls.crt cannot be used");
        refused(&TlsConfig { key: empty.clone(), ..config.clone() }, "--tls-key");
        refused(&TlsConfig { cert: empty.clone(), ..config.clone() }, "empty holds no certificate");
        refused(&TlsConfig { cert: dir.path().join("none"), ..config.clone() }, "No such file");
        let clients = Clients::Signed { ca: empty, name: None };
        refused(&TlsConfig { clients, ..config }, "--client-ca");
    }

    #[test]
    fn ciphers_that_leave_nothing_fail_with_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let with = |min_version, names: &[&str]| TlsConfig {
            min_version,
            ciphers: names.iter().map(ToString::to_string).collect(),
            ..config.clone()
        };
        refused(&with(TlsVersion::V12, &["RC4-MD5", "AES128-SHA"]), "1.2 and above: RC4-MD5, AES128-SHA");
        let old = "ECDHE-RSA-AES128-GCM-SHA256";
        refused(&with(TlsVersion::V13, &[old]), "1.3 and above: ECDHE-RSA-AES128-GCM-SHA256");
        server(&with(TlsVersion::V10, &[old, "RC4-MD5"])).unwrap();
        server(&with(TlsVersion::V13, &["TLS_AES_128_GCM_SHA256"])).unwrap();
    }
}
