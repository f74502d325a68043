//! Servers that let the client wait: for a connection, TLS, an answer, its bytes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use super::server::{Reply, Server, Then, cut, honest};
use super::{FAR, STRONG, context, data, drained, open, random};
use crate::error::{Classify, Error, Kind};
use crate::source::http::authority::Fixed;
use crate::source::http::limits::Limits;
use crate::source::http::retry::Patience;
use crate::source::http::want::Want;
use crate::source::http::{HttpError, Link, Remote};
use crate::source::options::{NetworkOptions, ProxyOptions};
use crate::source::{Context, Secret};

/// Waits that a test can afford.
const SHORT: Duration = Duration::from_millis(300);

/// Waits that no test should see the end of.
const LONG: Duration = Duration::from_secs(30);

const ALL_LONG: Limits = Limits { connect: LONG, answer: LONG, words: LONG };

fn remote(url: &str, context: Context, limits: Limits) -> Remote {
    Remote::new(Url::parse(url).unwrap(), Arc::new(Fixed::default()), Link::within(context, limits).unwrap())
}

/// How one request for `url` fails, which must not take long.
#[track_caller]
fn failure(url: &str, context: Context, limits: Limits) -> HttpError {
    let remote = remote(url, context, limits);
    let start = Instant::now();
    let answer = remote.link.wait(async { remote.ask(&Want::plain()).await.map(drop) });
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    answer.unwrap_err()
}

fn said(error: HttpError) -> String {
    Error::from(error).to_string()
}

/// A listener that never answers: the system makes the connections.
fn mute() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Connections that fill the queue of a listener, so that the next is not even made.
fn crowd(address: SocketAddr) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, SHORT) {
        crowd.push(stream);
        assert!(crowd.len() < 10_000, "the queue has no end");
    }
    crowd
}

#[test]
fn a_host_that_takes_no_connection_is_waited_for_as_long_as_a_connection_may_take() {
    let (_listener, address) = mute();
    let _crowd = crowd(address);
    let limits = Limits { connect: SHORT, ..ALL_LONG };
    let error = failure(&format!("http://{address}/"), context(), limits);
    assert!(error.is_passing() && error.kind() == Kind::Unreachable, "{error:?}");
    assert_eq!(error.to_string(), "no connection within 0.3 s");
}

#[test]
fn a_server_that_is_silent_in_the_tls_handshake_took_too_long_to_connect() {
    let (_listener, address) = mute();
    let limits = Limits { connect: SHORT, ..ALL_LONG };
    let error = failure(&format!("https://{address}/"), context(), limits);
    assert!(error.is_passing() && error.kind() == Kind::Unreachable, "{error:?}");
    assert_eq!(error.to_string(), "no connection within 0.3 s");
}

#[test]
fn a_proxy_that_says_nothing_is_unreachable_and_does_not_refuse() {
    let (_listener, address) = mute();
    let (_full, crowded) = mute();
    let _crowd = crowd(crowded);
    for (proxy, scheme) in [(address, "https"), (crowded, "https"), (crowded, "http")] {
        let secret = || Some(Secret::new(format!("http://{proxy}/")));
        let proxies = ProxyOptions { http: secret(), https: secret(), direct: None };
        let network = Arc::new(NetworkOptions { proxies, ..NetworkOptions::default() });
        let limits = Limits { connect: SHORT, ..ALL_LONG };
        let error = failure(&format!("{scheme}://made.up.test/"), Context { network, ..context() }, limits);
        assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
        let words = said(error);
        assert!(words.starts_with(&format!("the proxy http://{proxy}/ gives no connection")), "{words}");
    }
}

#[test]
fn an_answer_that_does_not_begin_is_asked_for_again() {
    let limits = Limits { answer: SHORT, ..ALL_LONG };
    let halves = [("", ""), ("HTTP/1.1 200 OK\r\nETag: \"one\"\r\n", ""), ("", "drip")];
    for (head, drip) in halves {
        let server = Server::start(move |request| match (request.number, drip) {
            (1, "") => Reply(String::new(), head.into(), Then::Stall),
            (1, _) => Reply(String::new(), b"HTTP/1.1 200 OK\r\nX: ".to_vec(), Then::Drip),
            _ => honest(&data(1000), STRONG, request),
        });
        let remote = remote(&server.origin, context(), limits);
        let start = Instant::now();
        let asked = async { remote.ask_again(&Want::plain(), &mut Patience::default()).await.map(drop) };
        remote.link.wait(asked).unwrap();
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert_eq!(server.seen().len(), 2);
    }
    let (_listener, address) = mute();
    let error = failure(&format!("http://{address}/"), context(), limits);
    assert_eq!((error.is_passing(), error.kind()), (true, Kind::Unreachable));
    assert_eq!(error.to_string(), "no answer within 0.3 s");
}

