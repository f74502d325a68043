//! Servers with keys, and pods, whose secrets are in their environment.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use rustix::process::Signal;

use super::vault::{USER, Vault};
use super::web::{answer, loud};
use crate::common::apart::apart;
use crate::common::depot::Depot;
use crate::common::pod::{self, Ended, Pod};
use crate::common::server::closed_port;
use crate::common::upload::{Receiver, Wire, curl};
use crate::common::{noise, run, wait_for, workshop};
use crate::pod::importer;
use crate::upload::{Papers, post};

/// The second line of a key, which is all secret.
fn heart(papers: &Papers, name: &str) -> String {
    fs::read_to_string(papers.dir.join(name)).unwrap().lines().nth(1).unwrap().to_owned()
}

fn kept(vault: &Vault, what: &str, ended: &Ended, code: i32) {
    vault.is_none_of(&format!("{what}, termination message"), &ended.message);
    vault.is_none_of(&format!("{what}, log"), &ended.stderr);
    ended.expect(code);
}

#[test]
fn an_upload_server_keeps_its_key() {
    let workshop = workshop();
    let papers = Papers::new(workshop.path());
    let vault = Vault::new([
        ("server's key", heart(&papers, "server.key")),
        ("client's key", heart(&papers, "good.key")),
    ]);
    let (target, disk) = (workshop.path().join("target.img"), workshop.path().join("disk.raw"));
    fs::write(&disk, noise(64 << 10, 51)).unwrap();
    let receiver = papers.receiver(&target, &["--log-level", "debug"]);
    let url = receiver.url("/v1beta1/upload");
    let mut said = vec![post(papers.client(None), &url, &disk).body];
    Wire::open(&receiver).send(noise(5000, 52));
    let damaged = workshop.path().join("damaged.qcow2");
    fs::write(&damaged, [b"QFI\xfb".to_vec(), noise(2000, 55)].concat()).unwrap();
    said.push(post(papers.client(Some("good")), &url, &damaged).expect(500).body.clone());
    said.push(curl([papers.client(Some("good")), vec![receiver.url("/v1beta1/none?a=b")]].concat()).body);
    let done = post(papers.client(Some("good")), &url, &disk);
    done.expect(200);
    said.extend([done.body, receiver.log(), receiver.finish().to_string()]);
    vault.is_none_of("the upload server", &said.join("\n"));
    // A key whose first line lost its end, which the library would quote.
    let (cert, key) = (papers.dir.join("server.crt"), papers.dir.join("damaged.key"));
    let text = fs::read_to_string(papers.dir.join("server.key")).unwrap();
    for damage in
        [text.replace("KEY-----\n", "KEY--"), text.replace('\n', ""), text.replace("-----END", "-----")]
    {
        fs::write(&key, damage).unwrap();
        let run = run::diskpour().arg("upload-server").arg(&target).arg("--tls-cert").arg(&cert);
        vault.kept("a damaged key", loud(run.arg("--tls-key").arg(&key)).run()).expect(2);
    }
}

/// A pod with all the secrets that an importer can have, from `endpoint`.
fn secretive(vault: &Vault, dir: &Path, endpoint: &str) -> Pod {
    let headers = pod::directory(dir, "headers");
    fs::write(headers.join("0"), format!("X-Secret: {}", vault.get("header of a secret"))).unwrap();
    importer(dir, "http", endpoint)
        .env("IMPORTER_ACCESS_KEY_ID", USER)
        .env("IMPORTER_SECRET_KEY", vault.get("password"))
        .env("IMPORTER_EXTRA_HEADER_0", format!("X-Extra: {}", vault.get("extra header")))
        .env("RUST_LOG", "trace")
        .arg("-v=9")
        .volume("/extraheaders", &headers)
        .volume("/data", pod::directory(dir, "data"))
}

