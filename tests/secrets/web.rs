//! Web servers and proxies that say back whatever they were asked, and mistakes of the user's.

use std::fs;
use std::path::PathBuf;

use super::vault::{USER, Vault};
use crate::common::depot::{Depot, Reply, Request};
use crate::common::run::{self, Run};
use crate::common::server::closed_port;
use crate::common::{noise, workshop};

/// How each case ends at the server, by the path that is asked for, and the exit code of the import.
const CASES: [(&str, i32); 12] = [
    ("disk", 0),
    ("401", 4),
    ("403", 4),
    ("404", 4),
    ("500", 3),
    ("501", 3),
    ("moved", 0),
    ("astray", 4),
    ("foreign", 4),
    ("encoded", 4),
    ("lie", 5),
    ("typed", 0),
];

/// A run at the highest level of logging, whatever the environment says of others.
pub(super) fn loud(run: Run) -> Run {
    run.args(["--log-level", "debug"]).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full")
}

/// All that a request carried, as a text in a body or a header.
fn echo(request: &Request) -> String {
    let headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {} {}", headers.join(" "), request.path, request.body)
}

/// The answer to `request` by its path.
pub(super) fn answer(request: &Request, disk: &[u8], elsewhere: &str) -> Reply {
    let said = echo(request);
    let first = request.path.trim_start_matches('/').split(['?', '/']).next().unwrap_or_default();
    let whole = || Reply::text(disk).with("ETag", "\"1\"");
    match first {
        "disk" => whole(),
        "moved" => Reply::status(302).with("Location", format!("http://{elsewhere}/disk?sig=none")),
        "astray" => Reply::status(302).with("Location", format!("ftp://host/{}", said.replace(' ', "/"))),
        "foreign" => Reply::status(302).with("Location", format!("http://{elsewhere}/403")),
        "encoded" => whole().with("Content-Encoding", request.header("x-secret")),
        "lie" => {
            let range = format!("bytes {}", request.header("authorization"));
            Reply { status: 206, ..whole().with("Content-Range", range) }
        }
        "typed" => whole().with("Content-Type", format!("text/html; {}", request.header("x-secret"))),
        status => {
            let reply = Reply { status: status.parse().unwrap(), ..Reply::text(said) };
            reply.with("Retry-After", "0").with("WWW-Authenticate", "Basic realm=x")
        }
    }
}

/// A server, another one that it leads to, and files of secrets.
struct Bench {
    vault: Vault,
    dir: tempfile::TempDir,
    depot: Depot,
    other: Depot,
}

