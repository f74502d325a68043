//! Proxies: made-up host names that only the proxy knows, so that nothing can pass beside it.

use std::fs;
use std::path::PathBuf;

use crate::common::certificates::{Authority, Identity};
use crate::common::nginx::{ESCAPED, Nginx, Site, USER};
use crate::common::proxy::{Proxy, Rules};
use crate::common::run::{self, Run};
use crate::common::{noise, workshop};

/// What a password must never be found in.
const WORD: &str = "pr0xyw0rd";

/// Servers behind a proxy: plain, with a password, with TLS.
struct Setting {
    dir: tempfile::TempDir,
    bytes: Vec<u8>,
    nginx: Nginx,
    authority: Authority,
}

impl Setting {
    fn new() -> Self {
        let dir = workshop();
        let bytes = noise(3 << 20, 5);
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::write(dir.path().join("root/disk.img"), &bytes).unwrap();
        let authority = Authority::new("origin");
        let tls = authority.server(&["sealed.test"]);
        let away = "location = /away { return 302 http://guarded.test/disk.img; }";
        let inwards = "location = /inwards { return 302 http://127.0.0.1:1/disk.img; }";
        let sites =
            [Site::plain().rule(away).rule(inwards), Site::plain().guarded(), Site::tls(&tls).guarded()];
        let nginx = Nginx::start(&dir.path().join("root"), &sites);
        Self { dir, bytes, nginx, authority }
    }

    fn proxy(&self, tls: Option<Identity>, user: &'static str) -> Proxy {
        let hosts = vec![
            ("open.test:80", self.nginx.port(0)),
            ("guarded.test:80", self.nginx.port(1)),
            ("sealed.test:443", self.nginx.port(2)),
        ];
        Proxy::start(Rules { tls, user, hosts })
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target.img")
    }

    fn import(&self, url: &str) -> Run {
        run::import(url, self.target()).arg("--force").args(["--ca-cert", &self.ca()])
    }

    fn ca(&self) -> String {
        self.authority.save(self.dir.path(), "origin.pem").to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn is_poured(&self) {
        assert!(fs::read(self.target()).unwrap() == self.bytes, "the target differs");
    }
}

#[test]
fn a_plain_proxy_carries_http_and_https_with_passwords_of_both() {
    let setting = Setting::new();
    let proxy = setting.proxy(None, "someone:pr0xyw0rd");
    let url = format!("http://someone:{WORD}@127.0.0.1:{}", proxy.port);
    for (variable, scheme, host) in [
        ("http_proxy", "http", "guarded.test"),
        ("https_proxy", "https", "sealed.test"),
        ("HTTPS_PROXY", "https", "sealed.test"),
    ] {
        let source = format!("{scheme}://{USER}:{ESCAPED}@{host}/disk.img");
        setting.import(&source).env(variable, &url).run().expect(0);
        setting.is_poured();
    }
    let visits = proxy.visits();
    assert!(visits.iter().all(|visit| visit.proof == "Basic c29tZW9uZTpwcjB4eXcwcmQ="), "{visits:?}");
    assert!(visits.iter().any(|visit| visit.method == "CONNECT" && visit.target == "sealed.test:443"));
    assert!(visits.iter().any(|visit| visit.target == "http://guarded.test/disk.img"), "{visits:?}");
    // What is for the proxy stays with the proxy, and what is for the origin goes to it.
    let seen = setting.nginx.requests();
    assert!(seen.iter().all(|seen| seen.status < 300 && seen.authorization.starts_with("Basic cmVhZGVy")));
}

#[test]
fn a_proxy_that_refuses_is_named_without_its_password() {
    let setting = Setting::new();
    let proxy = setting.proxy(None, "someone:else");
    let url = format!("http://someone:{WORD}@127.0.0.1:{}", proxy.port);
    for (variable, source) in
        [("http_proxy", "http://open.test/disk.img"), ("https_proxy", "https://sealed.test/disk.img")]
    {
        let outcome = setting.import(source).env(variable, &url).run();
        outcome.expect(4).says("proxy");
        assert!(!outcome.stderr.contains(WORD), "{}", outcome.stderr);
    }
    let nobody = setting.import("http://open.test/disk.img").env("http_proxy", "http://127.0.0.1:1").run();
    nobody.expect(3).says("the proxy http://127.0.0.1:1/ gives no connection");
}

#[test]
fn a_proxy_with_tls_needs_its_ca() {
    let setting = Setting::new();
    let authority = Authority::new("proxy");
    let proxy = setting.proxy(Some(authority.loopback()), "");
    let url = format!("https://127.0.0.1:{}", proxy.port);
    let ca = authority.save(setting.dir.path(), "proxy.pem");
    for (variable, source) in [
        ("http_proxy", "http://open.test/disk.img".to_owned()),
        ("https_proxy", format!("https://{USER}:{ESCAPED}@sealed.test/disk.img")),
    ] {
        setting.import(&source).env(variable, &url).run().expect(4).says("unknown CA");
        let import = setting.import(&source).env(variable, &url);
        import.arg("--proxy-ca-cert").arg(&ca).run().expect(0);
        setting.is_poured();
    }
}

#[test]
fn exceptions_and_this_machine_are_asked_directly() {
    let setting = Setting::new();
    let proxy = setting.proxy(None, "");
    let url = format!("http://127.0.0.1:{}", proxy.port);
    setting.import(&setting.nginx.url(0, "disk.img")).env("http_proxy", &url).run().expect(0);
    setting.is_poured();
    // The name is known to the proxy only.
    let outcome =
        setting.import("http://open.test/disk.img").env("http_proxy", &url).env("no_proxy", "test").run();
    outcome.expect(3).says("cannot be resolved");
    assert!(proxy.visits().is_empty(), "{:?}", proxy.visits());
    setting
        .import("http://open.test/disk.img")
        .env("http_proxy", &url)
        .env("no_proxy", "other")
        .run()
        .expect(0);
    setting.is_poured();
}

#[test]
fn a_redirect_through_a_proxy_takes_no_password_and_leads_nowhere_near() {
    let setting = Setting::new();
    let proxy = setting.proxy(None, "");
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let away = format!("http://{USER}:{ESCAPED}@open.test/away");
    let outcome = setting.import(&away).env("http_proxy", &url).run();
    outcome.expect(4).says("redirects to http://guarded.test, to which password and headers were not sent");
    setting.import(&away).env("http_proxy", &url).arg("--location-trusted").run().expect(0);
    setting.is_poured();
    let inwards = setting.import("http://open.test/inwards").env("http_proxy", &url).run();
    inwards.expect(4).says("leads to 127.0.0.1");
    let seen = setting.nginx.requests();
    let leaked = seen.iter().filter(|seen| seen.site == 1 && seen.status == 401 && seen.has_secrets());
    assert_eq!(leaked.count(), 0);
}
