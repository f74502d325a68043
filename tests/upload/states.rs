//! One upload at a time: busy, done, slow, and what clients are told without being read.

use super::post;
use crate::cli::Disks;
use crate::common::upload::{Receiver, Wire, curl};
use crate::common::wait_for;

/// The header that announces `count` bytes.
pub(super) fn len(count: usize) -> String {
    format!("Content-Length: {count}\n")
}

#[test]
fn a_second_upload_is_503_while_the_first_runs_and_409_after_it() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let mut first = Wire::post(&receiver, "/v1beta1/upload", &len(disks.bytes.len()));
    first.send(&disks.bytes[..2 << 20]);
    assert!(wait_for(|| disks.target.exists()), "no upload began");
    receiver.post(&disks.raw).expect(503).says("another upload is arriving");
    for path in ["upload-async", "upload-form", "upload-form-async", "upload-archive"] {
        post(Vec::new(), &receiver.url(&format!("/v1beta1/{path}")), &disks.raw).expect(503);
    }
    curl([receiver.url("/healthz")]).expect(200);
    curl([receiver.url("/v1beta1/nothing")]).expect(404);
    // One whose request has begun before the first ends, and is read after it.
    let mut late = Wire::open(&receiver);
    late.send("POST /v1beta1/upload HTTP/1.1\r\nHost: here\r\n");
    // What came after it was answered, so its first bytes were seen.
    for _ in 0..3 {
        curl([receiver.url("/healthz")]).expect(200);
    }
    first.send(&disks.bytes[2 << 20..]);
    let answer = first.rest();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    late.send("Content-Length: 9\r\n\r\n");
    let answer = late.rest();
    assert!(answer.starts_with("HTTP/1.1 409 ") && answer.contains("has succeeded already"), "{answer}");
    receiver.finish();
    disks.is_poured();
}

#[test]
fn a_slow_client_holds_nobody_up() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let image = disks.dir().join("slow.raw");
    std::fs::write(&image, &disks.bytes[..200 << 10]).unwrap();
    let url = receiver.url("/v1beta1/upload");
    std::thread::scope(|scope| {
        let args = ["--limit-rate", "100k"].map(str::to_owned).to_vec();
        let slow = scope.spawn(|| post(args, &url, &image));
        let mut asked = 0;
        while !slow.is_finished() {
            // The last question may come when the server has gone.
            match curl([receiver.url("/healthz")]).status {
                200 => asked += 1,
                status => assert!(wait_for(|| slow.is_finished()), "healthz says {status}"),
            }
        }
        slow.join().unwrap().expect(200);
        assert!(asked > 10, "{asked}");
    });
    receiver.finish();
    assert!(std::fs::read(&disks.target).unwrap() == disks.bytes[..200 << 10]);
}

#[test]
fn who_waits_for_100_continue_gets_it_or_a_refusal_at_once() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let headers = format!("{}Expect: 100-continue\n", len(disks.bytes.len()));
    for (path, extra, status) in [
        ("/v1beta1/nothing", "", "404"),
        ("/v1beta1/upload", "Origin: https://evil.example\n", "401"),
        ("/v1beta1/upload-form", "", "400"),
    ] {
        let mut wire = Wire::post(&receiver, path, &format!("{headers}{extra}"));
        let answer = wire.next(999);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let mut first = Wire::post(&receiver, "/v1beta1/upload", &headers);
    assert_eq!(first.next("HTTP/1.1 100 Continue\r\n\r\n".len()), "HTTP/1.1 100 Continue\r\n\r\n");
    let answer = Wire::post(&receiver, "/v1beta1/upload", &headers).next(999);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    first.send(&disks.bytes);
    let answer = first.rest();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("content-length: 0"), "{answer}");
    receiver.finish();
    disks.is_poured();
}

#[test]
fn a_refused_client_that_sends_on_reads_its_answer() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let large = disks.dir().join("large.raw");
    std::fs::File::create(&large).unwrap().set_len(64 << 20).unwrap();
    for (path, origin, status) in [("nothing", "", 404), ("upload", "Origin: https://evil.example", 401)] {
        let args = ["-H", "Expect:", "-H", origin].map(str::to_owned).to_vec();
        let answer = post(args, &receiver.url(&format!("/v1beta1/{path}")), &large);
        answer.expect(status);
        assert_eq!(answer.code, 0, "{answer:?}");
    }
}
