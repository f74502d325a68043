//! A registry that breaks, stalls, redirects and asks for tokens; who sees which secret.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::json;

use super::Bench;
use crate::common::depot::{Depot, Reply, Request, shelves};
use crate::common::oci::{Layer, Packing};
use crate::common::run::{self, Run};

const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "127.0.0.2";
/// `puller:pw` in Base64.
const BASIC: &str = "Basic cHVsbGVyOnB3";

/// A bench whose image has one layer, the disk as it is.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let disk: Layer = bench.with_disk("disk/a.img", Packing::None);
    bench.holds(&[disk]);
    bench
}

fn import(bench: &Bench, depot: &Depot) -> Run {
    let source = format!("docker://{}/disks", depot.address());
    run::import(source, &bench.target).args(["--insecure", "--arch", "amd64"])
}

fn with_password(run: Run) -> Run {
    run.args(["--username", "puller"]).env("DISKPOUR_PASSWORD", "pw")
}

/// Whether a request is for the layer: the largest blob.
fn is_layer(reply: &Reply) -> bool {
    reply.body.len() > 1 << 20
}

fn challenge(realm: &str) -> Reply {
    Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"depot\""))
}

fn token(number: usize) -> Reply {
    Reply::text(json!({ "token": format!("t{number}"), "expires_in": 300 }).to_string())
}

/// The Authorization headers of the requests whose path has `part`.
fn proofs(depot: &Depot, part: &str) -> Vec<String> {
    let seen = depot.seen().into_iter().filter(|request| request.path.contains(part));
    seen.map(|request| request.header("authorization").to_owned()).collect()
}

#[test]
fn a_blob_that_breaks_off_is_resumed_by_range() {
    let bench = bench();
    let (shelf, breaks) = (shelves(&bench.layout), AtomicUsize::new(0));
    let depot = Depot::start(HERE, move |request| {
        let mut reply = shelf(request);
        if is_layer(&reply) && breaks.fetch_add(1, SeqCst) < 2 {
            reply.cut = Some(300_000);
        }
        reply
    });
    let outcome = bench.pours(import(&bench, &depot));
    outcome.says("plain HTTP");
    let ranges = depot.seen().into_iter().map(|request| request.header("range").to_owned());
    let ranges: Vec<String> = ranges.filter(|range| !range.is_empty()).collect();
    assert_eq!(ranges, ["bytes=300000-", "bytes=600000-"]);
}

#[test]
fn a_token_is_asked_for_once_and_shown_to_the_registry() {
    let bench = bench();
    let shelf = shelves(&bench.layout);
    let depot = Depot::start(HERE, move |request| match request.header("authorization") {
        _ if request.path.starts_with("/token") => token(1),
        "Bearer t1" => shelf(request),
        _ => challenge(&format!("http://{}/token?x=y", request.header("host"))),
    });
    bench.pours(with_password(import(&bench, &depot)));
    let asked: Vec<Request> = depot.seen().into_iter().filter(|it| it.path.starts_with("/token")).collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?x=y&service=depot&scope=repository%3Adisks%3Apull");
    assert_eq!(asked[0].header("authorization"), BASIC);
    assert_eq!(proofs(&depot, "/manifests/"), ["", "Bearer t1"]);
    assert!(proofs(&depot, "/blobs/").iter().all(|proof| proof == "Bearer t1"));
}

#[test]
fn a_token_that_expires_in_mid_pull_is_renewed() {
    let bench = bench();
    let (shelf, given) = (shelves(&bench.layout), AtomicUsize::new(0));
    let valid = Arc::new(AtomicUsize::new(0));
    let depot = Depot::start(HERE, move |request| {
        if request.path.starts_with("/token") {
            let number = given.fetch_add(1, SeqCst) + 1;
            valid.store(number, SeqCst);
            return token(number);
        }
        let right = format!("Bearer t{}", valid.load(SeqCst));
        if request.header("authorization") != right {
            return challenge(&format!("http://{}/token", request.header("host")));
        }
        let mut reply = shelf(request);
        if is_layer(&reply) && request.header("range").is_empty() {
            // The connection breaks, and the token is good no more.
            valid.store(99, SeqCst);
            reply.cut = Some(1_000_000);
        }
        reply
    });
    bench.pours(import(&bench, &depot));
    let layer = proofs(&depot, "/blobs/");
    assert_eq!(layer[layer.len() - 3..], ["Bearer t1", "Bearer t1", "Bearer t2"]);
}

