//! One checked request: redirects followed by our rules, the status judged, the waiting bounded.
//!
//! Refuses to know: what the bytes are for and how often a request is worth trying.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::Response;
use reqwest::header::{HeaderMap, IF_RANGE, LOCATION, RANGE, RETRY_AFTER};
use url::Url;

use super::client::Clients;
use super::date::http_date;
use super::error::{HttpError, shown};
use super::facts::{Facts, Validator, foreign_encoding};
use super::redirect::{Place, next, same_origin};
use super::resolve::Guard;
use super::retry::Patience;
use super::secret::Secret;
use crate::error::Error;
use crate::source::Context;

/// How often a waiting thread looks at the wish to stop.
const STEP: Duration = Duration::from_millis(100);

/// Redirects in a row.
const MOST_REDIRECTS: u32 = 10;

/// Bytes of an error's body worth reading; of these a message shows far less.
const MOST_WORDS: usize = 16 << 10;

/// Some bytes as they came from the network.
pub(super) type Chunk = Box<dyn AsRef<[u8]> + Send>;

/// Which bytes are asked for.
pub(super) struct Want<'a> {
    range: Option<String>,
    validator: Option<&'a Validator>,
}

impl<'a> Want<'a> {
    /// Everything, as a browser would ask.
    pub(super) fn plain() -> Self {
        Self { range: None, validator: None }
    }

    /// Everything, as a question whether the server knows ranges.
    pub(super) fn probe() -> Self {
        Self { range: Some("bytes=0-".to_owned()), validator: None }
    }

    /// Everything from `at` on of the object that `validator` names.
    pub(super) fn rest(at: u64, validator: &'a Validator) -> Self {
        Self { range: Some(format!("bytes={at}-")), validator: Some(validator) }
    }

    /// A part, which is not empty, of the object that `validator` names.
    pub(super) fn part(part: &Range<u64>, validator: &'a Validator) -> Self {
        let range = format!("bytes={}-{}", part.start, part.end.saturating_sub(1));
        Self { range: Some(range), validator: Some(validator) }
    }
}

/// A URL, what it redirects to, and everything that a request for it needs.
pub(super) struct Remote {
    /// What messages call it.
    pub(super) name: String,
    /// Whom to report to and to obey.
    pub(super) context: Context,
    clients: Clients,
    first: Url,
    secret: Option<Secret>,
    place: Mutex<Place>,
    answered: AtomicBool,
}

impl Remote {
    /// The remote side of `url`, which has no credentials any more.
    ///
    /// # Errors
    /// [`HttpError::Setup`] when there is no client to be had.
    pub(super) fn new(url: Url, secret: Option<Secret>, context: Context) -> Result<Self, HttpError> {
        Ok(Self {
            name: super::redirect::shown(&url),
            clients: Clients::new(context.connections)?,
            context,
            place: Mutex::new(Place { url: url.clone(), guard: Guard::None }),
            first: url,
            secret,
            answered: AtomicBool::new(false),
        })
    }

    /// Asks once. The answer has status 200, 206 or 416 and is not encoded.
    ///
    /// # Errors
    /// Every [`HttpError`] that a request can meet.
    pub(super) async fn ask(&self, want: &Want<'_>) -> Result<Response, HttpError> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let moved = place.url != self.first;
        let answer = match self.follow(place, want).await {
            // Links that storage services redirect to expire; the first URL gives a fresh one.
            Err(error) if moved && error.is_expiry() => {
                tracing::debug!("{}: {error}; asking the first URL again", self.name);
                self.follow(Place { url: self.first.clone(), guard: Guard::None }, want).await
            }
            other => other,
        };
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
        let limit = self.context.idle_timeout;
        if error.asked_wait().is_some() && wait > limit {
            return Err(HttpError::AskedTooLong { asked: wait, limit });
        }
        let words = Error::from(error);
        tracing::info!("{}: {words}; trying again in {:.1} s", self.name, wait.as_secs_f64());
        self.context.progress.retries.fetch_add(1, Relaxed);
        let end = Instant::now().checked_add(wait.min(limit));
        while let Some(left) = end.and_then(|end| end.checked_duration_since(Instant::now())) {
            self.context.stop.check().map_err(HttpError::Stopped)?;
            tokio::time::sleep(left.min(STEP)).await;
        }
        Ok(())
    }

