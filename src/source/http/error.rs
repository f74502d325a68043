//! Why an HTTP source fails, and which failures another try may mend.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::resolve::ResolveError;
use crate::error::{Classify, Error, Kind, within};
use crate::source::seconds;
use crate::source::setting::SettingError;

/// How far a request came that a proxy did not let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Reached {
    /// Not to the proxy.
    Nobody,
    /// To the proxy, which refused, or had no way on.
    Proxy,
}

/// What went wrong with one request or its answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::source) enum HttpError {
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] Box<dyn StdError + Send + Sync>),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Resolve(ResolveError),
    #[error("the connection failed")]
    Connect(#[source] reqwest::Error),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("the proxy {proxy} gives no connection")]
    Proxy {
        proxy: String,
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
        reached: Reached,
    },
    #[error("the request broke")]
    Broken(#[source] reqwest::Error),
    #[error("the answer ended after {got} of {want} bytes")]
    Short { got: u64, want: u64 },
    #[error("the server answers {status}{body}")]
    Failing { status: u16, body: String },
    #[error("the server answers {status}{body}")]
    Busy { status: u16, wait: Option<Duration>, body: String },
    #[error(transparent)]
    Outage(Box<HttpError>),
    #[error("given up after {tries} tries without progress")]
    GivenUp {
        tries: u32,
        #[source]
        last: Box<HttpError>,
    },
    #[error("no byte for {}; the limit is --idle-timeout", seconds(*.0))]
    Idle(Duration),
    #[error("only {bytes} bytes in {} of waiting; {least} are the least for --idle-timeout", seconds(*waited))]
    Drips { bytes: u64, waited: Duration, least: u64 },
    #[error("no connection within {}", seconds(*.0))]
    Unconnected(Duration),
    #[error("no answer within {}", seconds(*.0))]
    Silent(Duration),
    #[error("the server asks to come again in {}, which is past --idle-timeout {}", seconds(*asked), seconds(*limit))]
    AskedTooLong { asked: Duration, limit: Duration },
    #[error("the server answers {status}: {words}{body}")]
    Refused { status: u16, words: String, body: String },
    #[error("the redirect is refused: {0}")]
    Redirect(String),
    #[error("the registry's token server {0} is not asked: {1}")]
    Realm(String, &'static str),
    #[error("no token from {realm}")]
    Token {
        realm: String,
        #[source]
        cause: Box<HttpError>,
    },
    #[error("the answer holds no token")]
    NoToken,
    #[error("the answer has the Content-Encoding {0}, which would change the bytes; only identity is read")]
    Encoding(String),
    #[error("the answer has more than {limit} bytes, which is the limit for what it should be")]
    TooLarge { limit: usize },
    #[error("the answer's headers have more than {limit} bytes, which is the limit for them")]
    LongHead { limit: usize },
    #[error("the file has changed while it was read: {0}")]
    Changed(String),
    #[error("the server's answer contradicts itself: {0}")]
    Lie(String),
    #[error(transparent)]
    Stopped(Error),
}

impl HttpError {
    /// What `error`, met while a connection was made through `proxy`, if any, within `limit`, or an
    /// answer awaited, really is.
    pub(super) fn of_request(error: reqwest::Error, proxy: Option<String>, limit: Duration) -> Self {
        let error = error.without_url();
        if let Some(cause) = within::<rustls::Error>(&error) {
            return Self::Tls(tls_words(cause));
        }
        if let Some(cause) = within::<ResolveError>(&error) {
            return Self::Resolve(cause.clone());
        }
        if error.is_builder() {
            return Self::Setup(error.into());
        }
        let absent = [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::AddrNotAvailable,
        ];
        match (within::<io::Error>(&error), proxy) {
            (cause, Some(proxy)) if error.is_connect() => {
                // One that says nothing did not refuse either.
                let nobody = cause.is_some() || error.is_timeout();
                let reached = if nobody { Reached::Nobody } else { Reached::Proxy };
                Self::Proxy { proxy, cause: error.into(), reached }
            }
            (Some(cause), None) if error.is_connect() && absent.contains(&cause.kind()) => {
                Self::Connect(error)
            }
            (_, None) if error.is_connect() && error.is_timeout() => Self::Unconnected(limit),
            _ => Self::Broken(error),
        }
    }

    /// What `error`, met within a body, really is.
    pub(super) fn of_body(error: reqwest::Error) -> Self {
        Self::Broken(error.without_url())
    }

    /// The same failure of a server that was there a moment ago, and so may come back.
    pub(super) fn or_outage(self) -> Self {
        match self {
            Self::Connect(_)
            | Self::Proxy { reached: Reached::Nobody, .. }
            | Self::Resolve(ResolveError::Unknown { .. }) => Self::Outage(Box::new(self)),
            other => other,
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Broken(_)
                | Self::Unconnected(_)
                | Self::Silent(_)
                | Self::Short { .. }
                | Self::Busy { .. }
                | Self::Outage(_)
        )
    }

    /// Whether the server wants fewer requests at a time, as far as it can say so.
    pub(super) fn wants_fewer(&self) -> bool {
        matches!(self, Self::Busy { status: 429 | 503, .. })
    }

    /// The wait that the server asks for.
    pub(super) fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait, .. } => *wait,
            _ => None,
        }
    }

    /// The status that the server answered with, where that is the failure.
    pub(in crate::source) fn status(&self) -> Option<u16> {
        match self {
            Self::Failing { status, .. } | Self::Busy { status, .. } | Self::Refused { status, .. } => {
                Some(*status)
            }
            Self::Outage(inner) | Self::GivenUp { last: inner, .. } => inner.status(),
            _ => None,
        }
    }

    /// Whether a link that expired gives such an answer.
    pub(super) fn is_expiry(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403 | 404 | 410, .. })
    }
}

