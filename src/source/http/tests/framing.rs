//! Answers whose framing is odd, but whose bytes are right; and answers that lie once.

use super::server::{Reply, Request, Server, Then, cut, honest, status, whole};
use super::{FAR, STRONG, context, data, drained, open, random};
use crate::error::{Error, Kind};
use crate::io::Input;

type Answer = fn(&Request) -> Reply;

fn object() -> Vec<u8> {
    data(400_000)
}

fn chunks(bytes: &[u8]) -> Vec<u8> {
    let chunk = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    let mut body: Vec<u8> = bytes.chunks(50_001).flat_map(chunk).collect();
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

#[test]
fn odd_framing_that_the_protocol_allows_gives_the_right_bytes() {
    let cases: [(&str, Answer); 5] = [
        ("chunks", |_| Reply("200 OK\nTransfer-Encoding: chunked".into(), chunks(&object()), Then::Close)),
        ("chunks with a length", |_| {
            let head = "200 OK\nContent-Length: 5\nTransfer-Encoding: chunked";
            Reply(head.into(), chunks(&object()), Then::Close)
        }),
        ("bytes behind the end", |_| {
            let Reply(head, body, then) = whole(&object(), STRONG);
            Reply(head, [&body[..], b"and fifty more"].concat(), then)
        }),
        ("no length at all", |_| Reply("200 OK".into(), object(), Then::Close)),
        ("a kept connection that is closed after all", |request| {
            let Reply(head, body, then) = honest(&object(), STRONG, request);
            let head = format!("HTTP/1.1 {}\r\nConnection: keep-alive\r\n\r\n", head.replace('\n', "\r\n"));
            Reply(String::new(), [head.into_bytes(), body].concat(), then)
        }),
    ];
    for (name, answer) in cases {
        let server = Server::start(answer);
        assert!(drained(&server, &context()).unwrap() == object(), "{name}");
        assert!(
            server.seen().iter().all(|request| request.method == "GET"),
            "{name}: nobody asks for a HEAD"
        );
    }
}

#[test]
fn a_connection_that_was_promised_and_is_gone_costs_a_range_nothing() {
    let bytes = data(FAR + 600_000);
    let served = bytes.clone();
    let server = Server::start(move |request| {
        let Reply(head, body, then) = honest(&served, STRONG, request);
        let head = format!("HTTP/1.1 {}\r\nConnection: keep-alive\r\n\r\n", head.replace('\n', "\r\n"));
        Reply(String::new(), [head.into_bytes(), body].concat(), then)
    });
    let place = random(&server, &context());
    for at in [FAR, FAR + 100_000, FAR + 200_000] {
        let mut part = vec![0; 5000];
        place.read_exact_at(&mut part, at as u64).unwrap();
        assert!(part == bytes[at..at + 5000]);
    }
}

#[test]
fn a_stream_that_is_reset_goes_on() {
    for validator in [STRONG, super::WEAK] {
        let server = Server::start(move |request| match request.number {
            1 => {
                let Reply(head, body, _) = cut(honest(&object(), validator, request), 300_000);
                Reply(head, body, Then::Reset)
            }
            _ => honest(&object(), validator, request),
        });
        assert!(drained(&server, &context()).unwrap() == object(), "{validator}");
        assert_eq!(server.seen().len(), 2, "{validator}");
    }
}

#[test]
fn lengths_that_lie_end_as_what_they_are() {
    // More was promised than there is: it never comes. Less: the stream ends there, and only what is
    // inside can tell; but ranges show the whole length.
    let shorter = |request: &Request| match request.range {
        Some((_, None)) | None => {
            let Reply(_, body, then) = whole(&object(), STRONG);
            Reply(format!("200 OK\n{STRONG}\nContent-Length: 399000"), body, then)
        }
        _ => honest(&object(), STRONG, request),
    };
    let server = Server::start(shorter);
    let bytes = drained(&server, &context()).unwrap();
    assert!(bytes == object()[..399_000]);
    for (head, words) in [
        ("206 Partial Content\nContent-Range: bytes 0-399998/400000", "Content-Length is 400000"),
        ("206 Partial Content\nContent-Range: bytes 5-400004/400005", "starts at 5"),
        ("206 Partial Content\nContent-Type: text/plain", "without a Content-Range"),
        ("206 Partial Content\nContent-Type: multipart/byteranges; boundary=x", "multipart"),
    ] {
        let server = Server::start(move |_| {
            Reply(format!("{head}\n{STRONG}\nContent-Length: 400000"), object(), Then::Close)
        });
        let error = open(&server, &context()).map(drop).unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (Kind::Integrity, 1), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_range_that_lies_later_is_an_error_and_not_tried_again() {
    let total = FAR + 600_000;
    let lies: [(&str, Answer); 6] = [
        ("200 to a range", |_| whole(&data(FAR + 600_000), STRONG)),
        ("now has 77", |request| {
            let Reply(head, body, then) = honest(&data(FAR + 600_000), STRONG, request);
            Reply(head.replace(&format!("/{}", FAR + 600_000), &format!("/77{}", FAR)), body, then)
        }),
        ("without a total", |request| {
            let Reply(head, body, then) = honest(&data(FAR + 600_000), STRONG, request);
            Reply(head.replace(&format!("/{}", FAR + 600_000), "/*"), body, then)
        }),
        ("past what was asked", |request| {
            let more = request.range.map(|(start, end)| (start, end.map(|end| end + 9)));
            honest(&data(FAR + 600_000), STRONG, &Request { range: more, ..request.clone() })
        }),
        ("has none at", |_| status("416 No")),
        ("its ETag was", |request| honest(&data(FAR + 600_000), "ETag: \"two\"", request)),
    ];
    for (words, lie) in lies {
        let server = Server::start(move |request| match request.range {
            Some((start, Some(_))) if start >= FAR => lie(request),
            _ => honest(&data(FAR + 600_000), STRONG, request),
        });
        let place = random(&server, &context());
        assert_eq!(place.len(), total as u64);
        let error = place.read_exact_at(&mut [0; 512], FAR as u64).unwrap_err();
        let error = Error::from_io(error, Kind::Other);
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert_eq!(server.seen().len(), 3, "{words}: the first, the proof, the lie");
    }
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    for (answer, requests, words) in [
        ("302 Found\nLocation: /disk.img", 11, "more than 10 in a row"),
        ("307 There", 1, "no Location"),
        ("308 There\nLocation: http://[::bad/", 1, "no URL"),
        ("301 There\nLocation: file:///etc/passwd", 1, "a file: URL"),
        ("302 There\nLocation: http://169.254.169.254/latest/", 1, "169.254.169.254"),
        ("300 Many", 1, "cannot be followed"),
    ] {
        let server = Server::start(move |_| status(answer));
        let error = open(&server, &context()).map(drop).unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (Kind::Refused, requests), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    // Ten in a row are not too many.
    let server = Server::start(|request| match request.number {
        1..=10 => status(&format!("302 Found\nLocation: /hop{}", request.number)),
        _ => honest(&object(), STRONG, request),
    });
    assert!(matches!(open(&server, &context()).unwrap(), Input::Random(_)));
}