    /// The next bytes of a body; `None` at its proper end.
    ///
    /// # Errors
    /// [`HttpError::Broken`] where it breaks, [`HttpError::Idle`], [`HttpError::Stopped`].
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<Chunk>, HttpError> {
        let chunk = self.patiently(response.chunk()).await?.map_err(HttpError::of_body)?;
        let Some(chunk) = chunk else { return Ok(None) };
        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.context.progress.fetched.fetch_add(bytes, Relaxed);
        Ok(Some(Box::new(chunk)))
    }

    /// Waits for `future`, but not past the idle timeout and not after the wish to stop.
    async fn patiently<F: Future>(&self, future: F) -> Result<F::Output, HttpError> {
        let mut future = pin!(future);
        let limit = self.context.idle_timeout;
        let start = Instant::now();
        loop {
            self.context.stop.check().map_err(HttpError::Stopped)?;
            let left = limit.saturating_sub(start.elapsed());
            if let Ok(output) = tokio::time::timeout(left.min(STEP), future.as_mut()).await {
                return Ok(output);
            }
            if left.is_zero() {
                return Err(HttpError::Idle(limit));
            }
        }
    }

    /// Asks at `place` and wherever that redirects to.
    async fn follow(&self, mut place: Place, want: &Want<'_>) -> Result<Response, HttpError> {
        for _ in 0..=MOST_REDIRECTS {
            let response = self.send(&place, want).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return self.accept(place, response).await;
            }
            let peer = response.remote_addr().map(|address| address.ip());
            place = next(&place, &self.first, peer, response.headers().get(LOCATION))?;
        }
        Err(HttpError::Redirect(format!("there are more than {MOST_REDIRECTS} in a row")))
    }

    async fn send(&self, place: &Place, want: &Want<'_>) -> Result<Response, HttpError> {
        let mut request = self.clients.of(place.guard).get(place.url.clone());
        if let Some(range) = &want.range {
            request = request.header(RANGE, range);
        }
        if let Some(validator) = want.validator {
            request = request.header(IF_RANGE, validator.if_range());
        }
        if let Some(secret) = self.secret.as_ref().filter(|_| same_origin(&self.first, &place.url)) {
            request = secret.sign(request);
        }
        self.context.progress.requests.fetch_add(1, Relaxed);
        self.patiently(request.send()).await?.map_err(HttpError::of_request)
    }

    /// Lets an answer pass, or says why not.
    async fn accept(&self, place: Place, response: Response) -> Result<Response, HttpError> {
        let status = response.status();
        if !matches!(status.as_u16(), 200 | 206 | 416) {
            return Err(self.refusal(response).await);
        }
        if let Some(encoding) = foreign_encoding(response.headers()) {
            return Err(HttpError::Encoding(encoding));
        }
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        self.answered.store(true, Relaxed);
        Ok(response)
    }

    /// What an answer without the object means.
    async fn refusal(&self, mut response: Response) -> HttpError {
        let status = response.status().as_u16();
        let wait = asked_wait(response.headers());
        let body = match self.words(&mut response).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        match status {
            408 | 429 | 500 | 502 | 503 | 504 => HttpError::Busy { status, wait, body },
            501 | 505..=599 => HttpError::Failing { status, body },
            other => HttpError::Refused { status: other, words: refusal_words(other), body },
        }
    }

    /// The beginning of an error's body; where it breaks, what came before it.
    async fn words(&self, response: &mut Response) -> Result<String, HttpError> {
        let mut body = Vec::new();
        while body.len() < MOST_WORDS {
            match self.patiently(response.chunk()).await? {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(shown(&body))
    }
}

/// The facts of `response`.
pub(super) fn facts(response: &Response) -> Facts {
    Facts::of(response.status(), response.headers(), response.content_length())
}

fn refusal_words(status: u16) -> &'static str {
    match status {
        401 => "credentials are needed, or those in the URL are wrong",
        403 => "access is denied; credentials may be missing or wrong",
        404 | 410 => "not found",
        300..=399 => "a redirect that cannot be followed",
        200..=299 => "which is not the file",
        _ => "the request is refused",
    }
}

/// The wait that a Retry-After header asks for, as seconds or as a date.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(http_date(text)?).saturating_sub(now))
}