#[test]
fn a_registry_that_refuses_is_refused_in_turn() {
    let bench = bench();
    let depot = Depot::start(HERE, |request| match request.path.starts_with("/token") {
        true => token(1),
        false => challenge(&format!("http://{}/token", request.header("host"))),
    });
    bench.refuses(with_password(import(&bench, &depot)), 4, "401");
    assert_eq!(proofs(&depot, "/manifests/"), ["", "Bearer t1"]);
    let closed = Depot::start(HERE, |request| match request.path.starts_with("/token") {
        true => Reply::status(403),
        false => challenge(&format!("http://{}/token", request.header("host"))),
    });
    bench.refuses(import(&bench, &closed), 4, "the token server");
    let absent = Depot::start(HERE, |_| Reply::status(404));
    bench.refuses(import(&bench, &absent), 4, "not found");
}

#[test]
fn a_busy_registry_is_asked_again_when_it_wants() {
    let bench = bench();
    let (shelf, busy) = (shelves(&bench.layout), AtomicUsize::new(0));
    let depot = Depot::start(HERE, move |request| {
        if request.path.contains("/blobs/") && busy.fetch_add(1, SeqCst) == 0 {
            return Reply::status(429).with("Retry-After", "1");
        }
        shelf(request)
    });
    let outcome = bench.pours(import(&bench, &depot));
    assert!(outcome.result()["seconds"].as_f64().unwrap() >= 1.0, "{}", outcome.stdout);
    assert_eq!(outcome.number("retries"), 1);
}

#[test]
fn a_redirected_blob_takes_no_token_along() {
    let bench = bench();
    let store = Depot::start(ELSEWHERE, shelves(&bench.layout));
    let (shelf, address) = (shelves(&bench.layout), store.address());
    let depot = Depot::start(HERE, move |request| match request.header("authorization") {
        _ if request.path.starts_with("/token") => token(1),
        "Bearer t1" if request.path.contains("/blobs/") => {
            Reply::status(307).with("Location", format!("http://{address}{}", request.path))
        }
        "Bearer t1" => shelf(request),
        _ => challenge(&format!("http://{}/token", request.header("host"))),
    });
    let headers = bench.workshop.path().join("headers");
    fs::write(&headers, "X-Secret: s3cr3t\n").unwrap();
    bench.pours(with_password(import(&bench, &depot)).arg("--header-file").arg(&headers));
    let seen = store.seen();
    assert!(seen.len() >= 2);
    for request in seen {
        assert_eq!((request.header("authorization"), request.header("x-secret")), ("", ""));
    }
    assert!(depot.seen().iter().all(|it| it.path.starts_with("/token") || it.header("x-secret") == "s3cr3t"));
}

#[test]
fn a_token_server_on_another_host_sees_no_password() {
    let bench = bench();
    let shelf = shelves(&bench.layout);
    let stranger = Depot::start(ELSEWHERE, |_| token(1));
    let address = stranger.address();
    let depot = Depot::start(HERE, move |request| match request.header("authorization") {
        "Bearer t1" => shelf(request),
        _ => challenge(&format!("http://{address}/token")),
    });
    bench.pours(with_password(import(&bench, &depot))).says("asking without the password");
    assert_eq!(proofs(&stranger, ""), [""]);
}

#[test]
fn a_token_server_may_not_send_the_password_on() {
    let bench = bench();
    let stranger = Depot::start(ELSEWHERE, |_| token(1));
    let (shelf, address) = (shelves(&bench.layout), stranger.address());
    let depot = Depot::start(HERE, move |request| match request.header("authorization") {
        _ if request.path.starts_with("/token") => {
            Reply::status(307).with("Location", format!("http://{address}/token"))
        }
        "Bearer t1" => shelf(request),
        _ => challenge(&format!("http://{}/token", request.header("host"))),
    });
    bench.pours(with_password(import(&bench, &depot)));
    assert_eq!(proofs(&stranger, ""), [""]);
    // An identity token travels in the body, which goes nowhere else.
    bench.refuses(
        import(&bench, &depot).arg("--auth-file").arg(auth_file(&bench, &depot)),
        4,
        "another origin",
    );
    assert_eq!(stranger.seen().len(), 1);
}

