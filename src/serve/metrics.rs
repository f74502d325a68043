//! How far a pod is, over HTTPS, for a controller that asks now and then.
//!
//! The certificate is made at the start and belongs to nobody: the controller does not look at it.
//! Every path and every method has the same answer. A pod works without all this.
//!
//! Refuses to know: what is counted.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::crowd::Crowd;
use super::race::race;

/// Where the controller asks.
const PORT: u16 = 8443;

/// Connections at a time: one controller asks. One more takes the place of the oldest.
const CONNECTIONS: usize = 16;

/// The longest that a connection lives; the controller gives up after two seconds.
const LIFE: Duration = Duration::from_secs(10);

/// The most bytes of the head of a request.
const HEAD_SIZE: usize = 16 << 10;

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The type of the answer that Prometheus knows.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is asked for: tenths of a percent.
pub type Gauge = Arc<dyn Fn() -> u32 + Send + Sync>;

/// A counter that can be asked for as long as this lives.
#[derive(Debug)]
pub struct Metrics {
    /// Dropped to end the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Serves the counter `name` of the owner `uid` on port 8443; where that cannot be, says so in the log.
    #[must_use]
    pub fn start(name: &'static str, uid: &str, gauge: Gauge) -> Self {
        match served(name, uid, gauge) {
            Ok((end, thread)) => Self { end: Some(end), thread: Some(thread) },
            Err(error) => {
                tracing::warn!("progress cannot be asked for on port {PORT}: {error}");
                Self { end: None, thread: None }
            }
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // A defect of the counter is none of the import.
            let _ = thread.join();
        }
    }
}

type Served = (oneshot::Sender<()>, JoinHandle<()>);

fn served(name: &'static str, uid: &str, gauge: Gauge) -> Result<Served, Box<dyn StdError>> {
    let acceptor = acceptor()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(listen())?;
    let (end, ended) = oneshot::channel::<()>();
    let page = Page { name, uid: quoted(uid), gauge };
    let work = move || {
        runtime.block_on(async {
            // Both a word and the sender's end mean the end.
            race(accept(listener, acceptor, Arc::new(page)), async { drop(ended.await) }).await;
        });
        // Who is still connected learns nothing new.
        runtime.shutdown_background();
    };
    let thread = thread::Builder::new().name("metrics".to_owned()).spawn(work)?;
    Ok((end, thread))
}

/// TLS from 1.2 on, with a certificate of our own.
fn acceptor() -> Result<TlsAcceptor, Box<dyn StdError>> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["diskpour".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Every address of the pod, of either family where it has both.
async fn listen() -> std::io::Result<TcpListener> {
    let both = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))).await;
    match both {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await,
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, page: Arc<Page>) {
    let crowd = Crowd::new(CONNECTIONS);
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let seat = crowd.admit().await;
        let (acceptor, page) = (acceptor.clone(), Arc::clone(&page));
        tokio::spawn(async move {
            let talked = timeout(LIFE, talk(tcp, acceptor, page));
            race(talked, seat.lost()).await;
        });
    }
}

async fn talk(tcp: TcpStream, acceptor: TlsAcceptor, page: Arc<Page>) {
    let Ok(wire) = acceptor.accept(tcp).await else { return };
    let respond = service_fn(move |_: Request<Incoming>| {
        let answer = page.answer();
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LIFE)
        .max_header_size(HEAD_SIZE)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(wire), respond);
    // Who goes away in the middle asks again.
    let _ = connection.await;
}

/// The one page.
struct Page {
    name: &'static str,
    uid: String,
    gauge: Gauge,
}

impl Page {
    fn answer(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.text()));
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(TEXT));
        response
    }

    /// The exposition format of Prometheus; the controller reads the last line by a pattern.
    fn text(&self) -> String {
        let (Self { name, uid, .. }, tenths) = (self, (self.gauge)());
        let (whole, tenth) = (tenths / 10, tenths % 10);
        format!(
            "# HELP {name} What is done, in percent\n# TYPE {name} counter\n{name}{{ownerUID=\"{uid}\"}} {whole}.{tenth}\n"
        )
    }
}

/// `text` as it may stand between quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_one_that_the_controller_looks_for() {
        let page =
            Page { name: "kubevirt_cdi_import_progress_total", uid: quoted("a-b"), gauge: Arc::new(|| 123) };
        let text = page.text();
        let line = "kubevirt_cdi_import_progress_total{ownerUID=\"a-b\"} 12.3";
        assert_eq!(text.lines().last(), Some(line));
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 1);
        let full = Page { gauge: Arc::new(|| 1000), ..page };
        assert!(full.text().ends_with("} 100.0\n"));
        assert_eq!(quoted("a\"\\\n"), r#"a\"\\\n"#);
    }
}
