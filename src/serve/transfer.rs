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
use super::job::{Delivery, Job};
use super::race::{Either, race};
use super::route::{Framing, Payload, Upload};
use super::state::Claim;
use crate::error::{Error, Kind};
use crate::progress::Stop;
use crate::report::Reporter;

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
    let job = Job::of(payload, upload.answer, &service.config).map_err(Failure::Pour)?;
    let idle = service.config.import.idle_timeout;
    let inflow = match upload.framing {
        Framing::Whole => Inflow::Whole(Metered::new(request.into_body(), idle)),
        Framing::Form => {
            let boundary = form::boundary(request.headers())?;
            Inflow::Form(FilePart::find(Metered::new(request.into_body(), idle), boundary).await?)
        }
    };
    let delivery = store(&service, &claim, job, inflow).await.map_err(Failure::Pour)?;
    claim.done(delivery);
    Ok(())
}

/// Brings `inflow` to its place while it arrives.
async fn store(service: &Arc<Service>, claim: &Claim, job: Job, inflow: Inflow) -> Result<Delivery, Error> {
    service.progress.restart();
    let (inlet, arrival) = bridge(inflow.promised(), &service.progress, claim.stop());
    let mut run = start(Arc::clone(service), job, arrival, Arc::clone(claim.stop()));
    let received = async {
        if pump(inflow, inlet).await == Pumped::All {
            claim.received();
        }
    };
    // One that fails early ends a client that may be slow, or silent.
    match race(received, &mut run).await {
        Either::Left(()) => ended(run.await),
        Either::Right(done) => ended(done),
    }
}

/// The job in a thread where it may block, with its progress shown.
fn start(
    service: Arc<Service>,
    job: Job,
    arrival: Arrival,
    stop: Arc<Stop>,
) -> JoinHandle<Result<Delivery, Error>> {
    spawn_blocking(move || {
        let reporter = Reporter::start(&service.progress, service.config.import.progress, &service.pen);
        let delivery = job.run(&service.config, arrival, &service.progress, &stop);
        reporter.finish();
        delivery
    })
}

fn ended(joined: Result<Result<Delivery, Error>, JoinError>) -> Result<Delivery, Error> {
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
