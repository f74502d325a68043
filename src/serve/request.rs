//! From a request to its answer: the status codes, in the order that CDI's clients know.
//!
//! Refuses to know: connections, and how an image is poured.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::{Request, Response, StatusCode};

use super::Service;
use super::route::{Route, Upload};
use super::state::Refusal;
use super::transfer::{self, Failure};
use crate::error::{Error, Kind};
use crate::format::redact;
use crate::report::escaped;
use crate::sink::SinkError;

/// An answer that is here as a whole.
pub(super) type Answer = Response<Full<Bytes>>;

/// In front of every error of an upload, word for word as CDI's tests look for it.
const FAILED: &str = "Saving stream failed";

/// In front of an error that a larger target would cure, also word for word.
const TOO_SMALL: &str = "effective image size is larger than the reported available storage";

/// What is known of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// It may upload.
    Trusted,
    /// It may, unless a web page sent it: nothing else keeps pages of the web from this machine.
    Local,
    /// It may not, for a reason.
    Stranger(String),
}

/// The answer to `request` of `peer`; a body that is not wanted is not read.
pub(super) async fn answer(service: Arc<Service>, peer: Peer, request: Request<Incoming>) -> Answer {
    match Route::of(request.method(), request.uri().path()) {
        Route::Health => said(StatusCode::OK, "OK"),
        Route::Probe => said(StatusCode::OK, ""),
        Route::Unknown => said(StatusCode::NOT_FOUND, "there is nothing here"),
        Route::Upload(upload) => match stranger(peer, &request) {
            Some(why) => {
                tracing::warn!("upload refused: {}", escaped(&why));
                said(StatusCode::UNAUTHORIZED, &why)
            }
            None => receive(service, upload, request).await,
        },
    }
}

/// Why `peer` may not upload.
fn stranger(peer: Peer, request: &Request<Incoming>) -> Option<String> {
    match peer {
        Peer::Trusted => None,
        Peer::Local if request.headers().contains_key(ORIGIN) => {
            Some("a web page may not upload here".to_owned())
        }
        Peer::Local => None,
        Peer::Stranger(why) => Some(why),
    }
}

async fn receive(service: Arc<Service>, upload: Upload, request: Request<Incoming>) -> Answer {
    let claim = match service.desk.claim() {
        Ok(claim) => claim,
        Err(refusal @ Refusal::Done) => return said(StatusCode::CONFLICT, &refusal.to_string()),
        Err(refusal) => return said(StatusCode::SERVICE_UNAVAILABLE, &refusal.to_string()),
    };
    let transfer = transfer::receive(service, claim, upload, request);
    let done = tokio::spawn(transfer).await.unwrap_or_else(|_| {
        Err(Failure::Pour(Error::new(Kind::Other, "a defect of diskpour ended the upload")))
    });
    match done {
        Ok(()) => said(StatusCode::OK, ""),
        Err(failure) => failed(failure),
    }
}

/// The answer to an upload that failed; its words are logged too.
fn failed(failure: Failure) -> Answer {
    let (status, words) = verdict(failure);
    let words = escaped(&redact::urls(&words));
    tracing::error!("{words}");
    said(status, &words)
}

fn verdict(failure: Failure) -> (StatusCode, String) {
    match failure {
        // The whole chain of causes, as the one error type prints it.
        Failure::Form(error) => (StatusCode::BAD_REQUEST, Error::new(Kind::Other, error).to_string()),
        Failure::Pour(error) if error.kind() == Kind::TargetFull => {
            let words = error.find::<SinkError>().and_then(SinkError::capacity_words);
            let words = words.unwrap_or_else(|| error.to_string());
            (StatusCode::BAD_REQUEST, format!("{FAILED}: {TOO_SMALL}: {words}"))
        }
        Failure::Pour(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{FAILED}: {error}")),
    }
}

/// An answer of one line of text.
fn said(status: StatusCode, text: &str) -> Answer {
    let line =
        if text.is_empty() || status == StatusCode::OK { text.to_owned() } else { format!("{text}\n") };
    let mut answer = Response::new(Full::new(Bytes::from(line)));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_too_small_is_the_clients_error_and_all_else_is_ours() {
        let small = SinkError::TooSmall { needed: 9, capacity: 8 };
        let (status, words) = verdict(Failure::Pour(small.into()));
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            words,
            "Saving stream failed: effective image size is larger than the reported available storage: \
             virtual image size 9 is larger than the reported available storage 8. A larger PVC is required"
        );
        for kind in [Kind::Image, Kind::Integrity, Kind::Unreachable, Kind::ScratchFull, Kind::Other] {
            let (status, words) = verdict(Failure::Pour(Error::new(kind, "why")));
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(words, "Saving stream failed: why");
        }
    }
}
