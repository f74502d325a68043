//! 9.A: web servers that are as they should be, and odd ones.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::Case::Always;
use super::Row;
use super::bench::{Bench, DISK, MI, ODD, is_complete};
use super::ending::{page, percent};
use crate::common::depot::{Depot, Reply};
use crate::common::server::closed_port;
use crate::common::{noise, pod, qemu};

pub(super) const ROWS: &[Row] = &[
    ("A1", "a raw image into a file", Always(a1)),
    ("A2", "QCOW2 into a file", Always(a2)),
    ("A3", "compressed images", Always(a3)),
    ("A5", "a tar that is no archive", Always(a5)),
    ("A12", "404", Always(a12)),
    ("A13", "a host that nobody knows", Always(a13)),
    ("A14", "HEAD is forbidden", Always(a14)),
    ("A15", "no ranges", Always(a15)),
    ("A16", "503 for 3 of 4 requests", Always(a16)),
    ("A17", "Content-Type text/html", Always(a17)),
    ("A18", "a length that is missing or wrong", Always(a18)),
    ("A19", "URLs and certificate directories that make no sense", Always(a19)),
    ("A23", "no scratch space", Always(a23)),
    ("A30", "a body that ends early, and the restart", Always(a30)),
];

/// What 32 MiB are worth at an overhead of 0.06.
pub(super) const GROWN: u64 = 30 * MI;

fn pours(bench: &Bench, url: &str) {
    let volumes = bench.volumes();
    let ended = bench.import(&volumes, url);
    is_complete(&ended, false);
    volumes.holds(&bench.raw, GROWN);
    ended.logs("Successfully completed fsync(/data/disk.img) syscall, committed to disk");
}

fn a1(bench: &Bench) -> String {
    pours(bench, &bench.url("disk.img"));
    format!("exit 0, Import Complete, {DISK} bytes and zeros up to {GROWN}, mode 0660, fsync logged")
}

fn a2(bench: &Bench) -> String {
    pours(bench, &bench.url("disk.qcow2"));
    format!("exit 0, the raw disk and zeros up to {GROWN}")
}

fn a3(bench: &Bench) -> String {
    let names =
        ["disk.img.gz", "disk.img.xz", "disk.img.zst", "disk.qcow2.gz", "disk.qcow2.xz", "disk.qcow2.zst"];
    for name in names {
        pours(bench, &bench.url(name));
    }
    format!("exit 0 and the same disk from {}", names.join(", "))
}

