//! Passwords and secret headers across redirects: they go to the origin that they were given for.
//!
//! nginx plays two hosts with two ports each, and writes down who got what.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cli::Disks;
use crate::common::nginx::{ESCAPED, Nginx, PASSWORD, Seen, Site, USER};
use crate::common::qemu;
use crate::common::run::{self, Outcome, Run};

const SECRET: &str = "the-header-that-nobody-else-may-see";

/// The origin that the user names, another port of its host, and another host.
const ORIGIN: usize = 0;
const PORT: usize = 1;
const HOST: usize = 2;

/// The origin wants the password, and leads away below /port and /host.
fn origin() -> Site {
    let away = |from: &str, to: usize| format!("rewrite ^/{from}/(.*)$ {{{to}}}/$1 redirect;");
    Site::plain().guarded().rule(&away("port", PORT)).rule(&away("host", HOST))
}

/// The user's ways of giving secrets.
#[derive(Clone, Copy, Debug)]
enum Given {
    Options,
    Url,
}

/// An import of `path` from the origin, with a password and a secret header.
fn import(nginx: &Nginx, path: &str, disks: &Disks, given: Given) -> Run {
    let file = disks.dir().join("headers");
    fs::write(&file, format!("X-Secret: {SECRET}\n")).unwrap();
    let run = match given {
        Given::Options => run::import(nginx.url(ORIGIN, path), &disks.target)
            .args(["--username", USER])
            .env("DISKPOUR_PASSWORD", PASSWORD),
        Given::Url => run::import(nginx.url_of(ORIGIN, &format!("{USER}:{ESCAPED}"), path), &disks.target),
    };
    // All that the program could ever say.
    run.arg("--header-file").arg(file).args(["--log-level", "debug"]).env("RUST_LOG", "trace")
}

/// Runs, and looks for secrets in what was said.
#[track_caller]
fn quietly(run: Run) -> Outcome {
    let outcome = run.run();
    let encoded = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    for secret in [PASSWORD, ESCAPED, SECRET, &encoded] {
        let said = [&outcome.stdout, &outcome.stderr].into_iter().any(|text| text.contains(secret));
        assert!(!said, "{secret} in {} {}", outcome.stdout, outcome.stderr);
    }
    outcome
}

/// Every request to the origin brought both secrets, and no other any; how many others there were.
#[track_caller]
fn kept_at_the_origin(seen: &[Seen]) -> usize {
    let encoded = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    for request in seen {
        if request.site == ORIGIN {
            assert_eq!((&*request.authorization, &*request.secret), (&*encoded, SECRET), "{request:?}");
        } else {
            assert!(!request.has_secrets(), "{request:?}");
        }
    }
    assert!(seen.iter().any(|request| request.site == ORIGIN), "the origin was not asked");
    seen.iter().filter(|request| request.site != ORIGIN).count()
}

#[test]
fn secrets_stay_at_their_origin_whatever_port_or_host_it_leads_to() {
    let disks = Disks::new();
    qemu::pack(&disks.qcow2, "gzip");
    for given in [Given::Options, Given::Url] {
        for way in ["port", "host"] {
            for name in ["disk.raw", "disk.qcow2", "disk.qcow2.gz"] {
                let nginx = Nginx::start(disks.dir(), &[origin(), Site::plain(), Site::plain().elsewhere()]);
                let run = import(&nginx, &format!("{way}/{name}"), &disks, given);
                quietly(run.args(["--connections", "4"])).expect(0);
                disks.is_poured();
                fs::remove_file(&disks.target).unwrap();
                let seen = nginx.requests();
                let others = kept_at_the_origin(&seen);
                let ranges = seen.iter().filter(|request| request.status == 206).count();
                assert!(others > 0 && ranges > 0, "{given:?} {way} {name}: {seen:?}");
            }
        }
    }
}

#[test]
fn each_request_of_a_ranged_transfer_brings_them_to_the_origin() {
    let disks = Disks::new();
    let nginx = Nginx::start(disks.dir(), &[origin(), Site::plain(), Site::plain().elsewhere()]);
    quietly(import(&nginx, "disk.raw", &disks, Given::Options).args(["--connections", "4"])).expect(0);
    disks.is_poured();
    let seen = nginx.requests();
    assert_eq!(kept_at_the_origin(&seen), 0);
    assert!(seen.len() > 1, "one request does not show much: {seen:?}");
}

#[test]
fn a_link_that_expires_is_asked_for_again_with_the_secrets_and_followed_without() {
    let disks = Disks::new();
    // The first link serves the head only, as one that expired in between; the origin knows a newer.
    let expiring = Site::plain().rule("if ($http_range !~ \"^bytes=0-\") { return 403; }");
    let leading = Site::plain().guarded().rule(
        "location = /link { if ($http_range ~ \"^bytes=0-\") { return 302 {1}/disk.raw; } \
         return 302 {2}/disk.raw; }",
    );
    let nginx = Nginx::start(disks.dir(), &[leading, expiring, Site::plain().elsewhere()]);
    let outcome = quietly(import(&nginx, "link", &disks, Given::Options).args(["--connections", "1"]));
    let seen = nginx.requests();
    outcome.expect(0);
    disks.is_poured();
    kept_at_the_origin(&seen);
    assert!(seen.iter().any(|request| request.site == PORT), "{seen:?}");
    assert!(seen.iter().any(|request| request.site == HOST), "{seen:?}");
}

