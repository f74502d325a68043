//! A real docker-registry with TLS and one user, which is filled by skopeo as a user would.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::certificates::{Authority, Identity};
use super::oci::OciLayout;
use super::service::Service;

/// The one user.
pub(crate) const USER: &str = "puller";
/// The password of [`USER`].
pub(crate) const PASSWORD: &str = "pull/me:w0rd";
/// What `htpasswd -nbB -C 4` makes of them; the registry takes nothing but bcrypt.
const ENTRY: &str = "puller:$2y$04$rpXKtXk0OGY0RSA4X4wFqeAwrepug5a4ZDD4Fn5kqSb.l8I.XsTIq\n";

/// A running registry; it ends when dropped.
pub(crate) struct Registry {
    service: Service,
    home: tempfile::TempDir,
    address: String,
}

impl Registry {
    /// An empty registry whose certificate is signed by an authority that nobody knows.
    pub(crate) fn start() -> Self {
        let authority = Authority::new("registry's");
        let identity = authority.loopback();
        let home = super::workshop();
        let file = configure(home.path(), &identity);
        // skopeo wants a directory with nothing but certificates.
        let trust = home.path().join("trust");
        fs::create_dir(&trust).unwrap();
        authority.save(&trust, "ca.crt");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(file).stdout(Stdio::null());
        let (service, address) = Service::start(&mut command, listening).unwrap_or_else(|e| panic!("{e}"));
        let registry = Self { service, home, address };
        registry.auth_file("auth.json", PASSWORD);
        registry
    }

    /// The reference of `name`, as in `disks:latest`.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.address)
    }

    /// The certificate of the registry's authority.
    pub(crate) fn ca_cert(&self) -> PathBuf {
        self.home.path().join("trust/ca.crt")
    }

    /// The file of the right credentials.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.home.path().join("auth.json")
    }

    /// A file of docker's form in which [`USER`] has `password`.
    pub(crate) fn auth_file(&self, name: &str, password: &str) -> PathBuf {
        let path = self.home.path().join(name);
        let auth = STANDARD.encode(format!("{USER}:{password}"));
        let text = json!({ "auths": { &self.address: { "auth": auth } } }).to_string();
        fs::write(&path, text).unwrap();
        path
    }

    /// Copies the image that `layout` calls `tag`, and those that it lists, to the reference of `name`.
    pub(crate) fn push(&self, layout: &OciLayout, tag: &str, name: &str) {
        let home = self.home.path();
        let mut command = Command::new("skopeo");
        // As it is, and without a trace outside the test's directory.
        command.args(["--insecure-policy", "--tmpdir"]).arg(home);
        command.args(["copy", "--quiet", "--all", "--preserve-digests", "--authfile"]);
        command.arg(self.credentials()).arg("--dest-cert-dir").arg(home.join("trust"));
        command.arg(format!("oci:{}:{tag}", layout.dir().display())).arg(self.reference(name));
        command.env("XDG_DATA_HOME", home).env("_CONTAINERS_ROOTLESS_UID", "1").stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; see tests/run"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}\n{}", self.service.log());
    }

    /// Turns a bit in the middle of the blob `digest`, as a bad disk does.
    pub(crate) fn rot(&self, digest: &str) {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.home.path().join("storage/docker/registry/v2/blobs/sha256");
        let path = blobs.join(&hex[..2]).join(hex).join("data");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(path, bytes).unwrap();
    }

    /// The body that curl gets from a path of the registry's interface.
    pub(crate) fn curl(&self, args: &[&str], path: &str) -> String {
        let (ca, user) = (self.ca_cert(), format!("{USER}:{PASSWORD}"));
        let url = format!("https://{}{path}", self.address);
        let fixed: [&OsStr; 6] =
            ["-sSf".as_ref(), "--cacert".as_ref(), ca.as_ref(), "-u".as_ref(), user.as_ref(), url.as_ref()];
        super::qemu::tool("curl", fixed.into_iter().chain(args.iter().map(AsRef::as_ref)))
    }
}

/// The configuration file; what is JSON is YAML too.
fn configure(home: &Path, identity: &Identity) -> PathBuf {
    let (certificate, key) = identity.save(home, "registry");
    let users = home.join("users");
    fs::write(&users, ENTRY).unwrap();
    let text = json!({
        "version": 0.1,
        "log": { "accesslog": { "disabled": true } },
        "storage": { "filesystem": { "rootdirectory": home.join("storage") } },
        "http": {
            "addr": "127.0.0.1:0", "secret": "test",
            "tls": { "certificate": certificate, "key": key },
        },
        "auth": { "htpasswd": { "realm": "test", "path": users } },
    });
    let path = home.join("config.yml");
    fs::write(&path, text.to_string()).unwrap();
    path
}

/// The address in the line that says that the registry listens.
fn listening(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split([',', '"']).next().map(str::to_owned)
}

#[test]
fn the_registry_keeps_what_skopeo_pushes_as_it_is() {
    use super::oci::{Packing, layer};

    let registry = Registry::start();
    let workshop = super::workshop();
    let mut layout = OciLayout::new(workshop.path());
    let images = [("amd64", Packing::None), ("arm64", Packing::Gzip), ("s390x", Packing::Zstd)]
        .map(|(arch, packing)| layout.image(arch, &[layer(&[("disk/disk.img", b"disk")], packing)]));
    layout.tag("both", layout.index(&images));
    registry.push(&layout, "both", "disks:all");
    let index =
        registry.curl(&["-H", "Accept: application/vnd.oci.image.index.v1+json"], "/v2/disks/manifests/all");
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    for (listed, image) in index["manifests"].as_array().unwrap().iter().zip(&images) {
        assert_eq!(listed["digest"], image["digest"], "{index}");
    }
}
