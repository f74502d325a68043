//! What breaks again and again: the tries are counted, and the message says how many and why.

use std::net::TcpListener;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::server::{Reply, Request, Server, Then, cut, honest, status, whole};
use super::{FAR, STRONG, WEAK, context, data, drained, random};
use crate::error::{Error, Kind};

/// Tries of one stream or range without progress.
const TRIES: usize = 5;

type Answer = fn(&Request) -> Reply;

/// A name, what the server does, and a piece of the reason.
type Case = (&'static str, Answer, &'static str);

fn object() -> Vec<u8> {
    data(600_000)
}

fn raw(text: &str) -> Reply {
    Reply(String::new(), text.as_bytes().to_vec(), Then::Close)
}

fn reset(request: &Request) -> Reply {
    let Reply(head, body, _) = cut(honest(&object(), STRONG, request), 1000);
    Reply(head, body, Then::Reset)
}

fn chunked(body: &str, then: Then) -> Reply {
    Reply("200 OK\nTransfer-Encoding: chunked".to_owned(), body.as_bytes().to_vec(), then)
}

fn informed(times: usize) -> String {
    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(times)
}

/// What a stream never gets past.
const STREAMS: [Case; 17] = [
    ("503", |_| status("503 Busy"), "the server answers 503"),
    (
        "500 with words",
        |_| Reply("500 No\nContent-Length: 4".into(), b"oops".into(), Then::Close),
        "500: oops",
    ),
    ("reset in the body", reset, "the request broke"),
    ("reset before the answer", |_| Reply(String::new(), Vec::new(), Then::Reset), "the request broke"),
    ("closed before the answer", |_| raw(""), "the request broke"),
    ("closed in the head", |_| raw("HTTP/1.1 200 OK\r\nContent-Le"), "the request broke"),
    ("closed in the body", |request| cut(honest(&object(), STRONG, request), 1000), "the request broke"),
    ("closed in the body, no ranges", |_| cut(whole(&object(), WEAK), 1000), "the request broke"),
    ("chunks cut in a chunk", |_| chunked("3e8\r\nabc", Then::Close), "the request broke"),
    ("chunks without a last one", |_| chunked("3\r\nabc\r\n", Then::Close), "the request broke"),
    (
        "chunks of no size",
        |_| chunked("3\r\nabc\r\nxyz\r\nabc\r\n0\r\n\r\n", Then::Close),
        "the request broke",
    ),
    ("a chunk of 2^63", |_| chunked("8000000000000000\r\nabc", Then::Close), "the request broke"),
    ("a chunk of 2^64", |_| chunked("10000000000000000\r\nabc", Then::Close), "the request broke"),
    (
        "two lengths",
        |_| raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        "broke",
    ),
    ("a length in words", |_| raw("HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nabc"), "broke"),
    ("no status line", |_| raw("HTTP/x 2OO\r\n\r\nabc"), "the request broke"),
    ("no head at all", |_| raw("just bytes, as in HTTP/0.9"), "the request broke"),
];

/// Heads that are too much of a good thing.
const FLOODS: [Case; 2] = [
    (
        "a header of 5 MB",
        |_| raw(&format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(5_000_000))),
        "broke",
    ),
    ("200 headers", |_| raw(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(200))), "broke"),
];

#[track_caller]
fn given_up(name: &str, error: &Error, reason: &str) {
    let words = error.to_string();
    assert_eq!(error.kind(), Kind::Unreachable, "{name}: {words}");
    assert!(words.contains("given up after 5 tries without progress: "), "{name}: {words}");
    assert!(words.contains(reason) && words.len() < 400, "{name}: {words}");
}

fn stream(&(name, answer, reason): &Case) {
    let (server, context) = (Server::start(answer), context());
    let start = Instant::now();
    let error = drained(&server, &context).unwrap_err();
    given_up(name, &error, reason);
    let seen = server.seen();
    // Where ranges are served, the first answer is for the head, and no try of the stream.
    let ranged = ["reset in the body", "closed in the body"].contains(&name);
    assert_eq!(seen.len(), TRIES + usize::from(ranged), "{name}");
    assert!(seen.iter().all(|request| request.method == "GET"), "{name}: {seen:?}");
    assert_eq!(context.progress.retries.load(Relaxed), 4, "{name}");
    assert!(start.elapsed() < Duration::from_secs(20), "{name}: {:?}", start.elapsed());
}

/// Ranges that never come, behind an honest beginning.
fn range(&(name, answer, reason): &Case) {
    let server = Server::start(move |request| match request.range {
        Some((start, Some(_))) if start >= FAR => answer(request),
        _ => honest(&data(FAR + 600_000), STRONG, request),
    });
    let error = random(&server, &context()).read_exact_at(&mut [0; 512], FAR as u64 + 1).unwrap_err();
    let error = Error::from_io(error, Kind::Other);
    given_up(name, &error, reason);
    assert!(error.to_string().contains(&format!(", at byte {}", FAR + 1)), "{name}: {error}");
    let asked = server.seen().iter().filter(|request| request.range.is_some_and(|(at, _)| at > FAR)).count();
    assert_eq!(asked, TRIES, "{name}");
}

const RANGES: [Case; 4] = [
    ("429", |_| status("429 Slow down"), "the server answers 429"),
    ("a range that is cut", |request| cut(honest(&data(FAR + 600_000), STRONG, request), 0), "broke"),
    (
        "a range that is reset",
        |request| {
            let Reply(head, body, _) = cut(honest(&data(FAR + 600_000), STRONG, request), 100);
            Reply(head, body[..0].to_vec(), Then::Reset)
        },
        "broke",
    ),
    ("closed before the answer", |_| raw(""), "broke"),
];

/// A server that answers the first request and is gone then.
fn gone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let first = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut head = [0; 2048];
        let read = std::io::Read::read(&mut stream, &mut head).unwrap();
        assert!(read > 0);
        let answer = b"HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 600000\r\n\r\nfirst bytes";
        std::io::Write::write_all(&mut stream, answer).unwrap();
    });
    let context = context();
    let input = crate::source::from_argument(&origin, context.clone()).unwrap().open().unwrap();
    let mut all = Vec::new();
    let read = std::io::Read::read_to_end(&mut input.into_sequential().unwrap(), &mut all);
    first.join().unwrap();
    given_up("gone", &Error::from_io(read.unwrap_err(), Kind::Other), "the connection failed");
    assert_eq!(context.progress.requests.load(Relaxed), 5);
    assert_eq!(all, b"first bytes");
}

#[test]
fn what_breaks_for_ever_is_given_up_after_five_tries_with_the_reason() {
    // All at the same time: each takes the seven seconds of four waits.
    thread::scope(|scope| {
        let streams = STREAMS.iter().chain(&FLOODS).map(|case| scope.spawn(move || stream(case)));
        let ranges = RANGES.iter().map(|case| scope.spawn(move || range(case)));
        let running: Vec<_> = streams.chain(ranges).chain([scope.spawn(gone)]).collect();
        let failed = running.into_iter().filter_map(|case| case.join().err());
        let failed: Vec<String> =
            failed.map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default()).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}

#[test]
fn early_hints_are_no_answer() {
    let server = Server::start(|request| {
        let Reply(head, body, then) = honest(&object(), STRONG, request);
        let head = format!("{}HTTP/1.1 {}\r\n\r\n", informed(20), head.replace('\n', "\r\n"));
        Reply(String::new(), [head.into_bytes(), body].concat(), then)
    });
    assert!(drained(&server, &context()).unwrap() == object());
}
