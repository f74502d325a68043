//! What all requests of one source share: clients, proxies, the runtime, and whom to obey.
//!
//! Refuses to know: URLs and what is asked of them.

use std::sync::Arc;

use reqwest::Client;
use url::Url;

use super::client::Clients;
use super::error::HttpError;
use super::limits::Limits;
use super::net::Net;
use super::proxy::Proxies;
use super::redirect::Place;
use crate::source::Context;

/// The way out for the requests of one source.
pub(in crate::source) struct Link {
    /// Whom to report to and to obey.
    pub(in crate::source) context: Context,
    pub(super) net: Arc<Net>,
    /// How long servers are waited for.
    pub(super) limits: Limits,
    clients: Clients,
    pub(super) proxies: Proxies,
}

impl Link {
    /// A way out as `context` wants it.
    ///
    /// # Errors
    /// [`HttpError::Setting`] for certificates and proxies that cannot be used,
    /// [`HttpError::Setup`] when the system gives no threads or TLS cannot be set up.
    pub(in crate::source) fn new(context: Context) -> Result<Arc<Self>, HttpError> {
        Self::within(context, Limits::default())
    }

    /// As [`Link::new`], with other limits.
    ///
    /// # Errors
    /// As for [`Link::new`].
    pub(super) fn within(context: Context, limits: Limits) -> Result<Arc<Self>, HttpError> {
        let proxies = Proxies::new(&context.network.proxies)?;
        let clients = Clients::new(&context.network, &proxies, context.connections, limits)?;
        Ok(Arc::new(Self { context, net: Arc::new(Net::new()?), limits, clients, proxies }))
    }

    /// Runs `future` while the calling thread waits.
    ///
    /// # Errors
    /// Whatever the future ends with.
    pub(in crate::source) fn wait<T>(
        &self,
        future: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        self.net.wait(future)
    }

    /// The client for `place`, and the proxy in between.
    pub(super) fn client(&self, place: &Place) -> (&Client, Option<String>) {
        match self.proxies.between(&place.url) {
            Some(proxy) => (self.clients.proxied(), Some(proxy)),
            None => (self.clients.direct(place.guard), None),
        }
    }

    /// Whether a proxy stands between here and `url`.
    pub(super) fn is_proxied(&self, url: &Url) -> bool {
        self.proxies.between(url).is_some()
    }
}
