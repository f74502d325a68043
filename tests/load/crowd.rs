//! Clients that mean no good: what each of them sends first, and how it goes on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::certificates::Authority;
use crate::common::noise;

/// One way to be a nuisance.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// What the client with this number sends first.
    opening: fn(usize) -> Vec<u8>,
    then: Then,
    /// What the client needs for TLS, if it speaks that at all.
    tls: Option<Arc<ClientConfig>>,
}

/// How a client goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It stays, and neither sends nor reads.
    Stay,
    /// It sends a byte now and then.
    Drip,
    /// It ends what it sends, and stays.
    HalfClose,
}

const fn kind(name: &'static str, opening: fn(usize) -> Vec<u8>, then: Then) -> Kind {
    Kind { name, opening, then, tls: None }
}

/// Kinds at a port without TLS. The first says nothing at all.
pub(super) const PLAIN: &[Kind] = &[
    kind("silent", |_| Vec::new(), Then::Stay),
    kind("random bytes", |number| noise(4096, number as u64), Then::Stay),
    kind("a head byte by byte", head, Then::Drip),
    kind("a body that stalls", body, Then::Stay),
    kind("a body byte by byte", body, Then::Drip),
    kind(
        "a large header",
        |_| [b"GET /healthz HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 128 << 10]].concat(),
        Then::Stay,
    ),
    kind(
        "many headers",
        |_| format!("GET /healthz HTTP/1.1\r\n{}", "A: b\r\n".repeat(5000)).into(),
        Then::Drip,
    ),
    kind("half-closed", head, Then::HalfClose),
    kind("answers that nobody reads", |_| ASK.repeat(3000).into(), Then::Stay),
];

/// Kinds at a port with TLS that never get through the handshake.
pub(super) const SEALED: &[Kind] = &[
    kind("silent", |_| Vec::new(), Then::Stay),
    kind("random bytes", |number| noise(4096, number as u64), Then::Stay),
    kind("plain HTTP", head, Then::Drip),
    // The head of a record of 512 bytes that is to hold a ClientHello.
    kind("a handshake byte by byte", |_| vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3], Then::Drip),
    kind("half-closed", |_| vec![22, 3, 1, 2, 0], Then::HalfClose),
];

const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n";

fn head(_: usize) -> Vec<u8> {
    b"POST /v1beta1/upload HTTP/1.1\r\nHost: here\r\nX-Slow: ".to_vec()
}

fn body(_: usize) -> Vec<u8> {
    b"POST /v1beta1/upload HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\nbegin".to_vec()
}

/// Kinds that do get through the handshake, with a server of `authority`.
pub(super) fn within(authority: &Authority) -> Vec<Kind> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth());
    let silent = kind("silent within TLS", |_| Vec::new(), Then::Stay);
    let kinds = [
        silent,
        kind("a head within TLS, byte by byte", head, Then::Drip),
        kind("a body within TLS", body, Then::Stay),
    ];
    kinds.map(|kind| Kind { tls: Some(Arc::clone(&tls)), ..kind }).to_vec()
}

/// Clients that stay until this is dropped.
pub(super) struct Crowd {
    wires: Vec<Wire>,
    then: Then,
}

enum Wire {
    Plain(TcpStream),
    Sealed(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Crowd {
    /// `many` clients of `kind` at `address`. That the server sends some of them away is its right.
    pub(super) fn gather(kind: &Kind, address: SocketAddr, many: usize) -> Self {
        let wires = (0..many).map(|number| Wire::open(kind, number, address)).collect();
        Self { wires, then: kind.then }
    }

    /// Does what its clients do now and then.
    pub(super) fn go_on(&mut self) {
        for wire in self.wires.iter_mut().filter(|_| self.then == Then::Drip) {
            wire.send(b"x");
        }
    }
}

impl Wire {
    fn open(kind: &Kind, number: usize, address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut wire = match &kind.tls {
            None => Self::Plain(tcp),
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                let session = ClientConnection::new(Arc::clone(tls), name).unwrap();
                let mut wire = StreamOwned::new(session, tcp);
                wire.conn.complete_io(&mut wire.sock).ok();
                Self::Sealed(Box::new(wire))
            }
        };
        wire.send(&(kind.opening)(number));
        if let (Then::HalfClose, Self::Plain(tcp)) = (kind.then, &wire) {
            tcp.shutdown(Shutdown::Write).ok();
        }
        wire
    }

    /// Sends what the server takes; one that has hung up takes nothing.
    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(tcp) => drop(tcp.write_all(bytes)),
            Self::Sealed(wire) => drop(wire.write_all(bytes)),
        }
    }
}

#[test]
fn clients_send_what_they_are_to_send() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut crowd = Crowd::gather(
        &kind("drip", |number| number.to_string().into(), Then::Drip),
        listener.local_addr().unwrap(),
        2,
    );
    crowd.go_on();
    for _ in 0..2 {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut bytes = [0; 2];
        tcp.read_exact(&mut bytes).unwrap();
        assert!(matches!(&bytes, b"0x" | b"1x"), "{bytes:?}");
    }
}
