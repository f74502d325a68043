//! Whom HTTPS trusts, against a real nginx: custom authorities, bad certificates, versions of TLS.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::cli::Disks;
use crate::common::certificates::{Authority, Claim, Identity, self_signed, self_signed_once};
use crate::common::nginx::{Nginx, Site};
use crate::common::run::{self, Run};

/// The names that the tests' servers are found under.
const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// A disk, and one authority that signs for its server.
struct Bench {
    disks: Disks,
    authority: Authority,
}

impl Bench {
    fn new() -> Self {
        Self { disks: Disks::new(), authority: Authority::new("ours") }
    }

    fn serve(&self, identity: &Identity) -> Nginx {
        Nginx::start(self.disks.dir(), &[Site::tls(identity)])
    }

    fn import(&self, nginx: &Nginx) -> Run {
        run::import(nginx.url(0, "disk.qcow2"), &self.disks.target)
    }

    /// A path for the authority's certificates, in a directory of its own.
    fn path(&self, name: &str) -> PathBuf {
        let dir = self.disks.dir().join("ca");
        fs::create_dir_all(&dir).unwrap();
        dir.join(name)
    }

    #[track_caller]
    fn pours(&self, run: Run) {
        run.run().expect(0);
        self.disks.is_poured();
        fs::remove_file(&self.disks.target).unwrap();
    }

    #[track_caller]
    fn refuses(&self, run: Run, words: &str) {
        run.run().expect(4).says(words);
        self.disks.is_clean();
    }
}

#[test]
fn an_authority_may_be_a_file_a_bundle_or_a_directory() {
    let bench = Bench::new();
    let nginx = bench.serve(&bench.authority.loopback());
    let (ours, other) = (bench.authority.pem(), Authority::new("other").pem().to_owned());
    let file = bench.authority.save(bench.disks.dir(), "no ending at all");
    let bundle = bench.path("bundle.pem");
    fs::write(&bundle, format!("# of ours\r\n{other}\nthe next\n{ours}\n{other}")).unwrap();
    for path in [file, bundle, odd_directory(&bench, ours, &other), config_map(&bench, ours, &other)] {
        bench.pours(bench.import(&nginx).arg("--ca-cert").arg(path));
    }
    // Several options add up.
    let (one, two) = (bench.path("one"), bench.path("two"));
    fs::write(&one, other).unwrap();
    fs::write(&two, ours).unwrap();
    bench.pours(bench.import(&nginx).arg("--ca-cert").arg(one).arg("--ca-cert").arg(two));
}

/// A directory whose files have any name, and are not all certificates.
fn odd_directory(bench: &Bench, ours: &str, other: &str) -> PathBuf {
    let dir = bench.path("odd");
    fs::create_dir_all(dir.join("directory.pem")).unwrap();
    fs::write(dir.join("5ed36f99.0"), other).unwrap();
    fs::write(dir.join("Root of ours (2026), ünd so"), ours).unwrap();
    fs::write(dir.join("empty.crt"), "").unwrap();
    dir
}

/// A directory as a ConfigMap is mounted: links through `..data`.
fn config_map(bench: &Bench, ours: &str, other: &str) -> PathBuf {
    let dir = bench.path("mounted");
    let version = dir.join("..2026_01_02_03_04_05.678901234");
    fs::create_dir_all(&version).unwrap();
    fs::write(version.join("ca-bundle"), format!("{other}{ours}")).unwrap();
    symlink("..2026_01_02_03_04_05.678901234", dir.join("..data")).unwrap();
    symlink("..data/ca-bundle", dir.join("ca-bundle")).unwrap();
    dir
}