fn a5(bench: &Bench) -> String {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(bench.raw.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "disk.img", &bench.raw[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    let volumes = bench.volumes();
    is_complete(&bench.import(&volumes, &bench.serve("disk.tar", &tar)), false);
    volumes.holds(&tar, GROWN);
    "exit 0, the bytes of the tar".to_owned()
}

fn a12(bench: &Bench) -> String {
    let volumes = bench.volumes();
    let ended = bench.import(&volumes, &bench.url("absent"));
    let words =
        "Unable to connect to http data source: expected status code 200, got 404. Status: 404 Not Found";
    ended.expect(1).logs(words);
    assert_eq!(ended.message, words);
    volumes.is_empty();
    // A gateway without a server behind it, as the log has to show it.
    let depot = Depot::start("127.0.0.1", |_| Reply::status(502));
    let gateway = bench.import(&volumes, &format!("http://{}/disk.img", depot.address()));
    gateway.expect(1).tells("got 502. Status: 502 Bad Gateway").logs("502 Bad Gateway");
    volumes.is_empty();
    format!("{}; {}", ended.message, gateway.message)
}

fn a13(bench: &Bench) -> String {
    let ended = bench.import(&bench.volumes(), "http://no-such-host.invalid/disk.img");
    let words = "Unable to connect to http data source: HTTP request errored: ";
    ended.expect(1).logs(words);
    assert!(ended.message.starts_with(words), "{}", ended.message);
    let closed = format!("http://{}/disk.img", closed_port());
    let refused = bench.import(&bench.volumes(), &closed);
    refused.expect(1).tells(words).logs(words);
    ended.message
}

fn a14(bench: &Bench) -> String {
    for status in [403, 405] {
        let body = bench.raw.clone();
        let depot = Depot::start("127.0.0.1", move |request| {
            if request.method == "HEAD" { Reply::status(status) } else { Reply::text(body.clone()) }
        });
        pours(bench, &format!("http://{}/disk.img", depot.address()));
    }
    "exit 0 with 403 and with 405; HEAD is never asked".to_owned()
}

fn a15(bench: &Bench) -> String {
    pours(bench, &bench.nginx.url(ODD, "plain/disk.img"));
    pours(bench, &bench.nginx.url(ODD, "plain/disk.qcow2"));
    "exit 0, raw and QCOW2".to_owned()
}

fn a16(bench: &Bench) -> String {
    let (body, count) = (bench.raw.clone(), AtomicUsize::new(0));
    let depot = Depot::start("127.0.0.1", move |_| match count.fetch_add(1, SeqCst) % 4 {
        3 => Reply::text(body.clone()),
        _ => Reply::status(503),
    });
    pours(bench, &format!("http://{}/disk.img", depot.address()));
    format!("exit 0 after {} requests in one process", depot.seen().len())
}

fn a17(bench: &Bench) -> String {
    let volumes = bench.volumes();
    let ended = bench.import(&volumes, &bench.nginx.url(ODD, "page/disk.img"));
    is_complete(&ended, false);
    volumes.holds(&bench.raw, GROWN);
    let words = "Unexpected content type 'text/html'. Content might not be a KubeVirt image.";
    ended.logs(words);
    format!("exit 0, logged: {words}")
}

fn a18(bench: &Bench) -> String {
    // Without a length and without chunks: the end of the connection is the end of the disk.
    let depot = Depot::start("127.0.0.1", {
        let body = bench.raw.clone();
        move |_| Reply { unsized_body: true, ..Reply::text(body.clone()) }
    });
    pours(bench, &format!("http://{}/disk.img", depot.address()));
    let values = unmeasured(bench);
    // CDI's client takes such a length for none. Ours refuses the answer, and is right: a length that is no
    // number is how requests are smuggled.
    let depot = Depot::start("127.0.0.1", {
        let body = bench.raw.clone();
        move |_| Reply { length: Some("many".to_owned()), ..Reply::text(body.clone()) }
    });
    let ended = bench.import(&bench.volumes(), &format!("http://{}/disk.img", depot.address()));
    ended.expect(1).tells("Unable to connect to http data source: ");
    format!(
        "without a length exit 0, {values} times 0.0 on the way; with `many` as one it deviates: {}",
        ended.message
    )
}

/// How often a pod whose server tells no length showed its progress before the end: as none.
fn unmeasured(bench: &Bench) -> usize {
    let volumes = bench.volumes();
    let pod = volumes.http(&bench.nginx.url(ODD, "unsized/disk.img"));
    let mut values = Vec::new();
    let ended = std::thread::scope(|scope| {
        let run = scope.spawn(|| pod.run());
        while !run.is_finished() {
            values.extend(page("metrics").map(|page| percent(&page)));
        }
        run.join().unwrap()
    });
    is_complete(&ended, false);
    volumes.holds(&bench.raw, GROWN);
    let none = values.iter().take_while(|value| **value == 0.0).count();
    assert!(none > 0 && values[none..].iter().all(|value| *value == 100.0), "{values:?}");
    none
}

fn a19(bench: &Bench) -> String {
    let mut seen = Vec::new();
    for url in ["htp://x/disk.img", "http://", "", "disk.img", "/etc/passwd", "file:///etc/passwd", "-"] {
        let volumes = bench.volumes();
        let ended = bench.import(&volumes, url);
        ended.expect(1).tells("Unable to connect to http data source: ");
        volumes.is_empty();
        seen.push(ended.message);
    }
    // What is there in every pod is not for who names the endpoint to read.
    for (image, why) in [
        ("/etc/passwd", "expected colon-separated transport:reference"),
        ("-", "expected colon-separated transport:reference"),
        ("file:///etc/passwd", "unknown transport"),
        ("docker-archive:/etc/passwd", "unknown transport"),
    ] {
        let volumes = bench.volumes();
        let ended = volumes.pod("registry", image).run();
        ended.expect(1).tells(&format!("Invalid image name {image:?}, {why}"));
        volumes.is_empty();
    }
    assert!(seen[2].ends_with(r#"endpoint "IMPORTER_ENDPOINT" is missing or blank"#), "{}", seen[2]);
    let url = bench.url("disk.img");
    let ended = bench.volumes().http(&url).env("IMPORTER_CERT_DIR", "/certs").run();
    ended.expect(1).tells("Unable to connect to http data source: Error listing files in /certs");
    ended.message
}

fn a23(bench: &Bench) -> String {
    // Nothing of the above had any; with scratch space nothing is left in it.
    let volumes = bench.volumes();
    let scratch = pod::directory(&volumes.dir, "scratch");
    let ended = volumes.http(&bench.url("disk.qcow2.gz")).volume("/scratch", &scratch).run();
    is_complete(&ended, false);
    volumes.holds(&bench.raw, GROWN);
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    // The policy that CDI has, by a variable of ours.
    let volumes = bench.volumes();
    let strict = || volumes.http(&bench.url("disk.qcow2.gz")).env("DISKPOUR_SCRATCH_POLICY", "strict");
    let ended = strict().env("PREALLOCATION", "true").run();
    ended.expect(0);
    assert_eq!(ended.json()["scratchSpaceRequired"], true);
    assert_eq!(ended.json()["preallocationApplied"], false, "nothing was written");
    volumes.is_empty();
    is_complete(&strict().volume("/scratch", &scratch).run(), false);
    volumes.holds(&bench.raw, GROWN);
    format!("success without any; {}; under the strict policy exit 0 and {}", held(bench), ended.message)
}

/// An image of which more has to be held than memory is there for: its L1 table lies at its end.
fn held(bench: &Bench) -> String {
    let raw = bench.root().join("held.raw");
    std::fs::write(&raw, noise(72 << 20, 13)).unwrap();
    let qcow2 = bench.root().join("held.qcow2");
    qemu::img("convert -f raw -O qcow2 -o cluster_size=512", &[&raw, &qcow2]);
    qemu::img_last("resize -q -f qcow2", &qcow2, "100M");
    let url = bench.nginx.url(ODD, "plain/held.qcow2");
    let volumes = bench.volumes();
    let scratch = pod::directory(&volumes.dir, "scratch");
    let pod = || volumes.http(&url).env("IMPORTER_IMAGE_SIZE", "128Mi");
    let ended = pod().run();
    ended.expect(0);
    let said = serde_json::json!({
        "scratchSpaceRequired": true, "preallocationApplied": false, "message": "Import Complete",
    });
    assert_eq!(ended.json(), said);
    volumes.is_empty();
    is_complete(&pod().volume("/scratch", &scratch).run(), false);
    volumes.holds(&std::fs::read(raw).unwrap(), 120 * MI);
    "scratchSpaceRequired where 72 MiB must be held without ranges, and success with scratch".to_owned()
}

fn a30(bench: &Bench) -> String {
    let body = bench.raw.clone();
    let depot = Depot::start("127.0.0.1", move |_| Reply { cut: Some(3 << 20), ..Reply::text(body.clone()) });
    let volumes = bench.volumes();
    let ended = bench.import(&volumes, &format!("http://{}/disk.img", depot.address()));
    ended.expect(1).tells("Unable to process data: ");
    volumes.is_empty();
    is_complete(&bench.import(&volumes, &bench.url("disk.img")), false);
    volumes.holds(&bench.raw, GROWN);
    format!("{}; nothing left; then exit 0", ended.message)
}
