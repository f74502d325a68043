//! Paths, certificates and status codes.

use std::path::Path;

use super::Row;
use super::bench::{Bench, Server, holds_only, is_grown};
use crate::common::certificates::Authority;
use crate::common::wait_for;

pub(super) const ROWS: &[Row] = &[
    ("F1", "GET", get),
    ("F2", "health", health),
    ("F3", "client certificates", certificates),
    ("F6", "a second upload", second),
    ("F7", "HEAD", head),
    ("F15", "TLS versions and ciphers", tls),
    ("F16", "odd forms", forms),
    ("F20", "Expect: 100-continue", expect),
];

const UPLOAD: &str = "/v1beta1/upload";

fn get(bench: &Bench) -> String {
    let server = bench.serve();
    for path in ["upload", "upload-archive", "upload-form", "upload-async", "upload-form-async"] {
        for version in ["v1beta1", "v1alpha1"] {
            server.ask(Some("good"), &[], &format!("/{version}/{path}")).expect(404);
        }
    }
    server.end().expect(143);
    "404 on every path of both versions".to_owned()
}

fn health(bench: &Bench) -> String {
    let server = bench.serve_as(|pod| pod.called("cdi-uploadserver"));
    let answer = server.ask(None, &[], "/healthz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    server.end().expect(143);
    "200 OK without a certificate".to_owned()
}

fn certificates(bench: &Bench) -> String {
    let papers = &bench.papers;
    papers.save("other-name", &papers.authority.client("somebody.else"));
    papers.save("expired", &papers.authority.expired_client(crate::upload::NAME));
    papers.save("foreign", &Authority::new("foreign").client(crate::upload::NAME));
    let server = bench.serve();
    let file = bench.raw.to_str().unwrap();
    let try_as = |name| server.ask(name, &["-X", "POST", "-T", file], UPLOAD);
    try_as(None).expect(401);
    try_as(Some("other-name")).expect(401);
    for name in ["foreign", "expired"] {
        let answer = try_as(Some(name));
        assert!(answer.status == 0 && answer.code != 0, "{name}: {answer:?}");
    }
    holds_only(&server.data, &[]);
    try_as(Some("good")).expect(200);
    server.done();
    "none and another name 401, another CA and an expired one no handshake, the right one 200".to_owned()
}

fn second(bench: &Bench) -> String {
    let server = bench.serve();
    let slow = ["--limit-rate", "1500k"];
    std::thread::scope(|scope| {
        let first = scope.spawn(|| server.post_with(&slow, UPLOAD, &bench.raw));
        assert!(wait_for(|| server.disk().exists()), "no upload began");
        server.post(UPLOAD, &bench.raw).expect(503);
        server.post("/v1beta1/upload-form-async", &bench.raw).expect(503);
        first.join().unwrap().expect(200);
    });
    server.done();
    "503 while another arrives; the 409 after it is shown by upload::states, as the server ends at once"
        .to_owned()
}

fn head(bench: &Bench) -> String {
    let server = bench.serve();
    for path in ["/v1beta1/upload-async", "/v1alpha1/upload-form-async"] {
        server.ask(None, &["-I"], path).expect(200);
    }
    server.ask(None, &["-I"], UPLOAD).expect(404);
    server.end().expect(143);
    "200 on the asynchronous paths without a certificate, 404 on the others".to_owned()
}

fn tls(bench: &Bench) -> String {
    let health = |server: &Server<'_>, args: &[&str]| server.ask(None, args, "/healthz").status;
    let server = bench.serve_as(|pod| pod.env("TLS_MIN_VERSION", "VersionTLS13"));
    assert_eq!(health(&server, &["--tlsv1.2", "--tls-max", "1.2"]), 0);
    assert_eq!(health(&server, &["--tlsv1.3"]), 200);
    server.end().expect(143);
    let server = bench.serve_as(|pod| pod.env("TLS_MIN_VERSION", "nonsense"));
    assert_eq!(health(&server, &["--tlsv1.2", "--tls-max", "1.2"]), 200);
    server.end().expect(143);
    let names = "ECDHE-ECDSA-AES128-GCM-SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,RC4-MD5";
    let server = bench.serve_as(|pod| pod.env("TLS_CIPHERS", names));
    for (cipher, status) in [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", 200),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", 200),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", 0),
    ] {
        assert_eq!(health(&server, &["--tls-max", "1.2", "--ciphers", cipher]), status, "{cipher}");
    }
    server.end().expect(143).logs("RC4-MD5");
    "VersionTLS13 refuses 1.2, nonsense means 1.2; OpenSSL's and IANA's names work, unknown ones are told"
        .to_owned()
}

fn forms(bench: &Bench) -> String {
    let server = bench.serve();
    let form = |args: &[&str]| server.ask(Some("good"), args, "/v1beta1/upload-form");
    form(&["-F", "name=value"]).expect(400);
    form(&["-H", "Content-Type: multipart/form-data; boundary=x", "-d", "no form"]).expect(400);
    form(&["-H", "Content-Type: text/plain", "-d", "no form"]).expect(400);
    let file = format!("file=@{}", bench.raw.display());
    form(&["-F", "before=1", "-F", "other=@/etc/hostname", "-F", &file, "-F", "after=2"]).expect(200);
    let disk = server.disk();
    server.done();
    is_grown(&disk, &bench.disk);
    "no file and no form 400 and the server goes on; parts around the file are passed over".to_owned()
}

fn expect(bench: &Bench) -> String {
    let server = bench.serve();
    let trace = server.ask(
        Some("good"),
        &["-v", "--stderr", "-", "-H", "Expect: 100-continue", "-X", "POST", "-T", shown(&bench.qcow2)],
        UPLOAD,
    );
    trace.expect(200).says("100 Continue");
    server.done();
    "the server says 100 before the body comes".to_owned()
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
