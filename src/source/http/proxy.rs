//! Which requests go through a proxy.
//!
//! Refuses to know: sockets, and the environment; the variables were read elsewhere. This machine
//! is always asked directly.

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Proxy;
use url::{Host, Url};

use super::redirect::shown;
use super::resolve::is_this_machine;
use crate::source::options::ProxyOptions;
use crate::source::secret::Secret;
use crate::source::setting::SettingError;

/// The proxies for each scheme and who is asked directly.
pub(super) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    direct: Vec<Direct>,
}

/// Hosts, suffixes and networks that are asked directly, on one port or on all.
struct Direct {
    port: Option<u16>,
    /// Knows the entry as an exception from a proxy that it would take otherwise.
    matcher: Matcher,
}

impl Proxies {
    /// The proxies that `options` name.
    ///
    /// # Errors
    /// [`SettingError::Proxy`] for a proxy of another kind than HTTP.
    pub(super) fn new(options: &ProxyOptions) -> Result<Self, SettingError> {
        let list = options.direct.as_deref().unwrap_or_default();
        Ok(Self {
            http: proxy("http_proxy", options.http.as_ref())?,
            https: proxy("https_proxy", options.https.as_ref())?,
            direct: list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(direct).collect(),
        })
    }

    /// The proxies in the client's terms.
    ///
    /// # Errors
    /// Whatever the client has against their URLs.
    pub(super) fn rules(&self) -> reqwest::Result<Vec<Proxy>> {
        let http = self.http.clone().map(Proxy::http);
        let https = self.https.clone().map(Proxy::https);
        http.into_iter().chain(https).collect()
    }

    /// The proxy that a request for `url` goes through, as messages may show it.
    pub(super) fn between(&self, url: &Url) -> Option<String> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let proxy = proxy.as_ref().filter(|_| !self.is_direct(url))?;
        Some(shown(proxy))
    }

    /// Their URLs, credentials and all.
    pub(super) fn urls(&self) -> impl Iterator<Item = &Url> {
        self.http.iter().chain(&self.https)
    }

    fn is_direct(&self, url: &Url) -> bool {
        let local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => is_this_machine(address.into()),
            Some(Host::Ipv6(address)) => is_this_machine(address.into()),
            None => true,
        };
        local || self.direct.iter().any(|entry| entry.fits(url))
    }
}

impl Direct {
    fn fits(&self, url: &Url) -> bool {
        let here = self.port.is_none() || self.port == url.port_or_known_default();
        // Only scheme and host are looked at, and a path may hold what a Uri may not.
        let host = format!("http://{}/", url.host_str().unwrap_or_default());
        here && host.parse::<Uri>().is_ok_and(|uri| self.matcher.intercept(&uri).is_none())
    }
}

/// An entry of the list, with a port or without.
fn direct(entry: &str) -> Direct {
    // A second colon makes it an IPv6 address, unless brackets say where that ends.
    let with_port = entry.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let with_port = with_port.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = with_port.map_or((entry, None), |(host, port)| (host, Some(port)));
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Direct { port, matcher: Matcher::builder().all("http://proxy").no(host).build() }
}

fn proxy(variable: &'static str, given: Option<&Secret>) -> Result<Option<Url>, SettingError> {
    let Some(given) = given else { return Ok(None) };
    let refused = |why| SettingError::Proxy { variable, why };
    let text = given.reveal();
    // Without a scheme it is an HTTP proxy, as everywhere.
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    let url = url.map_err(|_| refused("it is no URL"))?;
    match url.scheme() {
        "http" | "https" => Ok(Some(url)),
        _ => Err(refused("only http:// and https:// proxies are supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(direct: &str) -> Proxies {
        let secret = |text: &str| Some(Secret::new(text.to_owned()));
        let options = ProxyOptions {
            http: secret("user:word@plain:3128"),
            https: secret("https://user:word@sealed"),
            direct: Some(direct.to_owned()),
        };
        Proxies::new(&options).unwrap()
    }

    fn between(direct: &str, url: &str) -> Option<String> {
        proxies(direct).between(&Url::parse(url).unwrap())
    }

    #[test]
    fn each_scheme_has_its_proxy_and_messages_show_no_password() {
        assert_eq!(between("", "http://a.test/x").as_deref(), Some("http://plain:3128/"));
        assert_eq!(between("", "https://a.test/x").as_deref(), Some("https://sealed/"));
    }

    #[test]
    fn this_machine_is_asked_directly() {
        for url in ["http://localhost:1/", "http://a.localhost/", "http://127.9.9.9/", "https://[::1]/"] {
            assert_eq!(between("", url), None, "{url}");
        }
    }

    #[test]
    fn exceptions_are_hosts_suffixes_networks_and_ports() {
        for (list, url, direct) in [
            ("*", "http://a.test/", true),
            ("a.test", "http://a.test/", true),
            ("a.test", "http://b.a.test/", true),
            ("a.test", "http://ba.test/", false),
            (" x , .a.test", "http://b.a.test/", true),
            ("10.0.0.0/8", "http://10.2.3.4/", true),
            ("10.0.0.0/8", "http://11.2.3.4/", false),
            ("192.0.2.7", "http://192.0.2.7:8080/", true),
            ("2001:db8::/32", "http://[2001:db8::5]/", true),
            ("[2001:db8::5]:80", "http://[2001:db8::5]/", true),
            ("a.test:8080", "http://a.test:8080/", true),
            ("a.test:8080", "http://a.test/", false),
            ("a.test:443", "https://a.test/", true),
            ("", "http://a.test/", false),
        ] {
            assert_eq!(between(list, url).is_none(), direct, "{list} {url}");
        }
    }

    #[test]
    fn a_proxy_of_another_kind_is_refused_without_its_password() {
        for text in ["socks5://u:word@h", "http://[::bad"] {
            let options = ProxyOptions { http: Some(Secret::new(text.to_owned())), ..Default::default() };
            let error = Proxies::new(&options).err().unwrap().to_string();
            assert!(error.contains("http_proxy") && !error.contains("word"), "{error}");
        }
    }
}
