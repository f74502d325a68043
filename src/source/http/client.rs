//! The HTTP clients: what they must not do by themselves.
//!
//! Refuses to know: any URL. Redirects, retries, credentials and ranges are decided elsewhere, so
//! everything that the library would do unasked is off.

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder};
use rustls::ClientConfig;

use super::error::HttpError;
use super::limits::Limits;
use super::proxy::Proxies;
use super::resolve::{Guard, Resolver};
use super::trust::trust;
use crate::source::options::NetworkOptions;

/// What requests call their sender, where the user does not say.
const AGENT: &str = concat!("diskpour/", env!("CARGO_PKG_VERSION"));

/// One client for each guard: they share no connection, so that a guarded request never travels
/// over a connection that was made without its guard.
pub(super) struct Clients {
    open: Client,
    outward: Client,
    guarded: Client,
    /// The proxy resolves the names, so that only its own name is looked up here.
    proxied: Client,
}

impl Clients {
    /// Clients that keep `connections` connections each.
    ///
    /// # Errors
    /// [`HttpError::Setup`] when TLS cannot be set up, [`HttpError::Setting`] for certificates
    /// that cannot be read.
    pub(super) fn new(
        options: &NetworkOptions,
        proxies: &Proxies,
        connections: usize,
        limits: Limits,
    ) -> Result<Self, HttpError> {
        let trust = trust(options)?;
        let agent = options.user_agent.as_deref().unwrap_or(AGENT);
        let builder = |guard| builder(&trust, agent, guard, connections).connect_timeout(limits.connect);
        let direct = |guard| built(builder(guard));
        let setup = |cause: reqwest::Error| HttpError::Setup(cause.without_url().into());
        let mut proxied = builder(Guard::None);
        for proxy in proxies.rules().map_err(setup)? {
            proxied = proxied.proxy(proxy);
        }
        Ok(Self {
            open: direct(Guard::None)?,
            outward: direct(Guard::LinkLocal)?,
            guarded: direct(Guard::Local)?,
            proxied: built(proxied)?,
        })
    }

    /// The client whose connections obey `guard`.
    pub(super) fn direct(&self, guard: Guard) -> &Client {
        match guard {
            Guard::None => &self.open,
            Guard::LinkLocal => &self.outward,
            Guard::Local => &self.guarded,
        }
    }

    /// The client whose connections go through a proxy.
    pub(super) fn proxied(&self) -> &Client {
        &self.proxied
    }
}

fn builder(trust: &ClientConfig, agent: &str, guard: Guard, connections: usize) -> ClientBuilder {
    let mut headers = HeaderMap::new();
    // A checksum is over the bytes as they travel; a transparent encoding would change them.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    plain(trust.clone(), agent)
        .default_headers(headers)
        .pool_max_idle_per_host(connections)
        .dns_resolver(Resolver(guard))
}

/// A client that does nothing of its own accord: no redirects, no retries, no proxies.
pub(crate) fn plain(tls: ClientConfig, agent: &str) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(agent)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        // Parallel ranges want connections of their own.
        .http1_only()
        .connect_timeout(Limits::default().connect)
}

fn built(builder: ClientBuilder) -> Result<Client, HttpError> {
    builder.build().map_err(|cause| HttpError::Setup(cause.into()))
}
