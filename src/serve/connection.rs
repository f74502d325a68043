//! One connection: its handshake, its requests, and an end that lets the client read the answer.
//!
//! Refuses to know: what the requests want. Every wait has a limit.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::Service;
use super::crowd::Seat;
use super::race::{Either, race};
use super::request::{Peer, answer};
use super::tls;
use crate::config::Clients;

/// The most time for a TLS handshake, and for the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// The most bytes of the head of a request.
const HEAD_SIZE: usize = 64 << 10;

/// How long a client may be silent while what it still sends is thrown away after its answer: a
/// connection that is closed before everything was read is reset, and the reset can overtake the answer.
const SILENCE: Duration = Duration::from_secs(2);

/// How long that goes on in all; who writes everything before it reads may take a while.
const LINGER: Duration = Duration::from_secs(30);

/// How connections begin.
pub(super) enum Door {
    /// Without TLS.
    Plain,
    /// With TLS, where these may upload.
    Tls(TlsAcceptor, Clients),
}

/// Serves a connection that came from somewhere, until it ends or the server is `over`.
pub(super) async fn serve(
    service: Arc<Service>,
    (tcp, from, seat): (TcpStream, SocketAddr, Arc<Seat>),
    mut over: watch::Receiver<bool>,
) {
    // Answers are short and should not wait for more.
    let _ = tcp.set_nodelay(true);
    let (acceptor, clients) = match &service.door {
        Door::Plain => return talk(service, Peer::Local, (tcp, seat), over).await,
        Door::Tls(acceptor, clients) => (acceptor.clone(), clients),
    };
    let accepted = timeout(HEAD, acceptor.accept(tcp));
    let Either::Left(accepted) = race(accepted, ended(&mut over)).await else { return };
    match accepted {
        Ok(Ok(stream)) => {
            let peer = tls::peer(clients, stream.get_ref().1);
            talk(service, peer, (stream, seat), over).await;
        }
        Ok(Err(error)) => tracing::info!("{from}: the TLS handshake failed: {error}"),
        Err(_) => tracing::info!("{from}: the TLS handshake took too long"),
    }
}

/// Waits for the server's wish to end.
async fn ended(over: &mut watch::Receiver<bool>) {
    // An error means that the server has gone, and with it the server's wish.
    let _ = over.wait_for(|over| *over).await;
}

/// A byte stream over TCP.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn talk(
    service: Arc<Service>,
    peer: Peer,
    (wire, seat): (impl Wire, Arc<Seat>),
    mut over: watch::Receiver<bool>,
) {
    let respond = service_fn(move |request: Request<Incoming>| {
        let (service, peer, work) = (Arc::clone(&service), peer.clone(), seat.work());
        Box::pin(async move {
            let answer = answer(service, peer, request).await;
            drop(work);
            Ok::<_, Infallible>(answer)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(HEAD_SIZE)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(wire), respond);
    let talked = poll_fn(|context| connection.poll_without_shutdown(context));
    let done = match race(talked, ended(&mut over)).await {
        Either::Left(done) => done,
        Either::Right(()) => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|context| connection.poll_without_shutdown(context)).await
        }
    };
    if let Err(error) = done {
        tracing::debug!("a connection ended: {error}");
    }
    let wire = connection.into_parts().io.into_inner();
    // What comes later than this may be reset.
    let _ = timeout(LINGER, race(linger(wire), ended(&mut over))).await;
}

/// Ends `wire` without a reset: until the client has ended too, or is silent.
async fn linger(mut wire: impl Wire) {
    // A client that has gone needs no farewell.
    let farewell = poll_fn(|context| Pin::new(&mut wire).poll_shutdown(context));
    if !matches!(timeout(SILENCE, farewell).await, Ok(Ok(()))) {
        return;
    }
    let mut waste = vec![0; HEAD_SIZE];
    while let Ok(Ok(())) = timeout(SILENCE, wire.tcp().readable()).await {
        match wire.tcp().try_read(&mut waste) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
