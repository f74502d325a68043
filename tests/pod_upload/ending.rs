//! How a server ends, and how it goes on.

use std::fs;
use std::time::Instant;

use rustix::process::Signal;

use super::Row;
use super::bench::{Bench, Server, holds_only, is_grown};
use crate::common::qemu::tool;
use crate::common::upload::Answer;
use crate::common::{noise, wait_for};

pub(super) const ROWS: &[Row] = &[
    ("F10", "a cut, and another try", cut),
    ("F11", "the deadline", deadline),
    ("F19", "SIGTERM", sigterm),
    ("F21", "less than announced", short),
];

const UPLOAD: &str = "/v1beta1/upload";

fn cut(bench: &Bench) -> String {
    let server = bench.serve();
    for image in [&bench.raw, &bench.qcow2] {
        let answer = server.post_when_free(&["--limit-rate", "500k", "--max-time", "1"], UPLOAD, image);
        was_cut(&answer);
    }
    server.post_when_free(&[], UPLOAD, &bench.qcow2).expect(200);
    let (disk, data) = (server.disk(), server.data.clone());
    server.done();
    is_grown(&disk, &bench.disk);
    holds_only(&data, &["disk.img"]);
    // Killed in the middle, the next container finds what was left, and has no room beside it.
    let room = bench.room(24 << 20);
    fs::write(room.data.join("disk.img"), noise(20 << 20, 1)).unwrap();
    fs::write(room.data.join(".disk.img.diskpour"), "").unwrap();
    let server = Server::start(bench, room.pod.env("UPLOAD_IMAGE_SIZE", "20Mi"), room.data);
    server.post(UPLOAD, &bench.raw).expect(200);
    let data = server.data.clone();
    server.done();
    holds_only(&data, &["disk.img"]);
    "cut twice, then 200; a leftover that fills the volume makes room for the next try".to_owned()
}

/// Asserts that the client gave up; it may have been told to go on before.
#[track_caller]
pub(super) fn was_cut(answer: &Answer) {
    assert!(answer.code == 28 && answer.status < 200, "{answer:?}");
}

/// The instant `after` from now, as the controller writes it.
fn instant(after: &str) -> String {
    tool("date", ["-u", "-d", after, "+%Y-%m-%dT%H:%M:%SZ"]).trim().to_owned()
}

fn deadline(bench: &Bench) -> String {
    let passed = r#"{"deadlinePassed":true,"message":"Deadline Passed"}"#;
    let server = bench.serve_as(|pod| pod.env("DEADLINE", instant("2 seconds")));
    assert_eq!(server.finish().expect(0).message, passed);
    let server = bench.serve_as(|pod| pod.env("DEADLINE", instant("2 seconds")));
    let start = Instant::now();
    server.post_with(&["--limit-rate", "800k"], UPLOAD, &bench.raw).expect(200);
    assert!(start.elapsed().as_secs() >= 2, "the upload was over before the deadline");
    let disk = server.disk();
    server.done();
    is_grown(&disk, &bench.disk);
    let server = bench.serve_as(|pod| pod.env("DEADLINE", instant("2 seconds")));
    let answer = server.post_with(&["--limit-rate", "500k", "--max-time", "3"], UPLOAD, &bench.raw);
    was_cut(&answer);
    assert_eq!(server.finish().expect(0).message, passed);
    let room = bench.room(1 << 20);
    let ended = room.pod.env("DEADLINE", "tomorrow").run();
    assert_eq!(ended.expect(255).logs("RFC 3339").message, "");
    "idle: deadlinePassed, exit 0; an upload under way ends first, a cut one counts as none; nonsense 255"
        .to_owned()
}

fn sigterm(bench: &Bench) -> String {
    let server = bench.serve();
    let start = Instant::now();
    let ended = server.end();
    assert_eq!(ended.expect(143).message, "");
    let idle = start.elapsed();
    let server = bench.serve();
    let slow = ["--limit-rate", "500k"];
    std::thread::scope(|scope| {
        let post = scope.spawn(|| server.post_with(&slow, UPLOAD, &bench.raw));
        assert!(wait_for(|| server.disk().exists()), "no upload began");
        server.signal(Signal::TERM);
        assert_ne!(post.join().unwrap().status, 200);
    });
    let data = server.data.clone();
    assert_eq!(server.finish().expect(143).message, "");
    holds_only(&data, &[]);
    assert!(idle.as_secs() < 2, "{idle:?}");
    format!("143 after {} ms, in the middle of an upload too; no message, nothing left", idle.as_millis())
}

fn short(bench: &Bench) -> String {
    let server = bench.serve();
    let args = ["-H", "Content-Length: 9000000", "--max-time", "2"];
    let answer = server.post_with(&args, UPLOAD, &bench.raw);
    was_cut(&answer);
    server.post_when_free(&[], UPLOAD, &bench.raw).expect(200);
    server.done();
    "no 200 for a part, and the next one 200; the 500 to a client that still listens is shown by upload::broken"
        .to_owned()
}
