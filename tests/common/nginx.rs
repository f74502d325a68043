//! A real nginx on free ports of loopback, which writes down what it was asked and with what secrets.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde::Deserialize;

use super::certificates::Identity;
use super::service::Service;

/// The one user of sites with basic authentication.
pub(crate) const USER: &str = "reader";
/// The password of [`USER`], with signs that a URL has to escape.
pub(crate) const PASSWORD: &str = "s3cret+wörd/@%";
/// The same within a URL.
pub(crate) const ESCAPED: &str = "s3cret%2Bw%C3%B6rd%2F%40%25";

/// One origin.
#[derive(Clone, Default)]
pub(crate) struct Site {
    address: Option<&'static str>,
    tls: Option<Identity>,
    rules: String,
}

/// A running nginx; it ends when dropped.
pub(crate) struct Nginx {
    service: Service,
    home: tempfile::TempDir,
    origins: Vec<Origin>,
}

#[derive(Clone)]
struct Origin {
    address: SocketAddr,
    scheme: &'static str,
}

/// What a request brought.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    at: SocketAddr,
    /// The number of the site.
    #[serde(skip)]
    pub(crate) site: usize,
    pub(crate) status: u16,
    pub(crate) authorization: String,
    /// The header X-Secret.
    pub(crate) secret: String,
    pub(crate) range: String,
    pub(crate) protocol: String,
}

impl Seen {
    /// Whether the request brought credentials or the secret header.
    pub(crate) fn has_secrets(&self) -> bool {
        !self.authorization.is_empty() || !self.secret.is_empty()
    }
}

impl Site {
    /// Plain HTTP on 127.0.0.1.
    pub(crate) fn plain() -> Self {
        Self::default()
    }

    /// HTTPS on 127.0.0.1.
    pub(crate) fn tls(identity: &Identity) -> Self {
        Self { tls: Some(identity.clone()), ..Self::default() }
    }

    /// On another host, which is another address of loopback.
    pub(crate) fn elsewhere(self) -> Self {
        Self { address: Some("127.0.0.2"), ..self }
    }

    /// With basic authentication of [`USER`].
    pub(crate) fn guarded(self) -> Self {
        self.rule("auth_basic test; auth_basic_user_file users;")
    }

    /// Without ranges.
    pub(crate) fn without_ranges(self) -> Self {
        self.rule("max_ranges 0;")
    }

    /// With lines of nginx's configuration, in which `{1}` is the URL of the second site.
    pub(crate) fn rule(mut self, rule: &str) -> Self {
        self.rules.push_str(rule);
        self.rules.push('\n');
        self
    }
}

impl Nginx {
    /// Serves the files of `root` at each of `sites`.
    pub(crate) fn start(root: &Path, sites: &[Site]) -> Self {
        let mut last = String::new();
        // Between the choice of a port and its use somebody else may take it.
        for _ in 0..5 {
            let home = super::workshop();
            let origins = origins(sites);
            configure(home.path(), root, sites, &origins);
            match launch(home.path()) {
                Ok(service) => return Self { service, home, origins },
                Err(said) => last = said,
            }
            assert!(last.contains("Address already in use"), "{last}");
        }
        panic!("{last}")
    }

    /// The URL of `name` at the site with this number.
    pub(crate) fn url(&self, site: usize, name: &str) -> String {
        format!("{}/{name}", self.origins[site].base())
    }

    /// As [`Nginx::url`], with `user` in it.
    pub(crate) fn url_of(&self, site: usize, user: &str, name: &str) -> String {
        let Origin { address, scheme } = &self.origins[site];
        format!("{scheme}://{user}@{address}/{name}")
    }

    /// The port of a site.
    pub(crate) fn port(&self, site: usize) -> u16 {
        self.origins[site].address.port()
    }

    /// Ends the server; every request in the order in which the answers ended.
    pub(crate) fn requests(self) -> Vec<Seen> {
        let Self { service, home, origins } = self;
        // It writes down an answer before it looks at signals again.
        service.end(Signal::QUIT);
        let log = fs::read_to_string(home.path().join("access.log")).unwrap();
        let parse = |line: &str| {
            let mut seen: Seen = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            seen.site = origins.iter().position(|origin| origin.address == seen.at).unwrap();
            seen
        };
        log.lines().map(parse).collect()
    }
}

