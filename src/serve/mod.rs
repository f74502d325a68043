//! The upload server: an image comes to us in an HTTP request, as CDI's clients send it.
//!
//! Refuses to know: flags and environment, how images are decoded and written. Asynchronous code
//! stays within this room: an import reads what arrives by blocking calls in a thread of its own.
//!
//! ```text
//! connection ─► request ─► state (one claim) ─► transfer ─► body, form ─► bridge ─► import::pour
//! ```

mod body;
mod bridge;
mod ciphers;
mod connection;
pub mod container;
mod crowd;
mod form;
mod job;
mod metrics;
mod name;
mod race;
mod request;
mod route;
mod state;
mod tls;
mod transfer;

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::config::{Clients, ImportConfig, Overwrite, Security, ServeConfig};
use crate::error::{Error, Kind};
use crate::progress::{Progress, Stop};
use crate::report::Pen;
use crate::report::termination::Termination;
use crate::sink::{self, Existing, TargetSpec};

pub use metrics::{Gauge, Metrics};

use connection::Door;
use crowd::{Crowd, Seat};
pub use job::Delivery;
use race::{Either, race};
use state::Desk;

/// Connections at a time; one more takes the place of who has been idle the longest.
const CONNECTIONS: usize = 128;

/// How long open connections may take to end after the upload that succeeded.
const GRACE: Duration = Duration::from_secs(5);

/// How long they may take after a signal, which itself is not patient.
const HASTE: Duration = Duration::from_millis(400);

/// How often the wish to end is looked at.
const STEP: Duration = Duration::from_millis(50);

/// What all requests share.
struct Service {
    config: ServeConfig,
    door: Door,
    desk: Arc<Desk>,
    progress: Arc<Progress>,
    pen: Pen,
}

/// How a server ends that nothing has broken.
#[derive(Clone, Debug)]
pub enum Ending {
    /// An upload succeeded.
    Delivered(Box<Delivery>),
    /// Its time was over before one did.
    DeadlinePassed,
}

impl Ending {
    /// What the server says as a pod.
    #[must_use]
    pub fn termination(&self) -> Termination {
        match self {
            Self::Delivered(delivery) => Termination {
                preallocation_applied: Some(delivery.preallocated),
                message: if delivery.cloned { "Clone Complete" } else { "Upload Complete" }.to_owned(),
                ..Termination::default()
            },
            Self::DeadlinePassed => Termination {
                deadline_passed: Some(true),
                message: "Deadline Passed".to_owned(),
                ..Termination::default()
            },
        }
    }
}

/// Takes uploads until one has succeeded, or a pod's deadline has passed; says through `pen` where it
/// listens.
///
/// # Errors
/// [`Kind::Usage`] for a target or certificates that cannot be used, [`Kind::Other`] where there is
/// nothing to listen on, the kind of the signal that ended the run. An upload that fails is told
/// to its client, and is no error of the run.
pub fn run(
    config: &ServeConfig,
    pen: &Pen,
    progress: &Arc<Progress>,
    stop: &Arc<Stop>,
) -> Result<Ending, Error> {
    // What an earlier container left must not stand in the way.
    job::ready(config)?;
    check_target(&config.import, progress)?;
    let service = Arc::new(Service {
        config: config.clone(),
        door: door(&config.security)?,
        desk: Arc::default(),
        progress: Arc::clone(progress),
        pen: pen.clone(),
    });
    let failed = |cause| Error::new(Kind::Other, format!("cannot start the server: {cause}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(failed)?;
    // Dropping the runtime ends its tasks, and waits for an import that is under way.
    runtime.block_on(async {
        let listener = listen(&service).await?;
        let ended = accept(&service, listener, stop).await;
        ended.map_or_else(|| Err(reason(stop)), Ok)
    })
}

/// That the target can be one, before anybody sends an image for it.
fn check_target(import: &ImportConfig, progress: &Arc<Progress>) -> Result<(), Error> {
    if import.target.is_dir() {
        // Archives go there; an image does not, as its upload will be told.
        return Ok(());
    }
    let existing = match import.overwrite {
        Overwrite::Refuse => Existing::Refuse,
        Overwrite::Force => Existing::Overwrite,
    };
    let spec = TargetSpec {
        path: import.target.clone(),
        preallocation: import.preallocation,
        existing,
        max_size: import.max_size,
    };
    // Opening changes nothing, and what was opened is closed at once.
    drop(sink::open(&spec, Arc::clone(progress))?);
    Ok(())
}

fn door(security: &Security) -> Result<Door, Error> {
    let Security::Tls(tls) = security else { return Ok(Door::Plain) };
    if tls.clients == Clients::Anyone {
        tracing::warn!("without --client-ca, anybody who can reach the server may upload");
    }
    Ok(Door::Tls(TlsAcceptor::from(tls::server(tls)?), tls.clients.clone()))
}

async fn listen(service: &Service) -> Result<TcpListener, Error> {
    let wanted = service.config.listen;
    let failed = |cause| Error::new(Kind::Other, format!("cannot listen on {wanted}: {cause}"));
    let listener = bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let scheme = if matches!(service.door, Door::Plain) { "http" } else { "https" };
    // Where nobody reads it, nobody needs it.
    let _ = writeln!(service.pen.clone(), "diskpour: listening on {scheme}://{address}");
    Ok(listener)
}

/// Listens on `wanted`; where that is every address, on those of the family that there is.
async fn bind(wanted: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(wanted).await {
        Err(error) if wanted.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, wanted.port())).await
        }
        bound => bound,
    }
}

