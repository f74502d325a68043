//! 9.E: node pull, with a server beside the pod as CDI's.

use std::fs;
use std::path::{Path, PathBuf};

use super::Case::Always;
use super::Row;
use super::bench::{Bench, Volumes, importer};
use super::web::GROWN;
use crate::common::depot::{Depot, Reply};
use crate::common::pod::{self, Pod, Running};

pub(super) const ROWS: &[Row] = &[
    ("E13", "the handshake of node pull", Always(e13)),
    ("E14", "a server that is never ready", Always(e14)),
];

/// The address that the controller gives to every pod.
const SERVER: &str = "127.0.0.1:8100";
const ENDPOINT: &str = "http://localhost:8100/disk.img";

fn pulling(pod: Pod, shared: &Path) -> Pod {
    pod.env("IMPORTER_PULL_METHOD", "node")
        .env("IMPORTER_READY_FILE", "/shared/ready")
        .env("IMPORTER_DONE_FILE", "/shared/done")
        .volume("/shared", shared)
}

/// A pod that waits for ever, as far as it knows. It is started early, as that takes its time.
pub(super) fn waiting(dir: &Path) -> Running {
    let (data, shared) = (pod::directory(dir, "data"), pod::directory(dir, "shared"));
    pulling(importer(dir, "http", ENDPOINT).volume("/data", data), &shared)
        .within(std::time::Duration::from_secs(120))
        .start()
}

/// Runs a pod beside a server of `files`, which says that it is ready with `name` once the pod runs.
fn beside(bench: &Bench, files: Vec<(&'static str, Vec<u8>)>, name: &str) -> (Volumes, PathBuf, pod::Ended) {
    let volumes = bench.volumes();
    let shared = pod::directory(&volumes.dir, "shared");
    let _server = Depot::at(SERVER, move |request| {
        let found = files.iter().find(|(name, _)| request.path == format!("/{name}"));
        found.map_or_else(|| Reply::status(404), |(_, bytes)| Reply::text(bytes.clone()))
    });
    let running = pulling(volumes.http(ENDPOINT), &shared).start();
    running.program();
    // All at once, as a rename makes it.
    fs::write(shared.join("new"), name).unwrap();
    fs::rename(shared.join("new"), shared.join("ready")).unwrap();
    let ended = running.finish();
    (volumes, shared, ended)
}

fn e13(bench: &Bench) -> String {
    let qcow2 = fs::read(bench.root().join("disk.qcow2")).unwrap();
    let info = br#"{"env":["PATH=/bin","KUBEVIRT_IO_TEST=1"]}"#.to_vec();
    let rows = [
        ("disk.img", "disk.img", bench.raw.clone()),
        ("fedora.qcow2", "fedora.qcow2", qcow2),
        ("", "disk.img", bench.raw.clone()),
    ];
    for (name, served, bytes) in rows {
        let (volumes, shared, ended) = beside(bench, vec![(served, bytes), ("info", info.clone())], name);
        ended.expect(0);
        assert_eq!(ended.json()["labels"]["kubevirt.io/test"], "1");
        assert_eq!(ended.json()["message"], "Import Complete");
        volumes.holds(&bench.raw, GROWN);
        assert!(shared.join("done").exists());
    }
    // Labels that cannot be had are no failure.
    let (volumes, shared, ended) = beside(bench, vec![("disk.img", bench.raw.clone())], "disk.img");
    super::bench::is_complete(&ended, false);
    volumes.holds(&bench.raw, GROWN);
    assert!(shared.join("done").exists());
    let (volumes, shared, ended) = beside(bench, vec![], "disk.img");
    ended.expect(1).tells("Unable to connect to http data source: ").tells("404");
    volumes.is_empty();
    assert!(!shared.join("done").exists(), "a failure starts again and needs the server");
    together(bench);
    "raw and QCOW2 under their own names, labels, done file; no done file after a failure; with our own server, which ends with 0".to_owned()
}

/// The importer beside our own server, which ends when the disk was taken or has to be taken anew.
fn together(bench: &Bench) {
    for (image, policy, required) in
        [("disk.img", "lean", false), ("disk.qcow2", "lean", false), ("disk.qcow2.gz", "strict", true)]
    {
        let volumes = bench.volumes();
        let [shared, served, home] =
            ["shared", "served", "home"].map(|name| pod::directory(&volumes.dir, name));
        fs::copy(bench.root().join(image), served.join("my disk+1")).unwrap();
        let server = Pod::new(&home).called("server").env("KUBEVIRT_IO_TEST", "1");
        let server = server.volume("/disk", &served).volume("/shared", &shared);
        let args = "-p 8100 -image-dir /disk -ready-file /shared/ready -done-file /shared/done";
        let server = args.split(' ').fold(server, Pod::arg).start();
        let ended = pulling(volumes.http(ENDPOINT), &shared).env("DISKPOUR_SCRATCH_POLICY", policy).run();
        ended.expect(0);
        assert_eq!(ended.json()["scratchSpaceRequired"], required, "{image}");
        if required {
            volumes.is_empty();
        } else {
            assert_eq!(ended.json()["labels"]["kubevirt.io/test"], "1");
            volumes.holds(&bench.raw, GROWN);
        }
        server.finish().expect(0);
        assert_eq!(fs::read_dir(&shared).unwrap().count(), 0, "the server has taken note");
    }
}

fn e14(bench: &Bench) -> String {
    let ended = bench.waiting.take().unwrap().finish();
    ended.expect(1);
    assert_eq!(ended.message, "Timeout waiting for file /shared/ready");
    ended.message
}
