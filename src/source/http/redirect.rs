//! Where a redirect may lead.
//!
//! Refuses to know: sockets. Names are checked once more when they are resolved, by the guard that
//! goes with the place.

use std::net::IpAddr;

use reqwest::header::HeaderValue;
use url::{Host, Url};

use super::error::HttpError;
use super::resolve::{Guard, is_this_machine};

/// The longest Location in bytes: signed links of storage services have one or two thousand.
const LONGEST: usize = 16 << 10;

/// A URL and the addresses that it must not lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) url: Url,
    pub(super) guard: Guard,
}

/// Whether credentials for `a` may be sent to `b`: same scheme, host and port.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin()
}

/// `url` as messages may show it: without credentials, query and fragment.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Only URLs without a host refuse these, and such have no credentials.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// The place that `location` names, seen from `from`, where the machine `peer` answered; `first`
/// is the user's own URL.
///
/// # Errors
/// [`HttpError::Redirect`] when it leads nowhere or where it must not lead.
pub(super) fn next(
    from: &Place,
    first: &Url,
    peer: Option<IpAddr>,
    location: Option<&HeaderValue>,
) -> Result<Place, HttpError> {
    let location = location.ok_or_else(|| refused("it names no Location"))?;
    if location.len() > LONGEST {
        return Err(refused(format!("its Location has {} bytes; the limit is {LONGEST}", location.len())));
    }
    let text = std::str::from_utf8(location.as_bytes()).map_err(|_| refused("its Location is no text"))?;
    let mut url =
        from.url.join(text).map_err(|cause| refused(format!("its Location is no URL ({cause})")))?;
    // A server must not choose the credentials that are sent on.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_fragment(None);
    match (from.url.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => {}
        (_, "http") => return Err(refused(format!("it leads from https to {}", shown(&url)))),
        (_, other) => return Err(refused(format!("it leads to a {other}: URL, not to http or https"))),
    }
    let guard = guard(from, first, peer, &url);
    match guard.forbidden_literal(&url) {
        Some(address) => Err(forbidden(address)),
        None => Ok(Place { url, guard }),
    }
}

/// The place `url` that the server at `by`, a URL of the user's, names in another way than by a
/// redirect.
///
/// # Errors
/// [`HttpError::Redirect`] when it leads where it must not lead.
pub(super) fn named(by: &Url, url: Url) -> Result<Place, HttpError> {
    let guard = match by.host() {
        host if host == url.host() => Guard::None,
        Some(Host::Ipv4(address)) if is_this_machine(address.into()) => Guard::LinkLocal,
        Some(Host::Ipv6(address)) if is_this_machine(address.into()) => Guard::LinkLocal,
        Some(Host::Domain("localhost")) => Guard::LinkLocal,
        _ => Guard::Local,
    };
    match guard.forbidden_literal(&url) {
        Some(address) => Err(forbidden(address)),
        None => Ok(Place { url, guard }),
    }
}

fn forbidden(address: IpAddr) -> HttpError {
    refused(format!("it leads to {address}, an address of this machine or of the local link"))
}

/// A server on this machine may redirect to this machine, and the user's own origin to itself.
fn guard(from: &Place, first: &Url, peer: Option<IpAddr>, to: &Url) -> Guard {
    if from.guard == Guard::None && same_origin(&from.url, first) && same_origin(first, to) {
        return Guard::None;
    }
    match peer.is_some_and(is_this_machine) {
        true => Guard::LinkLocal,
        false => Guard::Local,
    }
}

fn refused(words: impl Into<String>) -> HttpError {
    HttpError::Redirect(words.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(from: &str, peer: &str, location: &str) -> Result<Place, String> {
        let first = Url::parse(from).unwrap();
        let place = Place { url: first.clone(), guard: Guard::None };
        let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
        next(&place, &first, Some(peer.parse().unwrap()), Some(&location)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_location_is_joined_and_stripped() {
        for (from, location, to) in [
            ("http://a/x/y?q", "z", "http://a/x/z"),
            ("http://a/x", "//b/c?d#e", "http://b/c?d"),
            ("http://a/x", "https://b/", "https://b/"),
            ("https://a/x", "https://u:p@b:8/", "https://b:8/"),
            ("http://a/x", "/ä", "http://a/%C3%A4"),
        ] {
            assert_eq!(follow(from, "8.8.8.8", location).unwrap().url.as_str(), to);
        }
    }

    #[test]
    fn what_leads_astray_is_refused_with_words() {
        for (from, peer, location, words) in [
            ("https://a/x", "8.8.8.8", "http://a/x?secret", "from https to http://a/x"),
            ("http://a/x", "8.8.8.8", "file:///etc/passwd", "a file: URL"),
            ("http://a/x", "8.8.8.8", "data:,x", "a data: URL"),
            ("http://a/x", "8.8.8.8", "http://[::bad/", "no URL"),
            ("http://a/x", "8.8.8.8", &"x".repeat(16_385), "has 16385 bytes"),
            ("http://a/x", "8.8.8.8", "http://127.0.0.1/", "leads to 127.0.0.1"),
            ("http://a/x", "8.8.8.8", "http://[::1]:80/", "leads to ::1"),
            ("http://a/x", "127.0.0.1", "http://169.254.169.254/", "leads to 169.254.169.254"),
        ] {
            let error = follow(from, peer, location).unwrap_err();
            assert!(error.contains(words) && !error.contains("secret"), "{error}");
        }
        let place = Place { url: Url::parse("http://a/").unwrap(), guard: Guard::None };
        assert!(next(&place, &place.url, None, None).unwrap_err().to_string().contains("no Location"));
    }

    #[test]
    fn the_guard_follows_from_where_the_redirect_came() {
        let guard = |from, peer, to| follow(from, peer, to).unwrap().guard;
        assert_eq!(guard("http://169.254.1.1/", "169.254.1.1", "/b"), Guard::None);
        assert_eq!(guard("http://127.0.0.1:1/", "127.0.0.1", "http://127.0.0.2:2/"), Guard::LinkLocal);
        assert_eq!(guard("http://localhost/", "::1", "http://other/"), Guard::LinkLocal);
        assert_eq!(guard("http://a/", "10.0.0.1", "http://b/"), Guard::Local);
    }

    #[test]
    fn what_a_server_names_is_guarded_by_where_the_server_is() {
        for (by, url, guard) in [
            ("https://a/", "https://a:8/t", Some(Guard::None)),
            ("https://127.0.0.1:5/", "https://127.0.0.1:6/t", Some(Guard::None)),
            ("https://127.0.0.1:5/", "https://127.0.0.2/t", Some(Guard::LinkLocal)),
            ("https://localhost/", "https://127.0.0.1/t", Some(Guard::LinkLocal)),
            ("https://[::1]/", "https://169.254.169.254/t", None),
            ("https://a/", "https://b/t", Some(Guard::Local)),
            ("https://a/", "https://127.0.0.1/t", None),
            ("https://a/", "http://[fe80::1]/t", None),
        ] {
            let place = named(&Url::parse(by).unwrap(), Url::parse(url).unwrap());
            assert_eq!(place.map(|place| place.guard).ok(), guard, "{by} {url}");
        }
    }

    #[test]
    fn an_outer_server_cannot_send_back_to_this_machine() {
        let first = Url::parse("http://127.0.0.1:1/").unwrap();
        let outer = Place { url: Url::parse("http://outer/").unwrap(), guard: Guard::LinkLocal };
        let back = HeaderValue::from_static("http://127.0.0.1:1/");
        assert!(next(&outer, &first, Some("8.8.8.8".parse().unwrap()), Some(&back)).is_err());
    }
}
