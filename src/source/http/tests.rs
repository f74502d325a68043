//! The source against a server in this process that breaks its word on demand.

mod crowd;
mod forever;
mod framing;
mod server;
mod waits;

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use server::{Reply, Server, Then, cut, honest, status, whole};

use crate::error::{Error, Kind};
use crate::io::{Input, ReadAt};
use crate::source::{Context, from_argument, tests::context};

const STRONG: &str = "ETag: \"one\"";
const WEAK: &str = "ETag: W/\"one\"";

/// An offset that no prefix reaches, however large the pieces are in which it comes.
const FAR: usize = 2 << 20;

/// Bytes that do not repeat within a MiB or so.
fn data(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at ^ (at >> 7) ^ (at >> 13)) & 0xff).unwrap()).collect()
}

fn open(server: &Server, context: &Context) -> Result<Input, Error> {
    from_argument(&format!("{}/disk.img?secret", server.origin), context.clone())?.open()
}

fn random(server: &Server, context: &Context) -> Arc<dyn ReadAt> {
    match open(server, context).unwrap() {
        Input::Random(place) => place,
        Input::Sequential(_) => panic!("ranges were not proved"),
    }
}

/// Everything, read as a stream.
fn drained(server: &Server, context: &Context) -> Result<Vec<u8>, Error> {
    let io = |error| Error::from_io(error, Kind::Other);
    let mut all = Vec::new();
    open(server, context)?.into_sequential().map_err(io)?.read_to_end(&mut all).map_err(io)?;
    Ok(all)
}

#[test]
fn ranges_give_the_same_bytes_as_the_stream() {
    let bytes = data(3 << 20);
    let served = bytes.clone();
    let server = Server::start(move |request| honest(&served, STRONG, request));
    let context = context();
    let place = random(&server, &context);
    let mut part = vec![0; 1 << 20];
    place.read_exact_at(&mut part[..4096], 0).unwrap();
    assert_eq!(server.seen().len(), 1, "the head costs no request");
    for at in [0, 200_000, (2 << 20) + 17, 2 << 20] {
        let end = (bytes.len() - at).min(part.len());
        place.read_exact_at(&mut part[..end], at as u64).unwrap();
        assert!(part[..end] == bytes[at..at + end], "{at}");
    }
    assert!(server.seen()[1..].iter().all(|request| request.has("if-range: \"one\"")));
    assert!(place.read_exact_at(&mut part, (2 << 20) + 1).is_err());
    assert!(drained(&server, &context).unwrap() == bytes);
    assert_eq!(context.progress.fetch_total.load(Relaxed), 3 << 20);
}

#[test]
fn a_stream_goes_on_at_the_byte_where_it_broke() {
    let bytes = data(2_000_000);
    let served = bytes.clone();
    let server = Server::start(move |request| match request.number {
        1 => cut(honest(&served, STRONG, request), 1_500_000),
        _ => honest(&served, STRONG, request),
    });
    let context = context();
    assert!(drained(&server, &context).unwrap() == bytes);
    let seen = server.seen();
    assert_eq!((seen.len(), seen[1].range), (2, Some((1_500_000, None))));
    assert!(seen[1].has("if-range: \"one\""));
    assert_eq!(context.progress.retries.load(Relaxed), 1);
    assert_eq!(context.progress.fetched.load(Relaxed), 2_000_000);
}

#[test]
fn a_range_that_is_read_in_parts_is_asked_for_once_and_goes_on_where_it_broke() {
    let bytes = data(4 << 20);
    let served = bytes.clone();
    // 1 opens, 2 proves; the third answer breaks in the second part.
    let server = Server::start(move |request| match request.number {
        3 => cut(honest(&served, STRONG, request), 150_000),
        _ => honest(&served, STRONG, request),
    });
    let place = random(&server, &context());
    let (start, len) = (FAR, 1_000_000);
    let mut reader = place.reader(start as u64..(start + len) as u64);
    for at in (start..start + len).step_by(100_000) {
        let mut part = vec![0; 100_000];
        reader.read_exact(&mut part).unwrap();
        assert!(part == bytes[at..at + 100_000], "{at}");
    }
    assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0, "the range ends");
    let end = Some(start + len);
    let ranges: Vec<_> = server.seen()[2..].iter().map(|request| request.range).collect();
    assert_eq!(ranges, [Some((start, end)), Some((start + 150_000, end))]);
}

