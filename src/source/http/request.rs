//! One checked request: redirects followed by our rules, the status judged, the waiting bounded.
//!
//! Refuses to know: what the bytes are for and how often a request is worth trying.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};
use url::Url;

use super::authority::{Again, Authority};
use super::error::{Failure, HttpError};
use super::facts::{Facts, foreign_encoding};
use super::link::Link;
use super::pace::Pace;
use super::reach::Reach;
use super::redirect::{Place, named, next, same_origin};
use super::refusal::{Side, refusal, shown};
use super::resolve::Guard;
use super::retry::Patience;
use super::unsaid::Unsaid;
use super::want::Want;
use crate::error::Error;
use crate::source::{Context, Forwarding};

/// How often a waiting thread looks at the wish to stop.
const STEP: Duration = Duration::from_millis(100);

/// Redirects in a row.
const MOST_REDIRECTS: u32 = 10;

/// Bytes of all headers of an answer.
const MOST_HEAD: usize = 64 << 10;

/// Bytes of an error's body worth reading; of these a message shows far less.
const MOST_WORDS: usize = 16 << 10;

/// A URL, what it redirects to, and everything that a request for it needs.
pub(in crate::source) struct Remote {
    /// What messages call it.
    pub(in crate::source) name: String,
    pub(super) link: Arc<Link>,
    authority: Arc<dyn Authority>,
    first: Place,
    place: Mutex<Place>,
    answered: AtomicBool,
    pub(super) reach: Reach,
    pace: Mutex<Pace>,
    /// Readers that wait for bytes.
    waiting: AtomicU32,
}

impl Remote {
    /// The remote side of `url`, which has no credentials any more: `authority` is for its origin.
    pub(in crate::source) fn new(url: Url, authority: Arc<dyn Authority>, link: Arc<Link>) -> Self {
        Self::at(Place { url, guard: Guard::None }, authority, link)
    }

    /// The same for a `url` that is not the user's: the server at `by`, which is, names it.
    ///
    /// # Errors
    /// [`HttpError::Redirect`] when it leads where a redirect must not lead.
    pub(in crate::source) fn named_by(
        by: &Url,
        url: Url,
        authority: Arc<dyn Authority>,
        link: Arc<Link>,
    ) -> Result<Self, HttpError> {
        Ok(Self::at(named(by, url)?, authority, link))
    }

    fn at(first: Place, authority: Arc<dyn Authority>, link: Arc<Link>) -> Self {
        Self {
            name: super::redirect::shown(&first.url),
            link,
            authority,
            place: Mutex::new(first.clone()),
            first,
            answered: AtomicBool::new(false),
            reach: Reach::default(),
            pace: Mutex::default(),
            waiting: AtomicU32::new(0),
        }
    }

    /// Whom to report to and to obey.
    pub(super) fn context(&self) -> &Context {
        &self.link.context
    }

    /// What messages must not repeat.
    pub(super) fn unsaid(&self) -> Unsaid {
        let here = self.place.lock().unwrap_or_else(PoisonError::into_inner).url.clone();
        let unsaid = Unsaid::default().headers(&self.authority.headers()).url(&self.first.url).url(&here);
        self.link.proxies.urls().fold(unsaid, Unsaid::url)
    }

    /// `error` without what messages must not repeat.
    pub(super) fn spared(&self, error: HttpError) -> HttpError {
        self.unsaid().spared(error)
    }

    /// The failure to have the byte `at`, because of `cause`.
    pub(in crate::source) fn failure(&self, at: u64, cause: HttpError) -> Failure {
        Failure { name: self.name.clone(), at, cause: self.spared(cause) }
    }

