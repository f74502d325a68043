//! Names to addresses, and the addresses where a redirect must not lead.
//!
//! A redirect is written by the server: without this guard it could make an importer read from
//! services that only its own machine or network can reach. The user's own URL may be anything.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Which addresses are out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// None: the user named the origin.
    None,
    /// Link-local ones: a redirect of a server on this machine.
    LinkLocal,
    /// Link-local ones and this machine: a redirect of any other server.
    Local,
}

impl Guard {
    /// Whether `address` is out of bounds.
    pub(super) fn forbids(self, address: IpAddr) -> bool {
        match self {
            Self::None => false,
            Self::LinkLocal => is_link_local(address),
            Self::Local => is_link_local(address) || is_this_machine(address),
        }
    }

    /// The address that stands in `url` itself, when it is out of bounds.
    pub(super) fn forbidden_literal(self, url: &Url) -> Option<IpAddr> {
        let address = match url.host()? {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain(_) => return None,
        };
        self.forbids(address).then_some(address)
    }
}

/// Whether `address` means this machine; the unspecified address does, too.
pub(super) fn is_this_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The system's resolver behind a guard, so that the address that was looked at is the one connected to.
pub(super) struct Resolver(pub(super) Guard);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await;
            let found = match found.map(Iterator::collect::<Vec<SocketAddr>>) {
                Ok(found) => found,
                Err(cause) => return Err(ResolveError::Unknown { host, cause: Arc::new(cause) }.into()),
            };
            match found.iter().find(|address| guard.forbids(address.ip())) {
                Some(address) => Err(ResolveError::Forbidden { host, address: address.ip() }.into()),
                None => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

/// Why a name gives no address.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::source) enum ResolveError {
    /// The system knows none.
    #[error("the name {host} cannot be resolved")]
    Unknown {
        /// The name.
        host: String,
        /// What the system says.
        #[source]
        cause: Arc<std::io::Error>,
    },
    /// One of them is out of bounds.
    #[error("a redirect to {host} leads to {address}, an address of this machine or of the local link")]
    Forbidden {
        /// The name.
        host: String,
        /// Its address.
        address: IpAddr,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_not_lead_inwards() {
        for (url, link_local, local) in [
            ("http://169.254.169.254/", true, true),
            ("http://[fe80::1]/", true, true),
            ("http://[::ffff:169.254.1.1]/", true, true),
            ("http://127.0.0.2/", false, true),
            ("http://0x7f.1/", false, true),
            ("http://0/", false, true),
            ("http://[::1]/", false, true),
            ("http://[::ffff:127.0.0.1]/", false, true),
            ("http://[::]/", false, true),
            ("http://10.0.0.1/", false, false),
            ("http://[2001:db8::1]/", false, false),
            ("http://localhost/", false, false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(Guard::None.forbidden_literal(&url), None);
            assert_eq!(Guard::LinkLocal.forbidden_literal(&url).is_some(), link_local, "{url}");
            assert_eq!(Guard::Local.forbidden_literal(&url).is_some(), local, "{url}");
        }
    }

    #[test]
    fn names_are_looked_at_after_they_were_resolved() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ask = |guard| runtime.block_on(Resolver(guard).resolve("localhost".parse().unwrap()));
        assert!(ask(Guard::LinkLocal).is_ok());
        let error = ask(Guard::Local).err().unwrap();
        assert!(matches!(error.downcast_ref(), Some(ResolveError::Forbidden { .. })), "{error}");
    }
}
