//! A container registry over plain HTTP within the test: it answers as the test wants, and keeps
//! what it was asked.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::oci::OciLayout;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// One answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// A Content-Length other than the body's.
    pub(crate) length: Option<String>,
    /// The body has no length: it ends with the connection.
    pub(crate) unsized_body: bool,
    /// The pause after every 256 KiB of the body.
    pub(crate) pause: Duration,
}

impl Reply {
    /// An answer without a body.
    pub(crate) fn status(status: u16) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        let pause = Duration::ZERO;
        Self { status, headers, body, cut: None, length: None, unsized_body: false, pause }
    }

    /// The body `text`.
    pub(crate) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self { body: text.into(), ..Self::status(200) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// A running registry; it ends when dropped.
pub(crate) struct Depot {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    closing: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Depot {
    /// Answers by `answer`, at the loopback address `host`.
    pub(crate) fn start(host: &str, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::at((host, 0), answer)
    }

    /// As [`Depot::start`], at an address that the test chooses.
    pub(crate) fn at(
        address: impl ToSocketAddrs,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, closing) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::new(AtomicBool::new(false)));
        let (log, end, answer): (_, _, Arc<Answer>) = (seen.clone(), closing.clone(), Arc::new(answer));
        let listener = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if end.load(SeqCst) {
                    return;
                }
                let (log, answer) = (log.clone(), answer.clone());
                // A client that hangs up in the middle is its own affair.
                thread::spawn(move || drop(converse(&stream, &log, &*answer)));
            }
        });
        Self { address, seen, closing, listener: Some(listener) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        self.closing.store(true, SeqCst);
        // One more connection wakes the listener up.
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

/// The answers of a registry that holds what `layout` calls `latest` as the repository `disks`.
pub(crate) fn shelves(layout: &OciLayout) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    let dir = layout.dir().to_owned();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("index.json")).unwrap()).unwrap();
    let latest = index["manifests"][0].clone();
    move |request| {
        let (kind, name) = match request.path.strip_prefix("/v2/disks/").and_then(|rest| rest.split_once('/'))
        {
            Some(("manifests", "latest")) => ("manifests", latest["digest"].as_str().unwrap()),
            Some((kind @ ("manifests" | "blobs"), name)) => (kind, name),
            _ => return Reply::status(404),
        };
        let Ok(body) = std::fs::read(dir.join("blobs").join(name.replace(':', "/"))) else {
            return Reply::status(404);
        };
        if kind == "manifests" {
            let document: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let media = document["mediaType"].as_str().unwrap_or("application/json").to_owned();
            return Reply::text(body).with("Content-Type", media);
        }
        part(body, request.header("range"))
    }
}

/// `body`, or the part of it that `range` asks for.
fn part(body: Vec<u8>, range: &str) -> Reply {
    let Some(from) = range.strip_prefix("bytes=").and_then(|range| range.split('-').next()?.parse().ok())
    else {
        return Reply::text(body);
    };
    let content = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
    let reply = Reply::text(&body[from..]).with("Content-Range", content);
    Reply { status: 206, ..reply }
}

fn converse(stream: &TcpStream, log: &Mutex<Vec<Request>>, answer: &Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    // What begins like TLS is told off in plain words, as real servers do.
    if reader.fill_buf()?.first() == Some(&0x16) {
        return { stream }.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    }
    while let Some(request) = parse(&mut reader)? {
        log.lock().unwrap().push(request.clone());
        if !send(stream, &answer(&request))? {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

fn parse(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let len = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = String::new();
    reader.take(len).read_to_string(&mut body)?;
    Ok(Some(Request { method, path, headers, body }))
}

/// Whether the connection goes on.
fn send(mut stream: &TcpStream, reply: &Reply) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} x\r\n", reply.status);
    if !reply.unsized_body {
        let length = reply.length.clone().unwrap_or(reply.body.len().to_string());
        head += &format!("Content-Length: {length}\r\n");
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let sent = &reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())];
    super::write_slowly(&mut stream, sent, reply.pause)?;
    Ok(reply.cut.is_none() && !reply.unsized_body)
}
