//! One upload: the body flows into an import while it arrives.
//!
//! Refuses to know: status codes, who the client is. It runs in a task of its own: a client that
//! goes away ends it through its body alone, so that an image that is here as a whole is finished.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::Service;
use super::body::Metered;
use super::bridge::{Arrival, Inlet, bridge};
use super::form::{self, FilePart, FormError};
use super::race::{Either, race};
use super::route::{Answer, Framing, Payload, Upload};
use super::state::Claim;
use crate::config::{ContentType, ImportConfig};
use crate::error::{Error, Kind};
use crate::import::{self, Origin};
use crate::matrix::Endpoint;
use crate::progress::Stop;
use crate::report::{Outcome, Reporter};

/// Why an upload failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The request is not as it must be.
    #[error(transparent)]
    Form(FormError),
    /// The image could not be poured.
    #[error(transparent)]
    Pour(Error),
}

impl From<FormError> for Failure {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Body(error) => Self::Pour(error),
            error => Self::Form(error),
        }
    }
}

/// Takes what `request` brings to the target, and settles `claim` when it is there durably.
pub(super) async fn receive(
    service: Arc<Service>,
    claim: Claim,
    upload: Upload,
    request: Request<Incoming>,
) -> Result<(), Failure> {
    let payload = Payload::of(upload, request.headers());
    let idle = service.config.import.idle_timeout;
    let inflow = match upload.framing {
        Framing::Whole => Inflow::Whole(Metered::new(request.into_body(), idle)),
        Framing::Form => {
            let boundary = form::boundary(request.headers())?;
            Inflow::Form(FilePart::find(Metered::new(request.into_body(), idle), boundary).await?)
        }
    };
    let outcome = store(&service, &claim, payload, upload.answer, inflow).await.map_err(Failure::Pour)?;
    claim.done(outcome);
    Ok(())
}

/// Brings `inflow` to its place by the way that its kind takes.
async fn store(
    service: &Arc<Service>,
    claim: &Claim,
    payload: Payload,
    answer: Answer,
    inflow: Inflow,
) -> Result<Outcome, Error> {
    let refused = |words: &'static str| Err(Error::new(Kind::Other, words));
    match (payload, answer) {
        // Both answers come when the target is durable. The asynchronous one might come earlier, when
        // the image is here and valid; as it is poured while it arrives, that is the same moment
        // but for the last flush, and a failure of that flush can still be told to the client.
        (Payload::Image, Answer::Finished | Answer::Received) => {
            pour(service, claim, ContentType::Kubevirt, inflow).await
        }
        (Payload::Archive, _) => pour(service, claim, ContentType::Archive, inflow).await,
        (Payload::BlockClone | Payload::FilesystemClone, Answer::Received) => {
            refused("async clone not supported")
        }
        (Payload::BlockClone | Payload::FilesystemClone, Answer::Finished) => refused("clones come later"),
    }
}

/// Pours an image, or unpacks an archive, while it arrives.
async fn pour(
    service: &Arc<Service>,
    claim: &Claim,
    content: ContentType,
    inflow: Inflow,
) -> Result<Outcome, Error> {
    service.progress.restart();
    let (inlet, arrival) = bridge(inflow.promised(), &service.progress, claim.stop());
    let config = ImportConfig { content_type: content, ..service.config.import.clone() };
    let mut import = start(Arc::clone(service), config, arrival, Arc::clone(claim.stop()));
    let received = async {
        if pump(inflow, inlet).await == Pumped::All {
            claim.received();
        }
    };
    // An import that fails early ends a client that may be slow, or silent.
    match race(received, &mut import).await {
        Either::Left(()) => ended(import.await),
        Either::Right(done) => ended(done),
    }
}

/// The import in a thread where it may block, with its progress shown.
fn start(
    service: Arc<Service>,
    config: ImportConfig,
    arrival: Arrival,
    stop: Arc<Stop>,
) -> JoinHandle<Result<Outcome, Error>> {
    spawn_blocking(move || {
        let reporter = Reporter::start(&service.progress, config.progress, &service.pen);
        let origin = Origin { source: Box::new(arrival), endpoint: Endpoint::Upload };
        let outcome = import::pour(&config, origin, &service.progress, &stop);
        reporter.finish();
        outcome
    })
}

fn ended(joined: Result<Result<Outcome, Error>, JoinError>) -> Result<Outcome, Error> {
    joined.unwrap_or_else(|_| Err(Error::new(Kind::Other, "a defect of diskpour ended the upload")))
}

/// Where the image's bytes come from.
enum Inflow {
    /// The whole body.
    Whole(Metered),
    /// The file in a form.
    Form(FilePart),
}

impl Inflow {
    /// The length of the image where it is known.
    fn promised(&self) -> Option<u64> {
        match self {
            Self::Whole(body) => body.promised(),
            Self::Form(_) => None,
        }
    }

    /// The next bytes; none at an end that is proven.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Self::Form(part) => part.next().await,
            Self::Whole(body) => loop {
                match body.frame().await.transpose()?.map(hyper::body::Frame::into_data) {
                    Some(Ok(bytes)) => return Ok(Some(bytes)),
                    // Trailers say nothing that we asked for.
                    Some(Err(_)) => {}
                    None => return Ok(None),
                }
            },
        }
    }
}

/// How a transfer ended on the network's side.
#[derive(Debug, PartialEq, Eq)]
enum Pumped {
    All,
    Part,
}

/// Passes `inflow` on to its end, which it says to `inlet` too.
async fn pump(mut inflow: Inflow, inlet: Inlet) -> Pumped {
    loop {
        match inflow.next().await {
            Ok(Some(bytes)) if bytes.is_empty() => {}
            Ok(Some(bytes)) => {
                if inlet.pass(bytes).await.is_err() {
                    return Pumped::Part;
                }
            }
            Ok(None) => {
                inlet.end();
                return Pumped::All;
            }
            Err(error) => {
                inlet.fail(error);
                return Pumped::Part;
            }
        }
    }
}