#[test]
fn a_legally_shorter_range_is_continued() {
    let bytes = data(500_000);
    let served = bytes.clone();
    let server = Server::start(move |request| {
        let mut request = request.clone();
        request.range =
            request.range.map(|(start, end)| (start, Some(end.unwrap_or(served.len()).min(start + 70_000))));
        honest(&served, STRONG, &request)
    });
    assert!(drained(&server, &context()).unwrap() == bytes);
    let place = random(&server, &context());
    let mut part = vec![0; 400_000];
    place.read_exact_at(&mut part, 100_000).unwrap();
    assert!(part == bytes[100_000..]);
}

#[test]
fn a_changed_object_is_an_error() {
    for second in ["ETag: \"two\"", WEAK, "X: y"] {
        let served = data(600_000);
        let server = Server::start(move |request| match request.number {
            1 => cut(honest(&served, STRONG, request), 300_000),
            _ => honest(&served, second, request),
        });
        let context = context();
        let error = drained(&server, &context).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
        let mut part = vec![0; 4096];
        let server = Server::start(move |request| {
            honest(&data(FAR + 600_000), if request.number == 1 { STRONG } else { second }, request)
        });
        let error = random(&server, &context).read_exact_at(&mut part, FAR as u64).unwrap_err();
        assert!(error.to_string().contains("has changed"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn right_headers_over_shifted_bytes_are_found_out() {
    let served = data(FAR + 600_000);
    let shifted: Vec<u8> = served.iter().copied().cycle().skip(512).take(FAR + 600_000).collect();
    let server = Server::start(move |request| match request.number {
        1 => honest(&served, STRONG, request),
        _ => honest(&shifted, STRONG, request),
    });
    let error = random(&server, &context()).read_exact_at(&mut [0; 512], FAR as u64).unwrap_err();
    assert!(error.to_string().contains("not the same"), "{error}");
}

#[test]
fn without_ranges_a_broken_stream_starts_again_and_compares() {
    let bytes = data(2_000_000);
    for (validator, second, fits) in [
        (WEAK, bytes.clone(), true),
        (STRONG, bytes.clone(), true),
        (WEAK, data(2_000_001)[1..].to_vec(), false),
        (WEAK, data(2_000_001), false),
    ] {
        let first = bytes.clone();
        let server = Server::start(move |request| match request.number {
            1 => cut(whole(&first, validator), 1_200_000),
            _ => whole(&second, validator),
        });
        match drained(&server, &context()) {
            Ok(all) => assert!(fits && all == bytes),
            Err(error) => assert!(!fits && error.kind() == Kind::Integrity, "{error}"),
        }
        assert_eq!(server.seen().len(), 2);
    }
}

#[test]
fn a_body_without_length_ends_where_the_connection_ends() {
    let server =
        Server::start(|request| Reply("200 OK".to_owned(), data(request.number * 1000), Then::Close));
    let input = open(&server, &context()).unwrap();
    assert_eq!(input.known_len(), None);
    let mut all = Vec::new();
    input.into_sequential().unwrap().read_to_end(&mut all).unwrap();
    assert!(all == data(1000));
}

#[test]
fn a_busy_server_is_asked_again_and_a_refusing_one_is_not() {
    let server = Server::start(|request| match request.number {
        1 => status("503 Busy"),
        2 => status("429 Slow down\nRetry-After: 1"),
        _ => honest(&data(1000), STRONG, request),
    });
    let context = context();
    let start = Instant::now();
    assert!(drained(&server, &context).unwrap() == data(1000));
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(context.progress.retries.load(Relaxed), 2);

    for (head, kind, words) in [
        ("404 No", Kind::Refused, "404: not found"),
        ("401 No", Kind::Refused, "credentials"),
        ("204 Nothing", Kind::Refused, "not the file"),
        ("304 Same", Kind::Refused, "cannot be followed"),
        ("501 No", Kind::Unreachable, "501"),
        ("200 OK\nContent-Encoding: br", Kind::Refused, "Content-Encoding br"),
        ("503 Busy\nRetry-After: 200", Kind::Unreachable, "past --idle-timeout"),
    ] {
        let server = Server::start(move |_| status(head));
        let error = open(&server, &context).map(|_| ()).unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (kind, 1), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_unreachable_at_once() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let context = context();
    let opened = from_argument(&format!("http://127.0.0.1:{port}/"), context.clone()).unwrap().open();
    assert_eq!(opened.map(|_| ()).unwrap_err().kind(), Kind::Unreachable);
    assert_eq!(context.progress.requests.load(Relaxed), 1);
}

#[test]
fn endless_redirects_are_refused() {
    let server = Server::start(|request| status(&format!("302 Found\nLocation: {}x", request.path)));
    let error = open(&server, &context()).map(|_| ()).unwrap_err();
    assert_eq!((error.kind(), server.seen().len()), (Kind::Refused, 11), "{error}");
}

#[test]
fn credentials_stay_with_their_origin_and_expired_links_are_renewed() {
    let bytes = data(FAR + 600_000);
    // The first link expires after two requests.
    let storage = Server::start(move |request| match (request.path.as_str(), request.number) {
        ("/link1", 3..) => status("403 Expired"),
        _ => honest(&bytes, STRONG, request),
    });
    let to = storage.origin.clone();
    let front = Server::start(move |request| {
        assert!(request.has("authorization: Basic dTpw"));
        status(&format!("302 Found\nLocation: {to}/link{}", request.number))
    });
    let url = front.origin.replace("http://", "http://u:p@");
    let input = from_argument(&url, context()).unwrap().open().unwrap();
    let Input::Random(place) = input else { panic!("ranges were not proved") };
    let mut part = vec![0; 1000];
    for at in [500_000, 400_000].map(|at| at + FAR as u64) {
        place.read_exact_at(&mut part, at).unwrap();
    }
    let paths: Vec<String> = storage.seen().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/link1", "/link1", "/link1", "/link2", "/link2"]);
    assert!(storage.seen().iter().all(|request| !request.headers.contains("authorization")));
    assert!(storage.seen().iter().all(|request| !request.headers.contains("referer")));
    assert_eq!(front.seen().len(), 2);
}

#[test]
fn a_stall_ends_at_the_idle_timeout_without_another_try() {
    for len in [0, 300_000] {
        let server = Server::start(move |request| {
            let Reply(head, body, _) = cut(honest(&data(600_000), STRONG, request), len);
            Reply(head, body, Then::Stall)
        });
        let context = Context { idle_timeout: Duration::from_millis(300), ..context() };
        let error = drained(&server, &context).unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (Kind::Unreachable, 1), "{error}");
        assert!(error.to_string().ends_with("no byte for 0.3 s; the limit is --idle-timeout"), "{error}");
    }
}

#[test]
fn the_wish_to_stop_ends_a_waiting_read_within_a_second() {
    let stalling = || {
        Server::start(|request| {
            let Reply(head, body, _) = honest(&data(600_000), STRONG, request);
            match request.number {
                1 => Reply(head, body[..300_000].to_vec(), Then::Stall),
                _ => Reply(head, Vec::new(), Then::Stall),
            }
        })
    };
    let stopped = |read: &dyn Fn(&Server, &Context) -> std::io::Error| {
        let (server, context) = (stalling(), context());
        let stop = context.stop.clone();
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            stop.ask(Kind::Interrupted);
            Instant::now()
        });
        let error = read(&server, &context);
        assert!(later.join().unwrap().elapsed() < Duration::from_secs(1));
        assert_eq!(Error::from_io(error, Kind::Other).kind(), Kind::Interrupted);
    };
    stopped(&|server, context| {
        let mut stream = open(server, context).unwrap().into_sequential().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap_err()
    });
    stopped(&|server, context| random(server, context).read_exact_at(&mut [0; 512], 500_000).unwrap_err());
}
