//! Uploads that break: the target is clean after each, and the next upload is taken.

use std::time::{Duration, Instant};

use super::{Papers, post, states};
use crate::cli::Disks;
use crate::common::upload::{Receiver, Wire, curl, curl_command};
use crate::common::wait_for;

#[test]
fn a_client_that_is_killed_half_way_can_come_again() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    for path in ["upload", "upload-async", "upload-form"] {
        let url = receiver.url(&format!("/v1beta1/{path}"));
        let mut command = curl_command();
        if path == "upload-form" {
            command.arg("-F").arg(format!("file=@{}", disks.raw.display()));
        } else {
            command.args(["-X", "POST", "-T"]).arg(&disks.raw);
        }
        let mut client = command.args(["--limit-rate", "1M", &url]).spawn().unwrap();
        let began = wait_for(|| disks.target.exists());
        client.kill().unwrap();
        client.wait().unwrap();
        assert!(began, "no upload began");
        assert!(wait_for(|| !disks.target.exists() && !disks.marker().exists()), "the target is left");
        // The target is clean a moment before the next upload may begin.
        let probe = || curl(["-F", "no=file", &receiver.url("/v1beta1/upload-form")]).status;
        assert!(wait_for(|| probe() == 400), "the server is still busy");
    }
    receiver.post(&disks.qcow2).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn a_body_that_ends_early_is_500_and_never_an_image() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let bytes = &disks.bytes[..1 << 20];
    let chunked = "Transfer-Encoding: chunked\n";
    let form = format!("{}Content-Type: multipart/form-data; boundary=b\n", states::len(2 << 20));
    let part = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
    let chunk = [b"100000\r\n", bytes, b"\r\n"].concat();
    let cases: [(&str, &str, Vec<u8>); 5] = [
        ("/v1beta1/upload", &states::len(2 << 20), bytes.to_vec()),
        ("/v1beta1/upload", chunked, chunk.clone()),
        ("/v1beta1/upload", chunked, chunk[..chunk.len() / 2].to_vec()),
        ("/v1beta1/upload-form", &form, [&part[..], bytes].concat()),
        // The file is whole, but the form is not.
        ("/v1beta1/upload-form", &form, [&part[..], bytes, b"\r\n--b\r\n"].concat()),
    ];
    for (path, headers, sent) in cases {
        let mut wire = Wire::post(&receiver, path, headers);
        wire.send(&sent);
        wire.end();
        let answer = wire.rest();
        assert!(answer.starts_with("HTTP/1.1 500 "), "{path} {headers}: {answer:?} {}", receiver.log());
        assert!(answer.contains("Saving stream failed: "), "{answer}");
        assert!(answer.contains("the upload broke off after"), "{answer}");
        disks.is_clean();
    }
    receiver.post(&disks.qcow2).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn a_form_whose_last_boundary_is_missing_is_no_upload() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let form =
        [b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n", &disks.bytes[..1 << 20], b"\r\n--"]
            .concat();
    let headers = format!("{}Content-Type: multipart/form-data; boundary=b\n", states::len(form.len()));
    let mut wire = Wire::post(&receiver, "/v1beta1/upload-form", &headers);
    wire.send(&form);
    let answer = wire.next(9999);
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    disks.is_clean();
    post(Vec::new(), &receiver.url("/v1beta1/upload-form"), &disks.raw).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn a_silent_client_is_given_up_and_the_next_is_taken() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &["--idle-timeout", "300ms"]);
    for sent in [0, 1 << 20] {
        let mut wire = Wire::post(&receiver, "/v1beta1/upload", &states::len(2 << 20));
        wire.send(&disks.bytes[..sent]);
        let answer = wire.rest();
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.contains("no byte of the upload for 300 ms; the limit is --idle-timeout"), "{answer}");
        disks.is_clean();
    }
    receiver.post(&disks.raw).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn heads_that_are_too_long_or_too_slow_end_their_connection() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let tls = Papers::new(disks.dir()).receiver(&disks.dir().join("other.img"), &[]);
    let start = Instant::now();
    let handshake = Wire::open(&tls);
    let mut slow = Wire::open(&receiver);
    slow.send("POST /v1beta1/upload HTTP/1.1\r\n");
    let idle = Wire::open(&receiver);
    let mut long = Wire::open(&receiver);
    long.send(format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(70 << 10)));
    assert!(long.rest().starts_with("HTTP/1.1 431 "));
    curl([receiver.url("/healthz")]).expect(200);
    slow.rest();
    idle.rest();
    handshake.rest();
    let took = start.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(15), "{took:?}");
    receiver.post(&disks.raw).expect(200);
    receiver.finish();
}

#[test]
fn a_handshake_that_never_comes_does_not_hold_up_the_end() {
    let disks = Disks::new();
    let papers = Papers::new(disks.dir());
    let receiver = papers.receiver(&disks.target, &[]);
    let silent = Wire::open(&receiver);
    post(papers.client(Some("good")), &receiver.url("/v1beta1/upload"), &disks.qcow2).expect(200);
    let start = Instant::now();
    receiver.finish();
    // Open connections have five seconds to end.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(silent.rest(), "");
}

#[test]
fn a_client_that_writes_everything_before_it_reads_gets_its_answer() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let (pieces, piece) = (40, vec![b'x'; 64 << 10]);
    let mut wire = Wire::post(&receiver, "/v1beta1/nothing", &states::len(pieces * piece.len()));
    let start = Instant::now();
    for _ in 0..pieces {
        // A client that is slower than the limit on silence times two, and never silent.
        std::thread::sleep(Duration::from_millis(120));
        wire.send(&piece);
    }
    assert!(start.elapsed() > Duration::from_secs(4));
    assert!(wire.rest().starts_with("HTTP/1.1 404 "));
    receiver.end(rustix::process::Signal::TERM);
}