impl Origin {
    fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

/// Origins on ports that are free now.
fn origins(sites: &[Site]) -> Vec<Origin> {
    // All are held until all are chosen, so that none is chosen twice.
    let held: Vec<TcpListener> = sites
        .iter()
        .map(|site| TcpListener::bind((site.address.unwrap_or("127.0.0.1"), 0)).unwrap())
        .collect();
    let origin = |(site, socket): (&Site, &TcpListener)| Origin {
        address: socket.local_addr().unwrap(),
        scheme: if site.tls.is_some() { "https" } else { "http" },
    };
    sites.iter().zip(&held).map(origin).collect()
}

fn configure(home: &Path, root: &Path, sites: &[Site], origins: &[Origin]) {
    fs::write(home.join("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n")).unwrap();
    let mut servers = String::new();
    for (index, (site, origin)) in sites.iter().zip(origins).enumerate() {
        let mut rules = site.rules.clone();
        for (number, origin) in origins.iter().enumerate() {
            rules = rules.replace(&format!("{{{number}}}"), &origin.base());
        }
        let tls = site.tls.as_ref().map(|identity| {
            let (certificate, key) = identity.save(home, &format!("site-{index}"));
            format!("ssl_certificate {certificate:?};\nssl_certificate_key {key:?};\n")
        });
        let (address, ssl) = (origin.address, if tls.is_some() { " ssl" } else { "" });
        let tls = tls.unwrap_or_default();
        servers += &format!("server {{\nlisten {address}{ssl};\n{tls}{rules}}}\n");
    }
    let text = CONFIGURATION.replace("ROOT", &format!("{root:?}")).replace("SERVERS", &servers);
    fs::write(home.join("nginx.conf"), text).unwrap();
}

/// One process without privileges of its own, which keeps to its directory and to memory.
const CONFIGURATION: &str = r#"
daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events { worker_connections 128; }
http {
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    log_format seen escape=json '{"at":"$server_addr:$server_port","status":$status,'
        '"authorization":"$http_authorization","secret":"$http_x_secret",'
        '"range":"$http_range","protocol":"$ssl_protocol"}';
    access_log access.log seen;
    default_type application/octet-stream;
    root ROOT;
    SERVERS
}
"#;

fn launch(home: &Path) -> Result<Service, String> {
    let mut command = Command::new(program());
    command.arg("-p").arg(home).args(["-c", "nginx.conf"]).stdout(Stdio::null());
    // nginx says this when it listens already.
    let ready = |line: &str| line.contains("event method").then_some(());
    Service::start(&mut command, ready).map(|(service, ())| service)
}

/// Debian has it where users do not look.
fn program() -> PathBuf {
    let place = PathBuf::from("/usr/sbin/nginx");
    if place.exists() { place } else { PathBuf::from("nginx") }
}

#[test]
fn the_sites_tell_what_they_were_asked() {
    let workshop = super::workshop();
    fs::write(workshop.path().join("file"), b"0123456789").unwrap();
    let sites = [
        Site::plain().rule("location = /away { return 302 {1}/file; }"),
        Site::plain().elsewhere().guarded().without_ranges(),
    ];
    let nginx = Nginx::start(workshop.path(), &sites);
    let curl = |args: &[&str]| super::qemu::tool("curl", [&["-sS"], args].concat());
    assert_eq!(curl(&["-r", "2-4", &nginx.url(0, "file")]), "234");
    let user = format!("{USER}:{PASSWORD}");
    let args = ["-u", &user, "-H", "X-Secret: a\"b", "-r", "2-4", &nginx.url(1, "file")];
    assert_eq!(curl(&args), "0123456789");
    let away = curl(&["-o", "/dev/null", "-w", "%{redirect_url}", &nginx.url(0, "away")]);
    assert_eq!(away, nginx.url(1, "file"));
    assert_eq!(curl(&[&nginx.url_of(1, &format!("{USER}:{ESCAPED}"), "file")]), "0123456789");
    let seen = nginx.requests();
    let brief: Vec<_> = seen.iter().map(|seen| (seen.site, seen.status, seen.has_secrets())).collect();
    assert_eq!(brief, [(0, 206, false), (1, 200, true), (0, 302, false), (1, 200, true)]);
    assert_eq!((seen[1].secret.as_str(), seen[1].range.as_str()), ("a\"b", "bytes=2-4"));
}