impl Classify for HttpError {
    fn kind(&self) -> Kind {
        match self {
            Self::Setup(_) => Kind::Other,
            Self::Setting(error) => error.kind(),
            Self::Resolve(ResolveError::Forbidden { .. })
            | Self::Tls(_)
            | Self::Proxy { reached: Reached::Proxy, .. }
            | Self::TooLarge { .. }
            | Self::LongHead { .. }
            | Self::Refused { .. }
            | Self::Redirect(_)
            | Self::Realm(..)
            | Self::NoToken
            | Self::Encoding(_) => Kind::Refused,
            Self::Token { cause, .. } => cause.kind(),
            Self::Resolve(ResolveError::Unknown { .. })
            | Self::Connect(_)
            | Self::Proxy { reached: Reached::Nobody, .. }
            | Self::Broken(_)
            | Self::Short { .. }
            | Self::Busy { .. }
            | Self::Failing { .. }
            | Self::Outage(_)
            | Self::GivenUp { .. }
            | Self::Idle(_)
            | Self::Drips { .. }
            | Self::Unconnected(_)
            | Self::Silent(_)
            | Self::AskedTooLong { .. } => Kind::Unreachable,
            Self::Changed(_) | Self::Lie(_) => Kind::Integrity,
            Self::Stopped(error) => error.kind(),
        }
    }
}

/// A failure with the place where it happened.
#[derive(Debug, thiserror::Error)]
#[error("{name}{}", place(*at))]
pub(in crate::source) struct Failure {
    /// The source's name.
    pub(in crate::source) name: String,
    /// The first byte that did not come.
    pub(in crate::source) at: u64,
    /// What happened.
    #[source]
    pub(in crate::source) cause: HttpError,
}

impl Classify for Failure {
    fn kind(&self) -> Kind {
        self.cause.kind()
    }
}

fn place(at: u64) -> String {
    match at {
        0 => String::new(),
        at => format!(", at byte {at}"),
    }
}

/// Which part of TLS failed, in the words of somebody who can mend it.
fn tls_words(error: &rustls::Error) -> String {
    use rustls::CertificateError as Certificate;
    let rustls::Error::InvalidCertificate(why) = error else {
        return error.to_string();
    };
    match why {
        Certificate::UnknownIssuer => {
            "the server's certificate was issued by an unknown CA: neither this system nor --ca-cert knows it"
                .to_owned()
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            "the server's certificate has expired".to_owned()
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; is this machine's clock right?".to_owned()
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "the server's certificate is for another host name".to_owned()
        }
        Certificate::Other(other) => format!("the server's certificate cannot be verified ({})", other.0),
        other => {
            // Only the name of the case: the rest is the library's inner life.
            let case = format!("{other:?}");
            let name = case.split([' ', '(']).next().unwrap_or_default();
            format!("the server's certificate cannot be verified ({name})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_failures_are_found_behind_io_errors_and_named() {
        let cause = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, cause));
        let found = within::<rustls::Error>(&wrapped).unwrap();
        assert!(tls_words(found).contains("unknown CA"));
        assert!(within::<ResolveError>(&wrapped).is_none());
    }

    #[test]
    fn a_server_that_was_there_may_come_back() {
        let cause = std::sync::Arc::new(io::Error::other("x"));
        let unknown = HttpError::Resolve(ResolveError::Unknown { host: "h".to_owned(), cause });
        assert!(!unknown.is_passing());
        assert!(unknown.or_outage().is_passing());
        assert!(!HttpError::Tls("x".to_owned()).or_outage().is_passing());
    }
}