    /// Asks once. The answer has status 200, 206 or 416 and is not encoded.
    ///
    /// # Errors
    /// Every [`HttpError`] that a request can meet.
    pub(super) async fn ask(&self, want: &Want<'_>) -> Result<Response, HttpError> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let moved = place.url != self.first.url;
        let asked = Instant::now();
        let answer = match self.follow(place, want).await {
            // Links that storage services redirect to expire; the first URL gives a fresh one.
            Err(error) if moved && error.is_expiry() => {
                tracing::debug!("{}: {error}; asking the first URL again", self.name);
                self.follow(self.first.clone(), want).await
            }
            other => other,
        };
        if answer.is_ok() {
            self.reach.answered(asked.elapsed());
        }
        match self.answered.load(Relaxed) {
            true => answer.map_err(HttpError::or_outage),
            false => answer,
        }
    }

    /// Asks until there is an answer or `patience` ends.
    ///
    /// # Errors
    /// As for [`Remote::ask`] and [`Remote::rest`].
    pub(super) async fn ask_again(
        &self,
        want: &Want<'_>,
        patience: &mut Patience,
    ) -> Result<Response, HttpError> {
        loop {
            match self.ask(want).await {
                Ok(response) => return Ok(response),
                Err(error) => self.rest(patience, error).await?,
            }
        }
    }

    /// Waits as long as is fit before another try after `error`.
    ///
    /// # Errors
    /// `error` when no other try can help, [`HttpError::GivenUp`] when there were enough,
    /// [`HttpError::AskedTooLong`] when the server wants a wait that the user does not.
    pub(super) async fn rest(&self, patience: &mut Patience, error: HttpError) -> Result<(), HttpError> {
        let (wait, error) = patience.again(error, RandomState::new().build_hasher().finish())?;
        let limit = self.context().idle_timeout;
        if error.asked_wait().is_some() && wait > limit {
            return Err(HttpError::AskedTooLong { asked: wait, limit });
        }
        let words = Error::from(self.spared(error));
        tracing::info!("{}: {words}; trying again in {:.1} s", self.name, wait.as_secs_f64());
        self.context().progress.retries.fetch_add(1, Relaxed);
        let end = Instant::now().checked_add(wait.min(limit));
        while let Some(left) = end.and_then(|end| end.checked_duration_since(Instant::now())) {
            self.context().stop.check().map_err(HttpError::Stopped)?;
            tokio::time::sleep(left.min(STEP)).await;
        }
        Ok(())
    }