/// Serves connections until an upload has succeeded or the end is wished for.
async fn accept(service: &Arc<Service>, listener: TcpListener, stop: &Stop) -> Option<Ending> {
    let (over, _) = watch::channel(false);
    let (crowd, mut connections) = (Crowd::new(CONNECTIONS), JoinSet::new());
    loop {
        let end = race(service.desk.done(), over_time(service, stop));
        match race(next(&listener, &crowd), end).await {
            Either::Left((seat, tcp, from)) => {
                let whose = (tcp, from, Arc::clone(&seat));
                let served = connection::serve(Arc::clone(service), whose, over.subscribe());
                connections.spawn(async move {
                    race(served, seat.lost()).await;
                });
                while connections.try_join_next().is_some() {}
            }
            Either::Right(_) => break,
        }
    }
    drop(listener);
    over.send_replace(true);
    if stop.asked() {
        service.desk.close(reason(stop).kind());
    }
    let all = async { while connections.join_next().await.is_some() {} };
    let hurried = async {
        stopped(stop).await;
        sleep(HASTE).await;
    };
    // Who has not ended by now is cut off.
    let _ = timeout(GRACE, race(all, hurried)).await;
    let delivered = service.desk.take_delivery().map(|delivery| Ending::Delivered(Box::new(delivery)));
    delivered.or_else(|| (!stop.asked()).then_some(Ending::DeadlinePassed))
}

/// The next connection, and a seat for it.
async fn next(listener: &TcpListener, crowd: &Crowd) -> (Arc<Seat>, TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((tcp, from)) => return (crowd.admit().await, tcp, from),
            Err(error) => {
                // A client that has gone already, or no descriptors left, which passes.
                tracing::warn!("cannot accept a connection: {error}");
                sleep(STEP).await;
            }
        }
    }
}

/// Waits for the wish to end, or for the deadline of a pod and the end of an upload after it.
async fn over_time(service: &Service, stop: &Stop) {
    let deadline = service.config.pod.as_ref().and_then(|pod| pod.deadline);
    // A clock that is set anew changes how long that is.
    let passed = || deadline.is_some_and(|deadline| SystemTime::now() >= deadline);
    while !stop.asked() {
        if passed() {
            service.desk.retire();
            if service.desk.is_idle() {
                return;
            }
        }
        sleep(STEP).await;
    }
}

/// Waits for the wish to end.
async fn stopped(stop: &Stop) {
    while !stop.asked() {
        sleep(STEP).await;
    }
}

/// Why the run ends without an upload.
fn reason(stop: &Stop) -> Error {
    let other = || Error::new(Kind::Other, "the server ended without an upload");
    stop.check().err().unwrap_or_else(other)
}
