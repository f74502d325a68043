//! 9.A: whom a pod trusts, what it says of itself, and which way it asks.

use std::fs;
use std::path::PathBuf;

use super::Case::Always;
use super::Row;
use super::bench::{Bench, GUARDED, PLAIN, SEALED, Volumes, is_complete};
use super::web::GROWN;
use crate::common::certificates::Authority;
use crate::common::depot::{Depot, Reply};
use crate::common::nginx::{Nginx, PASSWORD, Site, USER};
use crate::common::pod::Pod;
use crate::common::proxy::{Proxy, Rules};

pub(super) const ROWS: &[Row] = &[
    ("A6", "HTTPS with a CA of any file name", Always(a6)),
    ("A7", "HTTPS with no CA or another one", Always(a7)),
    ("A8", "INSECURE_TLS", Always(a8)),
    ("A9", "basic authentication", Always(a9)),
    ("A10", "a redirect within the origin keeps the password", Always(a10)),
    ("A11", "headers from the environment and from secrets", Always(a11)),
    ("A32", "proxies", Always(a32)),
];

const AGENT: &str = "cdi-golang-importer";

/// A directory of certificates as a ConfigMap is mounted.
pub(super) fn certificates(volumes: &Volumes, authority: &Authority, name: &str) -> PathBuf {
    let dir = volumes.dir.join(format!("certs-{name}"));
    fs::create_dir_all(dir.join("..2026")).unwrap();
    fs::write(dir.join("..2026").join(name), authority.pem()).unwrap();
    std::os::unix::fs::symlink("..2026", dir.join("..data")).unwrap();
    std::os::unix::fs::symlink(format!("..data/{name}"), dir.join(name)).unwrap();
    dir
}

pub(super) fn trusting(pod: Pod, certs: PathBuf) -> Pod {
    pod.env("IMPORTER_CERT_DIR", "/certs").volume("/certs", certs)
}

fn pours(bench: &Bench, volumes: &Volumes, pod: Pod) -> String {
    let ended = pod.run();
    is_complete(&ended, false);
    volumes.holds(&bench.raw, GROWN);
    ended.stderr
}

fn a6(bench: &Bench) -> String {
    let url = bench.nginx.url(SEALED, "disk.qcow2");
    for name in ["tls.crt", "ca.pem", "weird filename"] {
        let volumes = bench.volumes();
        let pod = trusting(volumes.http(&url), certificates(&volumes, &bench.authority, name));
        pours(bench, &volumes, pod);
    }
    "exit 0 with tls.crt, ca.pem and `weird filename`".to_owned()
}

fn a7(bench: &Bench) -> String {
    let url = bench.nginx.url(SEALED, "disk.qcow2");
    let volumes = bench.volumes();
    let alone = volumes.http(&url).run();
    let other = certificates(&volumes, &Authority::new("other"), "tls.crt");
    let wrong = trusting(volumes.http(&url), other).run();
    for ended in [&alone, &wrong] {
        let words = "Unable to connect to http data source: HTTP request errored: ";
        ended.expect(1).logs(words);
        assert!(ended.message.starts_with(words), "{}", ended.message);
    }
    volumes.is_empty();
    alone.message
}

fn a8(bench: &Bench) -> String {
    let volumes = bench.volumes();
    // A directory of certificates that is not there is not even looked for.
    let pod = volumes.http(&bench.nginx.url(SEALED, "disk.qcow2"));
    pours(bench, &volumes, pod.env("INSECURE_TLS", "true").env("IMPORTER_CERT_DIR", "/certs"));
    "exit 0".to_owned()
}

fn signed(pod: Pod, password: &str) -> Pod {
    pod.env("IMPORTER_ACCESS_KEY_ID", USER).env("IMPORTER_SECRET_KEY", password)
}

fn a9(bench: &Bench) -> String {
    let url = bench.nginx.url(GUARDED, "disk.img");
    let volumes = bench.volumes();
    let said = pours(bench, &volumes, signed(volumes.http(&url), PASSWORD));
    assert!(!said.contains(PASSWORD), "{said}");
    let ended = signed(bench.volumes().http(&url), "wrong").run();
    ended.expect(1).tells("Unable to connect to http data source: ").tells("401");
    // One without the other is none.
    let half = bench.volumes().http(&url).env("IMPORTER_ACCESS_KEY_ID", USER).run();
    half.expect(1).tells("401");
    format!("exit 0 with the right one; {}", ended.message)
}

fn a10(bench: &Bench) -> String {
    let volumes = bench.volumes();
    let pod = signed(volumes.http(&bench.nginx.url(GUARDED, "moved")), PASSWORD);
    pours(bench, &volumes, pod);
    "exit 0".to_owned()
}