#[test]
fn a_transfer_that_breaks_off_resumes_with_the_secrets_at_the_origin_only() {
    let disks = Disks::new();
    let packed = qemu::pack(&disks.raw, "gzip");
    let broken = halves(&packed);
    let pass_on = format!("location = /broken {{ proxy_pass http://{broken}; proxy_http_version 1.1; }}");
    for (path, own) in [("broken", true), ("port/broken", false), ("host/broken", false)] {
        let sites =
            [origin().rule(&pass_on), Site::plain().rule(&pass_on), Site::plain().elsewhere().rule(&pass_on)];
        let nginx = Nginx::start(disks.dir(), &sites);
        quietly(import(&nginx, path, &disks, Given::Options)).expect(0);
        disks.is_poured();
        fs::remove_file(&disks.target).unwrap();
        let seen = nginx.requests();
        let others = kept_at_the_origin(&seen);
        let resumed = seen.iter().filter(|request| !request.range.starts_with("bytes=0-"));
        assert!(resumed.count() > 0 && (others == 0) == own, "{path}: {seen:?}");
    }
}

#[test]
fn who_redirects_to_a_guarded_place_hears_that_nothing_was_forwarded() {
    let disks = Disks::new();
    for way in ["port", "host"] {
        let nginx = Nginx::start(
            disks.dir(),
            &[origin(), Site::plain().guarded(), Site::plain().elsewhere().guarded()],
        );
        let outcome = quietly(import(&nginx, &format!("{way}/disk.raw"), &disks, Given::Options));
        outcome.expect(4).says("401").says("password and headers were not sent").says("--location-trusted");
        disks.is_clean();
        assert!(kept_at_the_origin(&nginx.requests()) > 0);
    }
}

#[test]
fn location_trusted_sends_them_along() {
    let disks = Disks::new();
    for way in ["port", "host"] {
        let nginx = Nginx::start(
            disks.dir(),
            &[origin(), Site::plain().guarded(), Site::plain().elsewhere().guarded()],
        );
        let run = import(&nginx, &format!("{way}/disk.raw"), &disks, Given::Options);
        quietly(run.arg("--location-trusted")).expect(0);
        disks.is_poured();
        fs::remove_file(&disks.target).unwrap();
        let seen = nginx.requests();
        assert!(seen.iter().all(|request| !request.authorization.is_empty()), "{seen:?}");
        assert!(seen.iter().all(|request| request.secret == SECRET), "{seen:?}");
        assert!(seen.iter().any(|request| request.site != ORIGIN), "{seen:?}");
    }
}

#[test]
fn a_header_given_as_an_option_stays_as_well() {
    let disks = Disks::new();
    let leading = Site::plain().rule("rewrite ^/port/(.*)$ {1}/$1 redirect;");
    let nginx = Nginx::start(disks.dir(), &[leading, Site::plain()]);
    let run = run::import(nginx.url(ORIGIN, "port/disk.raw"), &disks.target);
    run.args(["--header", "X-Secret: none", "--header", "Authorization: Bearer none"]).run().expect(0);
    disks.is_poured();
    let seen = nginx.requests();
    for request in &seen {
        let expected = if request.site == ORIGIN { ("Bearer none", "none") } else { ("", "") };
        assert_eq!((&*request.authorization, &*request.secret), expected, "{request:?}");
    }
    assert!(seen.iter().any(|request| request.site == PORT));
}

#[test]
fn a_redirect_back_to_the_origin_brings_them_again() {
    let disks = Disks::new();
    let back = Site::plain().rule("rewrite ^ {0}/disk.raw redirect;");
    let nginx = Nginx::start(disks.dir(), &[origin(), back, Site::plain().elsewhere()]);
    quietly(import(&nginx, "port/there", &disks, Given::Options)).expect(0);
    disks.is_poured();
    assert!(kept_at_the_origin(&nginx.requests()) > 0);
}

/// Serves the file at `path` for as long as the test runs: cut off in its middle when it is asked from its start.
fn halves(path: &Path) -> SocketAddr {
    let bytes = fs::read(path).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever hangs up gets nothing more.
            stream.and_then(|stream| half(&stream, &bytes)).ok();
        }
    });
    address
}

fn half(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let lines: Vec<String> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let range = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("range").then(|| value.strip_prefix("bytes="))?
    });
    let (start, end) = range.and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap_or(0).min(bytes.len());
    let last = end.parse().unwrap_or(usize::MAX).min(bytes.len() - 1);
    let body = &bytes[start..=last];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nETag: \"same\"\r\nContent-Range: bytes {start}-{last}/{}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len(),
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let count = if start == 0 { body.len() / 2 } else { body.len() };
    stream.write_all(&body[..count])
}
