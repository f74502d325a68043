//! The request that carries a clone: mutual TLS, a body without a length, one answer.
//!
//! Refuses to know: where the bytes come from. Nothing is tried again: the pod is started again.

use std::error::Error as StdError;
use std::sync::Arc;

use reqwest::{Body, Client, Url};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::outlet::Feed;
use crate::config::ClonePod;
use crate::error::{Classify, Error, Kind};
use crate::source::{PemError, plain_client};

/// The header that says what the body is.
const CONTENT_TYPE: &str = "x-cdi-content-type";

/// Bytes of an answer that an error tells.
const TOLD: usize = 2048;

/// Why a clone was not taken.
#[derive(Debug, thiserror::Error)]
enum PostError {
    /// PEM text that is none, or does not fit.
    #[error("{name} cannot be used")]
    Credentials {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// There is no certificate in it.
    #[error("{0} holds no certificate")]
    Empty(&'static str),
    /// UPLOAD_URL is no https:// URL.
    #[error("UPLOAD_URL is no https:// URL")]
    Url,
    /// The client cannot be set up.
    #[error("cannot set up the request")]
    Setup(#[source] Box<dyn StdError + Send + Sync>),
    /// It was not reached, or broke off.
    #[error("the clone target at {host} did not take the volume")]
    Transport {
        /// The host.
        host: String,
        /// What was seen.
        #[source]
        cause: reqwest::Error,
    },
    /// It says no.
    #[error("the clone target at {host} answers {status}: {text}")]
    Refused {
        /// The host.
        host: String,
        /// The status code.
        status: u16,
        /// What it said.
        text: String,
    },
}

impl Classify for PostError {
    fn kind(&self) -> Kind {
        match self {
            Self::Credentials { .. } | Self::Empty(_) | Self::Url => Kind::Usage,
            Self::Setup(_) => Kind::Other,
            Self::Transport { .. } => Kind::Unreachable,
            Self::Refused { .. } => Kind::Refused,
        }
    }
}

/// A request that was not sent yet.
pub(super) struct Request {
    client: Client,
    url: Url,
    host: String,
    content: &'static str,
}

impl Request {
    /// The request of `config` for a body that is `content`.
    pub(super) fn new(config: &ClonePod, content: &'static str) -> Result<Self, Error> {
        let url = Url::parse(&config.url).ok().filter(|url| url.scheme() == "https").ok_or(PostError::Url)?;
        let host = url.host_str().ok_or(PostError::Url)?.to_owned();
        let client = plain_client(tls(config)?, concat!("diskpour/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|cause| PostError::Setup(cause.into()))?;
        Ok(Self { client, url, host, content })
    }

    /// Sends `feed`; done when the other side has all of it durably.
    pub(super) async fn send(self, feed: Feed) -> Result<(), Error> {
        let host = self.host;
        let failed =
            |cause: reqwest::Error| PostError::Transport { host: host.clone(), cause: cause.without_url() };
        let request = self.client.post(self.url).header(CONTENT_TYPE, self.content).body(Body::wrap(feed));
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut text = Vec::new();
        while let Ok(Some(more)) = answer.chunk().await {
            text.extend_from_slice(&more);
            if text.len() > TOLD {
                break;
            }
        }
        text.truncate(TOLD);
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        Err(PostError::Refused { host, status: status.as_u16(), text }.into())
    }
}

/// Trusts the one CA and shows the one certificate that the environment gives.
fn tls(config: &ClonePod) -> Result<ClientConfig, PostError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("SERVER_CA_CERT", &config.server_ca)? {
        roots.add(certificate).map_err(|cause| unusable("SERVER_CA_CERT", cause))?;
    }
    let chain = certificates("CLIENT_CERT", &config.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(config.key.reveal().as_bytes());
    let key = key.map_err(|cause| unusable("CLIENT_KEY", PemError::from(cause)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|cause| PostError::Setup(cause.into()))?.with_root_certificates(roots);
    let mut tls =
        builder.with_client_auth_cert(chain, key).map_err(|cause| unusable("CLIENT_CERT", cause))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn certificates(name: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, PostError> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|cause| unusable(name, PemError::from(cause)))?;
    if found.is_empty() { Err(PostError::Empty(name)) } else { Ok(found) }
}

fn unusable(name: &'static str, cause: impl StdError + Send + Sync + 'static) -> PostError {
    PostError::Credentials { name, cause: cause.into() }
}