#[test]
fn a_certificate_that_proves_nothing_is_refused_with_the_reason() {
    let bench = Bench::new();
    let ours = bench.authority.save(bench.disks.dir(), "ours.pem");
    let other = Authority::new("other");
    let wrong = other.save(bench.disks.dir(), "other.pem");
    let good = bench.serve(&bench.authority.loopback());
    bench.refuses(bench.import(&good), "unknown CA");
    bench.refuses(bench.import(&good).arg("--ca-cert").arg(wrong), "unknown CA");
    // The same name makes no authority.
    let twin = Authority::new("ours").save(bench.disks.dir(), "twin.pem");
    let outcome = bench.import(&good).arg("--ca-cert").arg(twin).run();
    outcome.expect(4).says("certificate");
    let expired = bench.serve(&bench.authority.expired());
    bench.refuses(bench.import(&expired).arg("--ca-cert").arg(&ours), "expired");
    let foreign = bench.serve(&bench.authority.server(&["elsewhere.test", "127.0.0.9"]));
    bench.refuses(bench.import(&foreign).arg("--ca-cert").arg(&ours), "another host name");
    let client = bench.serve(&bench.authority.client("127.0.0.1"));
    bench.refuses(bench.import(&client).arg("--ca-cert").arg(&ours), "certificate");
}

#[test]
fn a_self_signed_certificate_is_trusted_where_it_is_given() {
    let bench = Bench::new();
    for claim in [Claim::Server, Claim::Authority] {
        let alone = self_signed(&HERE, claim);
        let (file, _) = alone.save(bench.disks.dir(), "alone");
        let nginx = bench.serve(&alone);
        bench.refuses(bench.import(&nginx), "certificate");
        bench.pours(bench.import(&nginx).arg("--ca-cert").arg(&file));
        // Another one does not stand in for it.
        let other = self_signed(&HERE, claim).save(bench.disks.dir(), "other").0;
        bench.refuses(bench.import(&nginx).arg("--ca-cert").arg(other), "certificate");
    }
}

#[test]
fn a_self_signed_certificate_does_not_excuse_its_name_and_its_dates() {
    let bench = Bench::new();
    for claim in [Claim::Server, Claim::Authority] {
        let foreign = self_signed(&["elsewhere.test"], claim);
        let (file, _) = foreign.save(bench.disks.dir(), "foreign");
        bench.refuses(bench.import(&bench.serve(&foreign)).arg("--ca-cert").arg(file), "another host name");
        let old = self_signed_once(&HERE, claim);
        let (file, _) = old.save(bench.disks.dir(), "old");
        bench.refuses(bench.import(&bench.serve(&old)).arg("--ca-cert").arg(file), "expired");
    }
}

#[test]
fn insecure_takes_any_certificate_and_says_so() {
    let bench = Bench::new();
    let identities = [
        bench.authority.loopback(),
        bench.authority.expired(),
        bench.authority.server(&["elsewhere.test"]),
        self_signed(&HERE, Claim::Authority),
    ];
    for identity in &identities {
        let outcome = bench.import(&bench.serve(identity)).arg("--insecure").run();
        outcome.expect(0).says("--insecure");
        bench.disks.is_poured();
        fs::remove_file(&bench.disks.target).unwrap();
    }
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let bench = Bench::new();
    let ca = bench.authority.save(bench.disks.dir(), "ca.pem");
    let identity = bench.authority.loopback();
    let import = |nginx: &Nginx| bench.import(nginx).arg("--ca-cert").arg(&ca);
    for version in ["TLSv1.2", "TLSv1.3"] {
        let site = Site::tls(&identity).rule(&format!("ssl_protocols {version};"));
        let nginx = Nginx::start(bench.disks.dir(), &[site]);
        bench.pours(import(&nginx));
        assert!(nginx.requests().iter().all(|request| request.protocol == version));
    }
    // OpenSSL speaks this at its lowest level only.
    let old = Site::tls(&identity).rule("ssl_protocols TLSv1.1;").rule("ssl_ciphers DEFAULT@SECLEVEL=0;");
    let nginx = Nginx::start(bench.disks.dir(), &[old]);
    bench.refuses(import(&nginx), "TLS");
}

#[test]
fn an_authority_that_cannot_be_read_ends_with_2_and_its_path() {
    let bench = Bench::new();
    let nginx = bench.serve(&bench.authority.loopback());
    let empty = bench.path("nothing-in-it");
    fs::write(&empty, "no certificate").unwrap();
    let torn = bench.path("torn");
    fs::write(&torn, &bench.authority.pem()[..200]).unwrap();
    let missing = bench.path("missing");
    for path in [&empty, &torn, &missing] {
        let outcome = bench.import(&nginx).arg("--ca-cert").arg(path).run();
        outcome.expect(2).says(name(path)).says("--ca-cert");
        bench.disks.is_clean();
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}