    /// The next bytes of a body; `None` at its proper end.
    ///
    /// # Errors
    /// [`HttpError::Broken`] where it breaks, [`HttpError::Idle`], [`HttpError::Drips`],
    /// [`HttpError::Stopped`].
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, HttpError> {
        let (limit, asked) = (self.context().idle_timeout, Instant::now());
        self.waiting.fetch_add(1, Relaxed);
        let chunk = self.patiently(response.chunk(), limit).await;
        // Time that several wait at once passes once.
        let waited = asked.elapsed() / self.waiting.fetch_sub(1, Relaxed).max(1);
        let chunk = chunk?.ok_or(HttpError::Idle(limit))?;
        let Some(chunk) = chunk.map_err(HttpError::of_body)? else { return Ok(None) };
        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.context().progress.fetched.fetch_add(bytes, Relaxed);
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).came(bytes, waited, limit)?;
        Ok(Some(chunk))
    }

    /// Waits for `future`, but not longer than `limit`, which gives `None`, and not after the wish to stop.
    async fn patiently<F: Future>(&self, future: F, limit: Duration) -> Result<Option<F::Output>, HttpError> {
        let mut future = pin!(future);
        let start = Instant::now();
        loop {
            self.context().stop.check().map_err(HttpError::Stopped)?;
            let left = limit.saturating_sub(start.elapsed());
            if let Ok(output) = tokio::time::timeout(left.min(STEP), future.as_mut()).await {
                return Ok(Some(output));
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Asks at `place` and wherever that redirects to.
    async fn follow(&self, mut place: Place, want: &Want<'_>) -> Result<Response, HttpError> {
        for _ in 0..=MOST_REDIRECTS {
            let response = self.send_with_proof(&place, want).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return self.accept(place, want, response).await;
            }
            // What answered through a proxy is not known by its address.
            let proxied = self.link.is_proxied(&place.url);
            let peer = response.remote_addr().map(|address| address.ip()).filter(|_| !proxied);
            let unsaid = self.unsaid().url(&place.url);
            place = next(&place, &self.first.url, peer, response.headers().get(LOCATION))
                .map_err(|error| unsaid.spared(error))?;
        }
        Err(HttpError::Redirect(format!("there are more than {MOST_REDIRECTS} in a row")))
    }

    /// Sends, and once more when a 401 can be answered by a better proof.
    async fn send_with_proof(&self, place: &Place, want: &Want<'_>) -> Result<Response, HttpError> {
        let response = self.send(place, want).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_for(place) {
            return Ok(response);
        }
        match self.authority.renew(response.headers()).await? {
            Again::Yes => self.send(place, want).await,
            Again::No => Ok(response),
        }
    }

    async fn send(&self, place: &Place, want: &Want<'_>) -> Result<Response, HttpError> {
        let (client, proxy) = self.link.client(place);
        if want.is_secret() && !same_origin(&self.first.url, &place.url) {
            return Err(HttpError::Redirect("it would take a secret to another origin".to_owned()));
        }
        let mut request = want.request(client, place.url.clone());
        if self.is_for(place) {
            request = request.headers(self.authority.headers());
        }
        self.context().progress.requests.fetch_add(1, Relaxed);
        let (idle, limit) = (self.context().idle_timeout, self.link.limits.answer);
        let answer = self.patiently(request.send(), idle.min(limit)).await?;
        let silence = if idle <= limit { HttpError::Idle(idle) } else { HttpError::Silent(limit) };
        let answer = answer.ok_or(silence)?;
        let answer = answer.map_err(|error| HttpError::of_request(error, proxy, self.link.limits.connect))?;
        let head = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
        if head.sum::<usize>() > MOST_HEAD {
            return Err(HttpError::LongHead { limit: MOST_HEAD });
        }
        Ok(answer)
    }

    /// Whether what proves who asks may be sent to `place`.
    fn is_for(&self, place: &Place) -> bool {
        let trusted = self.context().network.forwarding == Forwarding::Trusted;
        trusted || same_origin(&self.first.url, &place.url)
    }

    /// Lets an answer pass, or says why not.
    async fn accept(
        &self,
        place: Place,
        want: &Want<'_>,
        mut response: Response,
    ) -> Result<Response, HttpError> {
        let status = response.status().as_u16();
        if !matches!(status, 200 | 206 | 416) {
            let unsaid = want.add_to(self.unsaid().url(&place.url));
            let body = self.words(&mut response, &unsaid).await?;
            let withheld = !self.is_for(&place) && !self.authority.headers().is_empty();
            let side = if withheld { Side::Foreign(&place.url) } else { Side::Own };
            return Err(refusal(status, response.headers(), body, side));
        }
        if let Some(encoding) = foreign_encoding(response.headers()) {
            return Err(HttpError::Encoding(encoding));
        }
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        self.answered.store(true, Relaxed);
        Ok(response)
    }

    /// The beginning of an error's body, but for what is `unsaid`; where it breaks or takes too long, what
    /// came before it.
    async fn words(&self, response: &mut Response, unsaid: &Unsaid) -> Result<String, HttpError> {
        let (mut body, start) = (Vec::new(), Instant::now());
        while body.len() < MOST_WORDS {
            let left = self.link.limits.words.saturating_sub(start.elapsed());
            match self.patiently(response.chunk(), left).await? {
                Some(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                _ => break,
            }
        }
        Ok(shown(unsaid.out_of(&String::from_utf8_lossy(&body)).as_bytes()))
    }
}

/// The facts of `response`.
pub(super) fn facts(response: &Response) -> Facts {
    Facts::of(response.status(), response.headers(), response.content_length())
}
