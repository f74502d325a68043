//! The upload server, by real clients: paths, status codes, certificates, and what breaks.

mod broken;
mod clients;
mod content;
mod states;

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::cli::Disks;
use crate::common::certificates::{Authority, Identity};
use crate::common::run;
use crate::common::upload::{Answer, Receiver, Wire, curl};

/// The common name that may upload.
pub(crate) const NAME: &str = "client.upload-server.cdi.kubevirt.io";

/// The phrase of what does not fit, in full.
pub(crate) const TOO_SMALL: &str =
    "Saving stream failed: effective image size is larger than the reported available storage: ";

/// Certificates for a server and its clients.
pub(crate) struct Papers {
    pub(crate) dir: PathBuf,
    pub(crate) authority: Authority,
    ca: PathBuf,
}

impl Papers {
    pub(crate) fn new(dir: &Path) -> Self {
        let authority = Authority::new("uploads");
        let ca = authority.save(dir, "ca.crt");
        authority.loopback().save(dir, "server");
        authority.client(NAME).save(dir, "good");
        Self { dir: dir.to_owned(), authority, ca }
    }

    fn at(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    pub(crate) fn save(&self, name: &str, identity: &Identity) {
        identity.save(&self.dir, name);
    }

    /// A server that takes uploads of [`NAME`].
    pub(crate) fn receiver(&self, target: &Path, options: &[&str]) -> Receiver {
        let (cert, key, ca) = (self.at("server.crt"), self.at("server.key"), self.at("ca.crt"));
        let tls = ["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca, "--client-name", NAME];
        Receiver::start(target, &[&tls, options].concat())
    }

    /// curl's arguments for a client with the certificate `name`, or with none.
    pub(crate) fn client(&self, name: Option<&str>) -> Vec<String> {
        let mut args = vec!["--cacert".to_owned(), self.ca.display().to_string()];
        if let Some(name) = name {
            let [cert, key] = ["crt", "key"].map(|ending| self.at(&format!("{name}.{ending}")));
            args.extend(["--cert".to_owned(), cert, "--key".to_owned(), key]);
        }
        args
    }
}

/// `args` and a POST of `file` to `url`, as a body or as a form.
pub(crate) fn post(mut args: Vec<String>, url: &str, file: &Path) -> Answer {
    if url.contains("-form") {
        args.extend(["-F".to_owned(), format!("file=@{}", file.display())]);
    } else {
        args.extend(["-X".to_owned(), "POST".to_owned(), "-T".to_owned(), file.display().to_string()]);
    }
    args.push(url.to_owned());
    curl(args)
}

#[test]
fn every_path_of_both_versions_takes_an_image_and_the_server_ends() {
    let disks = Disks::new();
    let papers = Papers::new(disks.dir());
    for version in ["v1beta1", "v1alpha1"] {
        for name in ["upload", "upload-async", "upload-form", "upload-form-async"] {
            let receiver = papers.receiver(&disks.target, &[]);
            let url = receiver.url(&format!("/{version}/{name}?ignored=query"));
            let answer = post(papers.client(Some("good")), &url, &disks.qcow2);
            answer.expect(200);
            assert_eq!((answer.body.as_str(), answer.code), ("", 0), "{url}");
            let result = receiver.finish();
            assert_eq!(result["format"], "qcow2", "{url}");
            assert_eq!(result["scratch_bytes"], 0, "{url}");
            disks.is_poured();
            fs::remove_file(&disks.target).unwrap();
        }
    }
}

#[test]
fn probes_need_no_certificate_and_other_paths_are_not_there() {
    let disks = Disks::new();
    let papers = Papers::new(disks.dir());
    let receiver = papers.receiver(&disks.target, &[]);
    let ask = |args: &[&str], path: &str| {
        let mut all = papers.client(None);
        all.extend(args.iter().map(ToString::to_string));
        all.push(receiver.url(path));
        curl(all)
    };
    for method in ["GET", "POST", "PUT"] {
        let answer = ask(&["-X", method], "/healthz");
        assert_eq!((answer.status, answer.body.as_str()), (200, "OK"), "{method}");
    }
    ask(&["-I"], "/healthz").expect(200);
    for path in ["upload-async", "upload-form-async"] {
        for version in ["v1beta1", "v1alpha1"] {
            ask(&["-I"], &format!("/{version}/{path}")).expect(200);
        }
    }
    for path in ["upload", "upload-form", "upload-archive"] {
        ask(&["-I"], &format!("/v1beta1/{path}")).expect(404);
        ask(&[], &format!("/v1beta1/{path}")).expect(404);
        ask(&["-X", "PUT", "-d", "x"], &format!("/v1beta1/{path}")).expect(404);
    }
    for path in ["/", "/v1beta1", "/v1beta1/upload/", "/v1beta2/upload", "/upload"] {
        ask(&["-d", "x"], path).expect(404);
    }
    // 404 comes before 401, and 401 before everything else.
    ask(&["-d", "x"], "/v1beta1/upload-form").expect(401).says("certificate");
    let (code, _) = receiver.end(Signal::TERM);
    assert_eq!(code, Some(143));
    disks.is_clean();
}

#[test]
fn what_cannot_be_served_ends_at_the_start_with_words() {
    let disks = Disks::new();
    let papers = Papers::new(disks.dir());
    let start =
        |options: &[&str]| run::diskpour().arg("upload-server").arg(&disks.target).args(options).run();
    let (cert, key) = (papers.at("server.crt"), papers.at("server.key"));
    start(&[]).expect(2).says("--tls-cert is missing").says("--insecure-plain-http");
    start(&["--insecure-plain-http", "--listen", "0.0.0.0:0"]).expect(2).says("loopback");
    start(&["--tls-cert", &cert, "--tls-key", &papers.at("none")]).expect(2).says("--tls-key");
    start(&["--tls-cert", &cert, "--tls-key", &papers.at("good.key")]).expect(2).says("cannot be used");
    start(&["--tls-cert", &cert, "--tls-key", &key, "--tls-ciphers", "RC4-MD5"]).expect(2).says("RC4-MD5");
    let other = Receiver::plain(&disks.dir().join("other.img"), &[]);
    let address = other.address().to_string();
    start(&["--insecure-plain-http", "--listen", &address]).expect(1).says("cannot listen");
    fs::write(&disks.target, "precious").unwrap();
    start(&["--insecure-plain-http", "--listen", "127.0.0.1:0"]).expect(2).says("--force");
    assert_eq!(fs::read(&disks.target).unwrap(), b"precious");
}

#[test]
fn a_signal_ends_the_server_at_once_also_in_the_middle_of_an_upload() {
    let disks = Disks::new();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let receiver = Receiver::plain(&disks.target, &[]);
        let mut wire = Wire::post(&receiver, "/v1beta1/upload", &states::len(disks.bytes.len()));
        wire.send(&disks.bytes[..2 << 20]);
        assert!(crate::common::wait_for(|| disks.target.exists()), "no upload began");
        let start = std::time::Instant::now();
        let (found, log) = receiver.end(signal);
        assert!(start.elapsed().as_secs() < 2, "it took {:?}", start.elapsed());
        assert_eq!(found, Some(code), "{log}");
        disks.is_clean();
    }
}

#[test]
fn a_file_that_is_there_is_overwritten_only_by_force() {
    let disks = Disks::new();
    fs::write(&disks.target, "old").unwrap();
    let receiver = Receiver::plain(&disks.target, &["--force"]);
    receiver.post(&disks.qcow2).expect(200);
    receiver.finish();
    disks.is_poured();
}

#[test]
fn web_pages_do_not_upload_to_a_server_without_certificates() {
    let disks = Disks::new();
    let receiver = Receiver::plain(&disks.target, &[]);
    let args = vec!["-H".to_owned(), "Origin: https://evil.example".to_owned()];
    post(args, &receiver.url("/v1beta1/upload-form"), &disks.raw).expect(401).says("web page");
    disks.is_clean();
    receiver.post(&disks.raw).expect(200);
    receiver.finish();
    disks.is_poured();
}
