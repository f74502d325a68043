//! A clone target that keeps what it is sent: TLS that wants a certificate, one request, one answer.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::bench::Bench;
use crate::common::qemu::tool;

/// A target that listens.
pub(super) struct Capture {
    thread: Option<JoinHandle<Result<Request, String>>>,
}

/// What came.
pub(super) struct Request {
    head: Vec<String>,
    /// The body, its chunks undone.
    pub(super) plain: Vec<u8>,
}

type Wire = BufReader<StreamOwned<ServerConnection, TcpStream>>;

impl Capture {
    /// A target that answers `status`: a good one after the whole body, another one at once.
    pub(super) fn start(bench: &Bench, status: u16) -> Self {
        let config = Arc::new(config(bench));
        let listener = TcpListener::bind("127.0.0.1:8443").unwrap();
        let thread = thread::spawn(move || {
            let (tcp, _) = listener.accept().map_err(|error| error.to_string())?;
            drop(listener);
            let session = ServerConnection::new(config).map_err(|error| error.to_string())?;
            serve(BufReader::new(StreamOwned::new(session, tcp)), status).map_err(|error| error.to_string())
        });
        Self { thread: Some(thread) }
    }

    /// What came, when all of it did.
    pub(super) fn finish(mut self) -> Request {
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Where nobody came, nobody is waited for.
            TcpStream::connect("127.0.0.1:8443").ok();
            thread.join().ok();
        }
    }
}

fn serve(mut wire: Wire, status: u16) -> std::io::Result<Request> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        wire.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let mut body = Vec::new();
    if status < 300 {
        while let Some(chunk) = chunk(&mut wire)? {
            body.extend(chunk);
        }
    }
    let answer =
        format!("HTTP/1.1 {status} Here\r\nContent-Length: 0\r\nLocation: /\r\nConnection: close\r\n\r\n");
    wire.get_mut().write_all(answer.as_bytes())?;
    wire.get_mut().flush()?;
    // Read on, as a connection that is closed before is reset.
    std::io::copy(&mut wire, &mut std::io::sink()).ok();
    let mut plain = Vec::new();
    snap::read::FrameDecoder::new(body.as_slice()).read_to_end(&mut plain)?;
    Ok(Request { head, plain })
}

/// The next chunk of a body; none at its end.
fn chunk(wire: &mut Wire) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    wire.read_line(&mut line)?;
    let len = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; len + 2];
    wire.read_exact(&mut bytes)?;
    assert_eq!(bytes.split_off(len), b"\r\n");
    Ok((len > 0).then_some(bytes))
}

fn config(bench: &Bench) -> ServerConfig {
    let at = |name: &str| bench.papers.dir.join(name);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(at("ca.crt")).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(at("server.crt")).unwrap()],
            PrivateKeyDer::from_pem_file(at("server.key")).unwrap(),
        )
        .unwrap()
}

impl Request {
    /// The value of the header `name`.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What GNU tar says of the archive with `args`.
    pub(super) fn tar(&self, dir: &Path, args: &[&str]) -> String {
        let path = dir.join("captured.tar");
        fs::write(&path, &self.plain).unwrap();
        let file = path.to_str().unwrap();
        tool("tar", [&["--quoting-style=literal"], args, &["-f", file]].concat())
    }
}