impl Bench {
    fn new() -> Self {
        let vault = Vault::new([
            ("password in the URL", "Url/pass+word&1"),
            ("password in a file", "File pass=word:2"),
            ("password in the environment", "Env%pass#word3"),
            ("header in a file", "he4der-in-a-f1le"),
            ("header in an option", "he4der-in-an-opti0n"),
            ("signature in the query", "sign4ture/Of+Query=="),
            ("proxy's password", "pr0xy/pass@word"),
        ]);
        let dir = workshop();
        fs::write(dir.path().join("password"), vault.get("password in a file")).unwrap();
        fs::write(dir.path().join("header"), format!("X-Secret: {}\n", vault.get("header in a file")))
            .unwrap();
        let disk = noise(64 << 10, 31);
        let copy = disk.clone();
        let other = Depot::start("127.0.0.2", move |request| answer(request, &copy, ""));
        let elsewhere = other.address().to_string();
        let depot = Depot::start("127.0.0.1", move |request| answer(request, &disk, &elsewhere));
        Self { vault, dir, depot, other }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn query(&self) -> String {
        format!("?X-Amz-Signature={}", self.vault.escaped("signature in the query"))
    }

    /// The ways to give a password, each with a signed query and secret headers, for `path` of `authority`.
    fn runs(&self, command: &str, authority: &str, path: &str) -> Vec<(&'static str, Run)> {
        let userinfo = format!("{USER}:{}@", self.vault.escaped("password in the URL"));
        let start = |userinfo: &str| {
            let run = run::diskpour()
                .arg(command)
                .arg(format!("http://{userinfo}{authority}/{path}{}", self.query()));
            let run = match command {
                "import" => run.arg(self.at("target.img")).args(["--force", "--progress", "json"]),
                _ => run,
            };
            let option = format!("X-Option: {}", self.vault.get("header in an option"));
            let run = run.arg("--header-file").arg(self.at("header")).args(["--header", &option]);
            loud(run.args(["--output", "json", "--idle-timeout", "5s"]))
        };
        vec![
            ("URL", start(&userinfo)),
            ("file", start("").args(["--username", USER]).arg("--password-file").arg(self.at("password"))),
            (
                "environment",
                start("")
                    .env("DISKPOUR_USERNAME", USER)
                    .env("DISKPOUR_PASSWORD", self.vault.get("password in the environment")),
            ),
        ]
    }
}

#[test]
fn web_servers_that_say_everything_back_learn_secrets_and_messages_do_not() {
    let bench = Bench::new();
    let authority = bench.depot.address().to_string();
    for (path, code) in CASES {
        for (way, run) in bench.runs("import", &authority, path) {
            let what = format!("import, password by {way}, {path}");
            let outcome = bench.vault.kept(&what, run.run());
            assert_eq!(outcome.code, code, "{what}: {}", outcome.stderr);
        }
        let inspected = bench.runs("inspect", &authority, path).swap_remove(0).1;
        bench.vault.kept(&format!("inspect, {path}"), inspected.run());
    }
    let used = [
        "password in the URL",
        "password in a file",
        "password in the environment",
        "header in a file",
        "header in an option",
        "signature in the query",
    ];
    bench.vault.were_used(&bench.depot.seen(), &used);
    // Another origin sees none of them, and needs none.
    for request in bench.other.seen() {
        bench.vault.is_none_of("a request to another origin", &format!("{request:?}"));
    }
    assert!(bench.other.seen().len() >= 6);
    let closed = closed_port().to_string();
    for (way, run) in bench.runs("import", &closed, "disk") {
        bench.vault.kept(&format!("nobody there, password by {way}"), run.run()).expect(3);
    }
}

#[test]
fn proxies_that_refuse_say_back_what_they_were_given() {
    let bench = Bench::new();
    let telling = Depot::start("127.0.0.1", |request| Reply { status: 407, ..Reply::text(echo(request)) });
    let word = bench.vault.escaped("proxy's password");
    let closed = closed_port();
    for (proxy, code) in [(telling.address(), 4), (closed, 3)] {
        let proxy = format!("http://{USER}:{word}@{proxy}");
        for variable in ["http_proxy", "HTTPS_PROXY"] {
            let scheme = if variable == "http_proxy" { "http" } else { "https" };
            let url = format!("{scheme}://host.test/disk{}", bench.query());
            let run = run::import(url, bench.at("target.img")).env(variable, &proxy);
            let run = loud(run.arg("--header-file").arg(bench.at("header")).args(["--idle-timeout", "5s"]));
            bench.vault.kept(&format!("{variable} {code}"), run.run()).expect(code);
        }
    }
    bench
        .vault
        .were_used(&telling.seen(), &["proxy's password", "header in a file", "signature in the query"]);
    let strange = format!("socks5://{USER}:{word}@host");
    let run = run::import("http://host.test/", bench.at("target.img")).env("http_proxy", strange);
    bench.vault.kept("a proxy of another kind", loud(run).run()).expect(2);
}

#[test]
fn command_lines_that_make_no_sense_are_not_repeated() {
    let bench = Bench::new();
    let (word, query) = (bench.vault.escaped("password in the URL"), bench.query());
    let header = bench.vault.get("header in an option");
    let target = bench.at("target.img").display().to_string();
    let signed = format!("{USER}:{word}@127.0.0.1:1");
    let bad_tls = format!("https://{USER}:{word}@{}/disk{query}", bench.depot.address());
    for (line, code) in [
        (vec!["import", &format!("http://{signed}/x{query}")], 2),
        (vec!["import", &format!("http://{signed}/x{query}"), &target, "--no-such-option"], 2),
        (vec!["import", &format!("http:/{signed}/x{query}"), &target], 4),
        (vec!["import", &format!("docker://{signed}/x"), &target], 2),
        (vec!["import", &format!("s3://{signed}/x{query}"), &target], 2),
        (vec!["import", &format!("http://{USER}:{word}@[bad/{query}"), &target], 2),
        (vec!["import", &bad_tls, &target], 4),
        (vec!["import", "x", &format!("http://{signed}/x{query}")], 2),
        (vec!["import", "http://127.0.0.1:1/", &target, "--header", &format!("Authorization {header}")], 2),
        (vec!["import", "http://127.0.0.1:1/", &target, "--header", &format!("no name: {header}")], 2),
        (
            vec!["import", "http://127.0.0.1:1/", &target, "--checksum", &format!("http://{signed}/{query}")],
            2,
        ),
        (vec!["job", &format!("http://{signed}/x"), "--pvc", "a", "--image", "i"], 2),
        (vec!["job", &format!("docker://{signed}/x"), "--pvc", "a", "--image", "i"], 2),
        (vec!["job", "http://host/x", "--pvc", "a", "--image", &format!("http://{signed}/ x")], 2),
    ] {
        let what = line.join(" ");
        let outcome = bench.vault.kept(&what, loud(run::diskpour().args(&line)).run());
        assert_eq!(outcome.code, code, "{what}: {}", outcome.stderr);
    }
}
