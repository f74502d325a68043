//! An HTTP proxy on loopback that knows made-up host names, and writes down who asked for what.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::certificates::Identity;

/// One request to the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    /// The method.
    pub(crate) method: String,
    /// What was asked for: a URL, or a host and a port.
    pub(crate) target: String,
    /// The header Proxy-Authorization, or nothing.
    pub(crate) proof: String,
    /// The header User-Agent, or nothing.
    pub(crate) agent: String,
}

/// How the proxy works.
#[derive(Default)]
pub(crate) struct Rules {
    /// With TLS, as this server.
    pub(crate) tls: Option<Identity>,
    /// Who may pass, as `user:password`; anybody if empty.
    pub(crate) user: &'static str,
    /// `host:port` as asked for, and the port of loopback where that really is.
    pub(crate) hosts: Vec<(&'static str, u16)>,
}

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    visits: Arc<Mutex<Vec<Visit>>>,
    _runtime: Runtime,
}

impl Proxy {
    pub(crate) fn start(rules: Rules) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let visits = Arc::default();
        runtime.spawn(accept(listener, Arc::new(rules), Arc::clone(&visits)));
        Self { port, visits, _runtime: runtime }
    }

    /// What was asked so far.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, rules: Arc<Rules>, visits: Arc<Mutex<Vec<Visit>>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let acceptor = rules.tls.as_ref().map(acceptor);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (rules, visits, acceptor) = (Arc::clone(&rules), Arc::clone(&visits), acceptor.clone());
        tokio::spawn(async move {
            // A client may go away at any moment, and some tests want it to.
            let _ = match acceptor {
                None => converse(stream, &rules, &visits).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => converse(stream, &rules, &visits).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves one request; its connection is not used again.
async fn converse(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    rules: &Rules,
    visits: &Mutex<Vec<Visit>>,
) -> io::Result<()> {
    let head = head(&mut client).await?;
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let proof = header(&head, "proxy-authorization");
    visits.lock().unwrap().push(Visit {
        method: method.clone(),
        target: target.clone(),
        proof: proof.clone(),
        agent: header(&head, "user-agent"),
    });
    if !rules.user.is_empty() && proof != wanted(rules.user) {
        return client.write_all(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    }
    let Some(address) = address(&target, rules) else {
        return client.write_all(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    };
    let mut server = TcpStream::connect(address).await?;
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Yes\r\n\r\n").await?;
    } else {
        server.write_all(passed_on(&head, &target).as_bytes()).await?;
    }
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

async fn head(client: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

fn header(head: &str, name: &str) -> String {
    let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or_else(String::new, |(_, v)| v.to_owned())
}

fn wanted(user: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user))
}

/// Where `target` really is.
fn address(target: &str, rules: &Rules) -> Option<SocketAddr> {
    let host = target.split("://").last()?.split('/').next()?;
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let (_, port) = rules.hosts.iter().find(|(name, _)| **name == host)?;
    Some(SocketAddr::from(([127, 0, 0, 1], *port)))
}

/// The request as the server wants it: a path in place of the URL, and nothing for the proxy.
fn passed_on(head: &str, target: &str) -> String {
    let path =
        target.split("://").last().and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or("/");
    let mut lines = vec![head.lines().next().unwrap().replacen(target, path, 1)];
    let hop = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("proxy-") || line.starts_with("connection:")
    };
    lines.extend(head.trim_end().lines().skip(1).filter(|line| !hop(line)).map(str::to_owned));
    lines.push("Connection: close\r\n\r\n".to_owned());
    lines.join("\r\n")
}