#[test]
fn importer_pods_keep_what_is_in_their_environment() {
    let vault = Vault::new([
        ("password", "P0d/pass=word+1"),
        ("header of a secret", "he4der-of-a-s3cret"),
        ("extra header", "ext4a-header-of-the-p0d"),
        ("signature in the query", "sign4ture/of+the-p0d"),
    ]);
    let workshop = workshop();
    apart(|| {
        let disk = noise(64 << 10, 53);
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let depot = Depot::start("127.0.0.1", move |request| {
            if request.path.starts_with("/disk?held") {
                held.lock().unwrap().recv().ok();
            }
            answer(request, &disk, "127.0.0.1:1")
        });
        let signature = vault.escaped("signature in the query");
        let endpoint = |path: &str| format!("http://{}/{path}&sig={signature}", depot.address());
        let dir = |name: &str| pod::directory(workshop.path(), name);
        // While it runs: the metrics, and what everybody on the machine sees of a process.
        let running = secretive(&vault, &dir("held"), &endpoint("disk?held")).start();
        assert!(wait_for(|| TcpStream::connect("127.0.0.1:8443").is_ok()), "no metrics");
        for path in ["metrics", "", "debug/pprof/cmdline"] {
            let page = curl(["-k", &format!("https://127.0.0.1:8443/{path}")]);
            vault.is_none_of("the metrics", &page.expect(200).body);
        }
        let process = format!("/proc/{}", running.program().as_raw_nonzero());
        let line = fs::read(format!("{process}/cmdline")).unwrap();
        assert_eq!(line, b"/program/diskpour\0-v=3\0-v=9\0");
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        release.send(()).unwrap();
        kept(&vault, "held", &running.finish(), 0);
        for (path, code) in [
            ("disk?a=b", 0),
            ("401?a", 1),
            ("403?a", 1),
            ("501?a", 1),
            ("astray?a", 1),
            ("lie?a", 1),
            ("moved?a", 1),
            ("typed?a", 0),
        ] {
            let ended = secretive(&vault, &dir(path.split('?').next().unwrap()), &endpoint(path)).run();
            kept(&vault, path, &ended, code);
        }
        vault.were_used(
            &depot.seen(),
            &["password", "header of a secret", "extra header", "signature in the query"],
        );
        let nobody =
            format!("http://{USER}:{}@{}/x?sig={signature}", vault.escaped("password"), closed_port());
        kept(&vault, "nobody there", &secretive(&vault, &dir("nobody"), &nobody).run(), 1);
        let unknown = secretive(&vault, &dir("unknown"), &nobody.replace("http:/", "htp:/")).run();
        kept(&vault, "no URL", &unknown, 1);
    });
}

#[test]
fn clone_sources_keep_their_key() {
    let workshop = workshop();
    let papers = Papers::new(workshop.path());
    let vault = Vault::new([
        ("client's key", heart(&papers, "good.key")),
        ("server's key", heart(&papers, "server.key")),
    ]);
    apart(|| {
        let files = pod::directory(workshop.path(), "files");
        fs::write(files.join("disk.img"), noise(64 << 10, 54)).unwrap();
        let text = |name: &str| fs::read_to_string(papers.dir.join(name)).unwrap();
        let source = |key: &str, url: &str| {
            let mount = "/var/run/cdi/clone/source";
            Pod::new(&pod::directory(workshop.path(), "source"))
                .env("CLIENT_KEY", key)
                .env("CLIENT_CERT", text("good.crt"))
                .env("SERVER_CA_CERT", text("ca.crt"))
                .env("UPLOAD_URL", url)
                .env("OWNER_UID", "a-b-c")
                .env("PREALLOCATION", "false")
                .env("VOLUME_MODE", "filesystem")
                .env("MOUNT_POINT", mount)
                .env("RUST_LOG", "trace")
                .arg("-v=9")
                .volume(mount, &files)
                .run()
        };
        let key = text("good.key");
        let nobody = format!("https://{}/v1beta1/upload", closed_port());
        kept(&vault, "nobody there", &source(&key, &nobody), 255);
        kept(&vault, "a damaged key", &source(&key.replace("KEY-----\n", "KEY--"), &nobody), 255);
        let receiver = papers.receiver(&workshop.path().join("target.img"), &["--log-level", "debug"]);
        let refused = source(&key, &receiver.url("/v1beta1/none"));
        kept(&vault, "refused", &refused, 255);
        let done = source(&key, &receiver.url("/v1beta1/upload"));
        kept(&vault, "a clone", &done, 0);
        let log = receiver.log();
        vault.is_none_of("the clone's target", &log);
        receiver.finish();
    });
}

/// What crashes leaves no core, and nobody else may look into it.
#[test]
fn a_run_leaves_no_core() {
    let workshop = workshop();
    let target = workshop.path().join("target.img");
    let receiver = Receiver::plain(&target, &[]);
    let limits = receiver.proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert!(receiver.proc("status").contains("NoNewPrivs:\t1"));
    receiver.end(Signal::TERM);
}
