//! The server of node pull: it runs in the user's container image and hands the one disk image in it
//! to the importer beside it, over loopback.
//!
//! Refuses to know: what the image is. Nothing but that one file can be fetched, and what the
//! environment says of it.

mod answer;
mod content;
mod entry;
mod range;
mod signs;

use std::convert::Infallible;
use std::future::poll_fn;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::race::{Either, race};
use crate::config::ImageServer;
use crate::error::{Error, Kind};
use crate::progress::Stop;
use crate::report::escaped;

use answer::{Shelf, answer};
use entry::Entry;
use signs::Signs;

/// Connections at a time; more are not served before one has ended.
const CONNECTIONS: usize = 64;

/// How long a connection may be silent before its next request.
const IDLE: Duration = Duration::from_secs(60);

/// The most bytes of the head of a request.
const HEAD_SIZE: usize = 16 << 10;

/// How long answers under way may take when the importer is done.
const GRACE: Duration = Duration::from_secs(2);

/// How often the importer's sign and the wish to end are looked for.
const STEP: Duration = Duration::from_millis(100);

/// Serves the one image in the directory that `config` names, until the importer says that it is done.
///
/// # Errors
/// [`Kind::Image`] where the container holds no disk image, [`Kind::Other`] where there is nothing
/// to listen on or to say it in, the kind of the signal that ended the run.
pub fn run(config: &ImageServer, stop: &Stop) -> Result<(), Error> {
    let entry = Entry::find(Path::new("/"), &config.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(|cause| Error::new(Kind::Other, format!("cannot start the server: {cause}")))?;
    runtime.block_on(serve(config, entry, stop))
}

async fn serve(config: &ImageServer, entry: Entry, stop: &Stop) -> Result<(), Error> {
    let failed = |cause| Error::new(Kind::Other, format!("cannot listen on {}: {cause}", config.listen));
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let signs = Signs { ready: &config.ready, done: &config.done };
    let name = escaped(&entry.name().to_string_lossy());
    signs.say_ready(entry.name())?;
    tracing::info!("serving {name} on http://{address}");
    let shelf = Arc::new(Shelf::new(entry, &config.environment));
    match race(connections(listener, &shelf, finished(&signs)), stopped(stop)).await {
        Either::Left(()) => {
            signs.remove();
            tracing::info!("the importer is done");
            Ok(())
        }
        Either::Right(wish) => Err(wish),
    }
}

/// Serves what comes until `end`; then what is under way may end.
async fn connections(listener: TcpListener, shelf: &Arc<Shelf>, end: impl Future<Output = ()>) {
    let (over, _) = watch::channel(false);
    let (mut open, mut end) = (JoinSet::new(), pin!(end));
    loop {
        while open.try_join_next().is_some() {}
        let next = async {
            if open.len() >= CONNECTIONS {
                open.join_next().await;
            }
            listener.accept().await
        };
        match race(end.as_mut(), next).await {
            Either::Left(()) => return finish(open, &over).await,
            Either::Right(Ok((tcp, _))) => {
                open.spawn(talk(Arc::clone(shelf), tcp, over.subscribe()));
            }
            Either::Right(Err(error)) => {
                // A client that has gone already, or no descriptors left, which passes.
                tracing::warn!("cannot accept a connection: {error}");
                sleep(STEP).await;
            }
        }
    }
}

async fn finish(mut open: JoinSet<()>, over: &watch::Sender<bool>) {
    over.send_replace(true);
    // Who has not ended by then is cut off.
    let _ = timeout(GRACE, async { while open.join_next().await.is_some() {} }).await;
}

async fn talk(shelf: Arc<Shelf>, tcp: TcpStream, mut over: watch::Receiver<bool>) {
    let respond = service_fn(move |request: Request<Incoming>| {
        let shelf = Arc::clone(&shelf);
        async move { Ok::<_, Infallible>(answer(&shelf, &request)) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_header_size(HEAD_SIZE)
            .max_buf_size(HEAD_SIZE)
            .serve_connection(TokioIo::new(tcp), respond)
    );
    let ends = async { over.wait_for(|over| *over).await.map_or((), |_| ()) };
    let done = match race(poll_fn(|context| connection.as_mut().poll(context)), ends).await {
        Either::Left(done) => done,
        Either::Right(()) => {
            Pin::as_mut(&mut connection).graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!("a connection ended: {error}");
    }
}

/// Waits for the importer's sign.
async fn finished(signs: &Signs<'_>) {
    while !signs.is_done() {
        sleep(STEP).await;
    }
}

/// Waits for the wish to end.
async fn stopped(stop: &Stop) -> Error {
    loop {
        match stop.check() {
            Ok(()) => sleep(STEP).await,
            Err(wish) => return wish,
        }
    }
}
