//! An HTTP server on loopback that serves one directory, with or without ranges.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What the server knows about ranges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// `Range` is honoured, with a strong ETag, and `If-Range` is obeyed.
    Served,
    /// `Range` is ignored: every answer is the whole file.
    Ignored,
}

struct Shop {
    root: PathBuf,
    ranges: Ranges,
    closing: AtomicBool,
    requests: AtomicU64,
    partial: AtomicU64,
    /// Bytes of bodies that went out.
    sent: AtomicU64,
    /// No byte of a file from here on goes out, but in short answers.
    hold: AtomicU64,
    /// How long a connection rests after each [`STEP`].
    rest: Duration,
}

/// Bytes of a body that are sent at once.
const STEP: usize = 64 << 10;

/// A running server; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shop: Arc<Shop>,
    listener: Option<JoinHandle<()>>,
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

impl Server {
    /// Serves the files of `root`.
    pub(crate) fn start(root: &Path, ranges: Ranges) -> Self {
        Self::slow(root, ranges, Duration::ZERO)
    }

    /// The same, but each connection rests after each [`STEP`].
    pub(crate) fn slow(root: &Path, ranges: Ranges, rest: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shop = Arc::new(Shop {
            root: root.to_owned(),
            ranges,
            closing: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            partial: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            hold: AtomicU64::new(u64::MAX),
            rest,
        });
        let keeper = Arc::clone(&shop);
        let listener = thread::spawn(move || accept(&listener, &keeper));
        Self { address, shop, listener: Some(listener) }
    }

    /// The URL of `name` within the directory.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Requests that were answered so far.
    pub(crate) fn requests(&self) -> u64 {
        self.shop.requests.load(SeqCst)
    }

    /// Bytes of bodies that went out so far.
    pub(crate) fn sent(&self) -> u64 {
        self.shop.sent.load(SeqCst)
    }

    /// Lets no byte of a file go out that lies at `at` or behind it, unless a client asks for a few only.
    pub(crate) fn hold(&self, at: u64) {
        self.shop.hold.store(at, SeqCst);
    }

    /// Answers so far that were a part of a file.
    pub(crate) fn partial(&self) -> u64 {
        self.shop.partial.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shop.closing.store(true, SeqCst);
        // One more connection wakes the listener up.
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

fn accept(listener: &TcpListener, shop: &Arc<Shop>) {
    while let Ok((stream, _)) = listener.accept() {
        if shop.closing.load(SeqCst) {
            return;
        }
        let shop = Arc::clone(shop);
        // A client that hangs up in the middle is its own affair.
        thread::spawn(move || drop(converse(&stream, &shop)));
    }
}

fn converse(stream: &TcpStream, shop: &Shop) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = parse(&mut reader)? {
        shop.requests.fetch_add(1, SeqCst);
        answer(stream, shop, &request)?;
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
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => return Ok(Some(Request { method, path, headers })),
        };
    }
}

fn answer(mut stream: &TcpStream, shop: &Shop, request: &Request) -> io::Result<()> {
    let name = request.path.trim_start_matches('/');
    let file = if name.contains("..") { None } else { File::open(shop.root.join(name)).ok() };
    let Some(mut file) = file.filter(|file| file.metadata().is_ok_and(|meta| meta.is_file())) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let len = file.metadata()?.len();
    let etag = format!("\"{len:x}-{name}\"");
    let range = match shop.ranges {
        Ranges::Served => range(request, len, &etag),
        Ranges::Ignored => None,
    };
    let (start, count, mut head) = match range {
        Some((start, end)) if start >= len || start > end => {
            let head = format!("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{len}\r\n");
            (0, 0, head)
        }
        Some((start, end)) => {
            shop.partial.fetch_add(1, SeqCst);
            let content = format!("Content-Range: bytes {start}-{end}/{len}\r\n");
            (start, end - start + 1, format!("HTTP/1.1 206 Partial Content\r\n{content}"))
        }
        None => (0, len, "HTTP/1.1 200 OK\r\n".to_owned()),
    };
    if shop.ranges == Ranges::Served {
        head += &format!("Accept-Ranges: bytes\r\nETag: {etag}\r\n");
    }
    head += &format!("Content-Type: application/octet-stream\r\nContent-Length: {count}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        file.seek(SeekFrom::Start(start))?;
        let hold = if count > STEP as u64 { &shop.hold } else { &AtomicU64::new(u64::MAX) };
        pour(file.take(count), start, stream, (shop, hold))?;
    }
    Ok(())
}

fn pour(
    mut body: impl Read,
    mut at: u64,
    mut stream: &TcpStream,
    (shop, hold): (&Shop, &AtomicU64),
) -> io::Result<()> {
    let mut buffer = vec![0; STEP];
    loop {
        let count = body.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        while at >= hold.load(SeqCst) && !shop.closing.load(SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        stream.write_all(&buffer[..count])?;
        at += count as u64;
        shop.sent.fetch_add(count as u64, SeqCst);
        thread::sleep(shop.rest);
    }
}

/// First and last byte that are asked for; `None` asks for everything.
fn range(request: &Request, len: u64, etag: &str) -> Option<(u64, u64)> {
    if request.headers.get("if-range").is_some_and(|wanted| wanted != etag) {
        return None;
    }
    let (start, end) = request.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
    let last = len.saturating_sub(1);
    if start.is_empty() {
        return Some((len.saturating_sub(end.parse().ok()?), last));
    }
    let end = if end.is_empty() { last } else { end.parse::<u64>().ok()?.min(last) };
    Some((start.parse().ok()?, end))
}

/// An address on loopback where nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn the_server_answers_ranges_only_where_it_serves_them() {
    let workshop = super::workshop();
    std::fs::write(workshop.path().join("file"), b"0123456789").unwrap();
    for (ranges, status, body) in [(Ranges::Served, "206", "234"), (Ranges::Ignored, "200", "0123456789")] {
        let server = Server::start(workshop.path(), ranges);
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(b"GET /file HTTP/1.1\r\nRange: bytes=2-4\r\nHost: x\r\n\r\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
        assert_eq!((server.requests(), server.partial()), (1, u64::from(status == "206")));
    }
}
