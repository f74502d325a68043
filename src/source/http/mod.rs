//! HTTP and HTTPS: ranges where the server has proved them, one mended stream otherwise.
//!
//! Refuses to know: what the bytes mean. The server is taken for a stranger: what it says is
//! checked against what it said before, and what it redirects to against where it may lead.

mod authority;
mod client;
mod date;
mod document;
mod error;
mod facts;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gauge;
mod lanes;
mod limits;
mod link;
mod net;
mod pace;
mod proxy;
mod random;
mod range;
mod reach;
mod reader;
mod redirect;
mod refusal;
mod request;
mod resolve;
mod retry;
mod stream;
mod trust;
mod unsaid;
mod userinfo;
mod want;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use url::Url;

pub(super) use self::authority::{Again, Authority, Renewal, basic};
pub(crate) use self::client::plain as plain_client;
pub(super) use self::document::Document;
pub(super) use self::error::{Failure, HttpError};
pub(super) use self::link::Link;
pub(super) use self::request::Remote;

use self::authority::Fixed;
use self::random::Ranges;
use self::range::{Probe, judge_plain, judge_probe};
use self::request::facts;
use self::retry::Patience;
use self::stream::{Body, Object, stream};
use self::want::Want;
use super::secret::Credentials;
use super::{ArgumentError, Context, Source};
use crate::error::Error;
use crate::io::Input;

/// A URL, not yet asked for.
pub(super) struct Http {
    url: Url,
    in_url: Option<Credentials>,
    context: Context,
}

impl Http {
    /// The source at `text`; its credentials are put away at once.
    pub(super) fn parse(text: &str, context: Context) -> Result<Self, ArgumentError> {
        let mut url = Url::parse(text)?;
        let in_url = userinfo::taken_from(&mut url);
        url.set_fragment(None);
        Ok(Self { url, in_url, context })
    }
}

impl Source for Http {
    fn open(self: Box<Self>) -> Result<Input, Error> {
        let name = self.name();
        open(*self).map_err(|cause| Failure { name, at: 0, cause }.into())
    }

    fn name(&self) -> String {
        redirect::shown(&self.url)
    }
}

fn open(source: Http) -> Result<Input, HttpError> {
    let authority = Fixed::new(&source.context.network, source.in_url)?;
    let link = Link::new(source.context)?;
    let place = source.url.to_string();
    let remote = Arc::new(Remote::new(source.url, Arc::new(authority), link));
    let spared = |cause| remote.spared(cause);
    let (probe, response) = remote.link.wait(probe(&remote)).map_err(spared)?;
    if let Some(version) = probe.version() {
        remote.context().notes.set_version(&place, version);
    }
    Ok(match probe {
        Probe::Random { total, end, validator } => {
            let first = Body { response, end: Some(end) };
            let ranges = Ranges::open(Arc::clone(&remote), (total, validator), first).map_err(spared)?;
            Input::Random(Arc::new(ranges))
        }
        Probe::Stream { len, resume, validator } => {
            let object = Object { len, resume, validator };
            Input::Sequential(stream(remote, object, Vec::new(), Some(Body { response, end: len })))
        }
    })
}

/// The first answer, and what it amounts to.
async fn probe(remote: &Remote) -> Result<(Probe, Response), HttpError> {
    let mut patience = Patience::default();
    let response = remote.ask_again(&Want::probe(), &mut patience).await?;
    if let Some(probe) = judge_probe(facts(&response))? {
        warn(remote, &response, &probe);
        return Ok((probe, response));
    }
    tracing::debug!("{}: no use of ranges; asking for the whole", remote.name);
    let response = remote.ask_again(&Want::plain(), &mut patience).await?;
    let facts = facts(&response);
    let len = judge_plain(&facts)?;
    let probe = Probe::Stream { len, resume: range::Resume::Restart, validator: facts.validator };
    warn(remote, &response, &probe);
    Ok((probe, response))
}

/// Says what the user should know of an answer that is taken all the same.
fn warn(remote: &Remote, response: &Response, probe: &Probe) {
    if matches!(probe, Probe::Stream { len: None, .. }) && !facts(response).chunked {
        tracing::warn!(
            "{}: the server tells no length, so a connection that is cut looks like the end; give --checksum",
            remote.name
        );
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    remote.context().notes.set_media_type(&remote.unsaid().out_of(kind));
    if kind.to_ascii_lowercase().starts_with("text/html") {
        tracing::warn!("{}: the server says that this is a web page (text/html)", remote.name);
    }
}
