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
use super::race::{Either, race};
use super::request::{Peer, answer};
use super::tls;
use crate::config::Clients;

/// The most time for a TLS handshake, and for the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// The most bytes of the head of a request.
const HEAD_SIZE: usize = 64 << 10;

/// How long what a client still sends is thrown away after its answer: a connection that is closed
/// before everything was read is reset, and the reset can overtake the answer.
const LINGER: Duration = Duration::from_secs(2);

/// How connections begin.
pub(super) enum Door {
    /// Without TLS.
    Plain,
    /// With TLS, where these may upload.
    Tls(TlsAcceptor, Clients),
}

/// Serves the connection `tcp` that came `from` somewhere, until it ends or the server is `over`.
pub(super) async fn serve(
    service: Arc<Service>,
    tcp: TcpStream,
    from: SocketAddr,
    over: watch::Receiver<bool>,
) {
    // Answers are short and should not wait for more.
    let _ = tcp.set_nodelay(true);
    let (acceptor, clients) = match &service.door {
        Door::Plain => return talk(service, Peer::Local, tcp, over).await,
        Door::Tls(acceptor, clients) => (acceptor.clone(), clients),
    };
    match timeout(HEAD, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => {
            let peer = tls::peer(clients, stream.get_ref().1);
            talk(service, peer, stream, over).await;
        }
        Ok(Err(error)) => tracing::info!("{from}: the TLS handshake failed: {error}"),
        Err(_) => tracing::info!("{from}: the TLS handshake took too long"),
    }
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

async fn talk(service: Arc<Service>, peer: Peer, wire: impl Wire, mut over: watch::Receiver<bool>) {
    let respond = service_fn(move |request: Request<Incoming>| {
        let (service, peer) = (Arc::clone(&service), peer.clone());
        Box::pin(async move { Ok::<_, Infallible>(answer(service, peer, request).await) })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(HEAD_SIZE)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(wire), respond);
    // An error means that the server has gone, and with it the server's wish.
    let ends = async { over.wait_for(|over| *over).await.map_or((), |_| ()) };
    let talked = poll_fn(|context| connection.poll_without_shutdown(context));
    let done = match race(talked, ends).await {
        Either::Left(done) => done,
        Either::Right(()) => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|context| connection.poll_without_shutdown(context)).await
        }
    };
    if let Err(error) = done {
        tracing::debug!("a connection ended: {error}");
    }
    linger(connection.into_parts().io.into_inner()).await;
}

/// Ends `wire` without a reset.
async fn linger(mut wire: impl Wire) {
    let ending = async {
        // A client that has gone needs no farewell.
        if poll_fn(|context| Pin::new(&mut wire).poll_shutdown(context)).await.is_err() {
            return;
        }
        let mut waste = vec![0; HEAD_SIZE];
        while wire.tcp().readable().await.is_ok() {
            match wire.tcp().try_read(&mut waste) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    // What comes later than this may be reset.
    let _ = timeout(LINGER, ending).await;
}