#[test]
fn where_the_user_waits_less_than_for_an_answer_the_users_limit_ends_it() {
    let (_listener, address) = mute();
    let context = Context { idle_timeout: SHORT, ..context() };
    let error = failure(&format!("http://{address}/"), context, ALL_LONG);
    assert!(!error.is_passing());
    assert_eq!(error.to_string(), "no byte for 0.3 s; the limit is --idle-timeout");
}

#[test]
fn a_range_that_stalls_ends_at_the_idle_timeout() {
    let server = Server::start(|request| {
        let reply = honest(&data(FAR + 600_000), STRONG, request);
        match request.range {
            Some((start, _)) if start > FAR => {
                let Reply(head, body, _) = cut(reply, 5000);
                Reply(head, body, Then::Stall)
            }
            _ => reply,
        }
    });
    let context = Context { idle_timeout: SHORT, ..context() };
    let place = random(&server, &context);
    let start = Instant::now();
    let error = place.read_exact_at(&mut [0; 100_000], FAR as u64 + 1000).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let error = Error::from_io(error, Kind::Other);
    assert_eq!(error.kind(), Kind::Unreachable);
    let words = format!("at byte {}: no byte for 0.3 s; the limit is --idle-timeout", FAR + 6000);
    assert!(error.to_string().ends_with(&words), "{error}");
}

#[test]
fn bytes_that_drip_are_as_good_as_none() {
    let start = Instant::now();
    let context = Context { idle_timeout: SHORT, ..context() };
    let dripping = |from: usize| {
        Server::start(move |request| {
            let reply = honest(&data(FAR + 600_000), STRONG, request);
            match request.range {
                Some((start, None)) if start >= from => {
                    let Reply(head, body, _) = cut(reply, 5000);
                    Reply(head, body, Then::Drip)
                }
                Some((start, _)) if start >= from.max(FAR) => Reply(reply.0, Vec::new(), Then::Drip),
                _ => reply,
            }
        })
    };
    let error = drained(&dripping(0), &context).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("are the least for --idle-timeout"), "{error}");
    let place = random(&dripping(FAR), &context);
    let error = place.read_exact_at(&mut [0; 100_000], FAR as u64 + 1000).unwrap_err();
    assert!(error.to_string().contains("are the least for --idle-timeout"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn the_words_of_a_refusal_are_not_waited_for_long_and_not_read_to_their_end() {
    let limits = Limits { words: SHORT, ..ALL_LONG };
    let server = Server::start(|request| {
        let head = format!("404 No\nContent-Length: {}", 50 << 20);
        match request.path.as_str() {
            "/stall" => Reply(head, b"gone fishing".to_vec(), Then::Stall),
            "/drip" => Reply(head, b"gone fishing".to_vec(), Then::Drip),
            _ => Reply(head, [b"gone fishing".to_vec(), vec![b'a'; 50 << 20]].concat(), Then::Close),
        }
    });
    for path in ["/stall", "/drip", "/huge"] {
        let error = failure(&format!("{}{path}", server.origin), context(), limits);
        assert_eq!(error.kind(), Kind::Refused);
        let words = error.to_string();
        assert!(words.contains("404: not found: gone fishing") && words.len() < 300, "{words}");
    }
    // A busy server is one however slowly it says so.
    let server =
        Server::start(|_| Reply("503 Busy\nContent-Length: 1000".to_owned(), b"wait".to_vec(), Then::Stall));
    assert!(failure(&server.origin, context(), limits).is_passing());
}

#[test]
fn a_source_that_is_silent_from_its_first_byte_on_names_itself_and_its_limit() {
    let (_listener, address) = mute();
    let context = Context { idle_timeout: SHORT, ..context() };
    let source = crate::source::from_argument(&format!("http://u:pw@{address}/a.img?token"), context);
    let error = source.unwrap().open().map(drop).unwrap_err();
    let words = format!("http://{address}/a.img: no byte for 0.3 s; the limit is --idle-timeout");
    assert_eq!(error.to_string(), words);
}

#[test]
fn an_answer_comes_at_once_where_the_server_is_at_ease() {
    let server = Server::start(|request| honest(&data(1000), STRONG, request));
    assert!(open(&server, &context()).is_ok(), "the limits leave an honest server alone");
}

#[test]
fn a_server_far_away_is_asked_for_more_at_once() {
    let server = Server::start(|request| {
        std::thread::sleep(Duration::from_millis(10));
        honest(&data(FAR), STRONG, request)
    });
    assert_eq!(random(&server, &context()).reading().piece, 16 << 20);
}
