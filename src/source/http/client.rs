//! The HTTP clients: what they trust, and what they must not do by themselves.
//!
//! Refuses to know: any URL. Redirects, retries, credentials and ranges are decided elsewhere, so
//! everything that the library would do unasked is off.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use rustls::{ClientConfig, RootCertStore};

use super::error::HttpError;
use super::resolve::{Guard, Resolver};

/// The longest time for a connection to come up, TLS included.
const CONNECT: Duration = Duration::from_secs(30);

/// One client for each guard: they share no connection, so that a guarded request never travels
/// over a connection that was made without its guard.
pub(super) struct Clients {
    open: Client,
    outward: Client,
    guarded: Client,
}

impl Clients {
    /// Clients that keep `connections` connections each.
    ///
    /// # Errors
    /// [`HttpError::Setup`] when TLS cannot be set up.
    pub(super) fn new(connections: usize) -> Result<Self, HttpError> {
        let trust = trust()?;
        let client = |guard| client(&trust, guard, connections);
        Ok(Self {
            open: client(Guard::None)?,
            outward: client(Guard::LinkLocal)?,
            guarded: client(Guard::Local)?,
        })
    }

    /// The client whose connections obey `guard`.
    pub(super) fn of(&self, guard: Guard) -> &Client {
        match guard {
            Guard::None => &self.open,
            Guard::LinkLocal => &self.outward,
            Guard::Local => &self.guarded,
        }
    }
}

fn client(trust: &ClientConfig, guard: Guard, connections: usize) -> Result<Client, HttpError> {
    let mut headers = HeaderMap::new();
    // A checksum is over the bytes as they travel; a transparent encoding would change them.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Client::builder()
        .tls_backend_preconfigured(trust.clone())
        .user_agent(concat!("diskpour/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        // Parallel ranges want connections of their own.
        .http1_only()
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(connections)
        .dns_resolver(Resolver(guard))
        .build()
        .map_err(|cause| HttpError::Setup(cause.into()))
}

/// The one place where trust is built: the system's certificates.
fn trust() -> Result<ClientConfig, HttpError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("system certificates: {error}");
    }
    let (_, _) = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::debug!("no system certificates: every https:// server will be unknown");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| HttpError::Setup(cause.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