fn a11(bench: &Bench) -> String {
    let volumes = bench.volumes();
    let (body, secret) = (bench.raw.clone(), "s3cr3t-v4lue");
    let depot = Depot::start("127.0.0.1", move |request| {
        let right = request.header("x-plain") == "yes" && request.header("x-secret") == secret;
        let right = right && request.header("x-last") == "yes";
        if right { Reply::text(body.clone()) } else { Reply::status(403) }
    });
    let headers = volumes.dir.join("headers");
    fs::create_dir_all(headers.join("0")).unwrap();
    fs::write(headers.join("0/secret-header"), format!("X-Secret: {secret}\n")).unwrap();
    fs::write(headers.join("0/note"), "no header").unwrap();
    let url = format!("http://{}/disk.img", depot.address());
    let full = |verbosity: &str| {
        let pod = volumes.http(&url).env("IMPORTER_EXTRA_HEADER_0", "X-Plain: yes").arg(verbosity);
        // An empty one is none, and not the last one either.
        let pod = pod.env("IMPORTER_EXTRA_HEADER_1", "").env("IMPORTER_EXTRA_HEADER_2", "no header");
        pod.env("IMPORTER_EXTRA_HEADER_3", "X-Last: yes").volume("/extraheaders", &headers)
    };
    for verbosity in ["-v=1", "-v=10"] {
        let said = pours(bench, &volumes, full(verbosity));
        assert!(!said.contains(secret), "{said}");
    }
    let ended = volumes.http(&url).env("IMPORTER_EXTRA_HEADER_0", "X-Plain: yes").run();
    ended.expect(1).tells("403");
    "exit 0 with both, 403 without the secret one, whose value no log has".to_owned()
}

/// Servers that only a proxy can find.
fn hosts(bench: &Bench, sealed: &Nginx) -> Vec<(&'static str, u16)> {
    vec![
        ("open.test:80", bench.nginx.port(PLAIN)),
        ("guarded.test:80", bench.nginx.port(GUARDED)),
        ("sealed.test:443", sealed.port(0)),
    ]
}

fn a32(bench: &Bench) -> String {
    let sealed =
        Nginx::start(&bench.root(), &[Site::tls(&bench.authority.server(&["sealed.test"])).guarded()]);
    let middle = Authority::new("proxy");
    let identity = middle.server(&["127.0.0.1", "localhost"]);
    let mut seen = Vec::new();
    for tls in [false, true] {
        for user in ["", "someone:pr0xyw0rd"] {
            let rules = Rules { tls: tls.then(|| identity.clone()), user, hosts: hosts(bench, &sealed) };
            let proxy = Proxy::start(rules);
            let scheme = if tls { "https" } else { "http" };
            let at = if user.is_empty() { String::new() } else { format!("{user}@") };
            let url = format!("{scheme}://{at}localhost:{}", proxy.port);
            for source in
                ["http://open.test/disk.img", "http://guarded.test/disk.img", "https://sealed.test/disk.img"]
            {
                let volumes = bench.volumes();
                let mut pod = signed(volumes.http(source), PASSWORD);
                pod = trusting(pod, certificates(&volumes, &bench.authority, "tls.crt"));
                pod = pod.volume("/proxycerts", certificates(&volumes, &middle, "ca.pem"));
                let said = pours(bench, &volumes, pod.env("http_proxy", &url).env("https_proxy", &url));
                assert!(!said.contains("pr0xyw0rd"), "{said}");
            }
            let visits = proxy.visits();
            assert!(visits.iter().all(|visit| visit.agent == AGENT), "{visits:?}");
            assert!(visits.iter().any(|visit| visit.method == "CONNECT"), "{visits:?}");
            assert!(visits.iter().any(|visit| visit.method == "GET"), "{visits:?}");
            seen.push(format!(
                "{scheme}{} {} requests",
                if user.is_empty() { "" } else { " with password" },
                visits.len()
            ));
        }
    }
    asked_directly(bench);
    // What the proxies' CA has signed is trusted without a proxy and without certificates of one's own.
    let volumes = bench.volumes();
    let pod = volumes.http(&bench.nginx.url(SEALED, "disk.qcow2"));
    pours(bench, &volumes, pod.volume("/proxycerts", certificates(&volumes, &bench.authority, "ca.pem")));
    format!(
        "exit 0, {AGENT} in GET and CONNECT: {}; nothing through it with no_proxy=*; a CA in /proxycerts alone",
        seen.join(", ")
    )
}

/// With `no_proxy=*` the proxy hears nothing.
fn asked_directly(bench: &Bench) {
    let proxy = Proxy::start(Rules { tls: None, user: "", hosts: hosts(bench, &bench.nginx) });
    let volumes = bench.volumes();
    let names = volumes.dir.join("hosts");
    fs::write(&names, "127.0.0.1 localhost\n127.0.0.1 open.test\n").unwrap();
    let url = format!("http://open.test:{}/disk.img", bench.nginx.port(PLAIN));
    let through = format!("http://localhost:{}", proxy.port);
    let pod = volumes.http(&url).volume("/etc/hosts", names).env("http_proxy", through).env("no_proxy", "*");
    pours(bench, &volumes, pod);
    assert!(proxy.visits().is_empty(), "{:?}", proxy.visits());
}
