//! A server within the test that does what the test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than any test waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// One request as the server saw it; `number` counts from 1.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) number: usize,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: String,
    pub(super) range: Option<(usize, Option<usize>)>,
}

impl Request {
    pub(super) fn has(&self, header: &str) -> bool {
        self.headers.lines().any(|line| line.eq_ignore_ascii_case(header))
    }
}

/// An answer: the head without the empty line, the body, and what follows it. Without a head the
/// body is all that is sent.
pub(super) struct Reply(pub(super) String, pub(super) Vec<u8>, pub(super) Then);

/// What the server does after an answer.
pub(super) enum Then {
    Close,
    /// Nothing, with the connection open.
    Stall,
    /// A byte from time to time.
    Drip,
    /// The connection is reset, not closed.
    Reset,
}

/// A server on this machine that lives as long as the test's process.
pub(super) struct Server {
    pub(super) origin: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(super) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || converse(stream, &log, &*answer));
            }
        });
        Self { origin, seen }
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn converse(mut stream: TcpStream, log: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Reply) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes=")).map(|range| {
        let (start, last) = range.split_once('-').unwrap();
        (start.parse().unwrap(), last.parse::<usize>().ok().map(|last| last + 1))
    });
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let request = {
        let mut log = log.lock().unwrap();
        let number = log.len() + 1;
        log.push(Request { number, method, path, headers: headers.join("\n"), range });
        log.last().unwrap().clone()
    };
    let Reply(head, body, then) = answer(&request);
    let head = match head.as_str() {
        "" => String::new(),
        head => format!("HTTP/1.1 {}\r\nConnection: close\r\n\r\n", head.replace('\n', "\r\n")),
    };
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    match then {
        _ if sent.is_err() => {}
        Then::Close => {}
        Then::Stall => stall(stream),
        Then::Drip => drip(stream),
        Then::Reset => reset(stream),
    }
}

/// Waits until the client has gone.
fn stall(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.read(&mut [0]);
}

fn drip(mut stream: TcpStream) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE && stream.write_all(b"a").is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn reset(stream: TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _within = runtime.enter();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    stream.set_zero_linger().unwrap();
}

/// What an honest server answers.
pub(super) fn honest(data: &[u8], validator: &str, request: &Request) -> Reply {
    let Some((start, end)) = request.range else {
        return whole(data, validator);
    };
    let end = end.unwrap_or(data.len());
    let head = format!(
        "206 Partial Content\n{validator}\nContent-Length: {}\nContent-Range: bytes {start}-{}/{}",
        end - start,
        end - 1,
        data.len()
    );
    Reply(head, data[start..end].to_vec(), Then::Close)
}

pub(super) fn whole(data: &[u8], validator: &str) -> Reply {
    Reply(format!("200 OK\n{validator}\nContent-Length: {}", data.len()), data.to_vec(), Then::Close)
}

/// The same answer, broken off after `len` bytes.
pub(super) fn cut(Reply(head, mut body, _): Reply, len: usize) -> Reply {
    body.truncate(len);
    Reply(head, body, Then::Close)
}

pub(super) fn status(head: &str) -> Reply {
    Reply(format!("{head}\nContent-Length: 0"), Vec::new(), Then::Close)
}