/// A docker config.json with an identity token for the registry.
fn auth_file(bench: &Bench, depot: &Depot) -> std::path::PathBuf {
    let path = bench.workshop.path().join("config.json");
    let host = depot.address().to_string();
    fs::write(&path, json!({ "auths": { host: { "identitytoken": "r3fresh" } } }).to_string()).unwrap();
    path
}

#[test]
fn an_identity_token_is_exchanged_for_another() {
    let bench = bench();
    let shelf = shelves(&bench.layout);
    let depot = Depot::start(HERE, move |request| match request.header("authorization") {
        _ if request.path == "/token" && request.method == "POST" => token(1),
        "Bearer t1" => shelf(request),
        _ => challenge(&format!("http://{}/token", request.header("host"))),
    });
    bench.pours(import(&bench, &depot).arg("--auth-file").arg(auth_file(&bench, &depot)));
    let form = depot.seen().into_iter().find(|request| request.method == "POST").unwrap().body;
    for part in
        ["grant_type=refresh_token", "service=depot", "scope=repository%3Adisks", "refresh_token=r3fresh"]
    {
        assert!(form.contains(part), "{form}");
    }
}

#[test]
fn a_password_is_sent_when_the_registry_asks_for_one() {
    let bench = bench();
    let shelf = shelves(&bench.layout);
    let depot = Depot::start(HERE, move |request| match request.header("authorization") {
        BASIC => shelf(request),
        _ => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"depot\""),
    });
    bench.pours(with_password(import(&bench, &depot)));
    bench.refuses(import(&bench, &depot), 4, "401");
}

#[test]
fn a_registry_that_lies_is_caught() {
    let mut bench = bench();
    let shelf = shelves(&bench.layout);
    let depot = Depot::start(HERE, move |request| {
        let mut reply = shelf(request);
        if is_layer(&reply) {
            reply.body[2_000_000] ^= 1;
        }
        reply
    });
    bench.refuses(import(&bench, &depot), 5, "has the digest");
    let huge = Depot::start(HERE, |_| Reply::text(vec![b' '; (4 << 20) + 1]));
    bench.refuses(import(&bench, &huge), 6, "over a limit");
    let short = Depot::start(HERE, {
        let shelf = shelves(&bench.layout);
        move |request| {
            let mut reply = shelf(request);
            if is_layer(&reply) {
                reply.body.truncate(1_500_000);
            }
            reply
        }
    });
    bench.refuses(import(&bench, &short), 5, "");
    let other = bench.layout.image("amd64", &[bench.with_disk("disk/b.img", Packing::Gzip)]);
    let digest = other["digest"].as_str().unwrap().to_owned();
    bench.tag(other);
    // Whatever is asked for, another manifest comes.
    let shelf = shelves(&bench.layout);
    let swap = Depot::start(HERE, move |request| {
        let path = "/v2/disks/manifests/latest".to_owned();
        shelf(&Request { path, ..request.clone() })
    });
    let wanted = format!("docker://{}/disks@sha256:{}", swap.address(), "0".repeat(64));
    bench.refuses(run::import(wanted, &bench.target).arg("--insecure"), 5, "the manifest has the digest");
    let depot = Depot::start(HERE, shelves(&bench.layout));
    let wanted = format!("docker://{}/disks:any@{digest}", depot.address());
    bench.pours(run::import(wanted, &bench.target).arg("--insecure"));
}

#[test]
fn plain_http_is_for_those_who_allow_it() {
    let bench = bench();
    let depot = Depot::start(HERE, shelves(&bench.layout));
    let source = format!("docker://{}/disks", depot.address());
    bench.refuses(run::import(&source, &bench.target), 4, "TLS");
    assert!(depot.seen().is_empty());
}
