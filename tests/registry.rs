//! A real docker-registry: who may pull, whom we trust, and which of several architectures is taken.

use std::fs;

use serde_json::Value;

use crate::cli::Disks;
use crate::common::certificates::Authority;
use crate::common::noise;
use crate::common::oci::{Layer, OciLayout, Packing, layer};
use crate::common::registry::{PASSWORD, Registry, USER};
use crate::common::run::{self, Run};

/// A disk, and a registry that is to hold it.
struct Bench {
    disks: Disks,
    registry: Registry,
    layout: OciLayout,
}

impl Bench {
    fn new() -> Self {
        let disks = Disks::new();
        let layout = OciLayout::new(disks.dir());
        Self { registry: Registry::start(), layout, disks }
    }

    /// A layer with the disk.
    fn disk(&self) -> Layer {
        layer(&[("disk/disk.qcow2", &fs::read(&self.disks.qcow2).unwrap())], Packing::Gzip)
    }

    fn push(&mut self, descriptor: Value, name: &str) {
        self.layout.tag(name, descriptor);
        self.registry.push(&self.layout, name, &format!("disks:{name}"));
    }

    /// The disk as the only image.
    fn push_disk(&mut self) {
        let image = self.layout.image("amd64", &[self.disk()]);
        self.push(image, "one");
    }

    /// An import without trust and without credentials.
    fn import(&self, name: &str) -> Run {
        run::import(self.registry.reference(name), &self.disks.target)
    }

    fn trusting(&self, name: &str) -> Run {
        self.import(name).arg("--ca-cert").arg(self.registry.ca_cert())
    }

    fn signed(&self, name: &str) -> Run {
        self.trusting(name).arg("--auth-file").arg(self.registry.credentials())
    }

    #[track_caller]
    fn pours(&self, run: Run) {
        let outcome = run.run();
        outcome.expect(0);
        assert!(!outcome.stderr.contains(PASSWORD), "{}", outcome.stderr);
        self.disks.is_poured();
        fs::remove_file(&self.disks.target).unwrap();
    }

    #[track_caller]
    fn refuses(&self, run: Run, words: &str) {
        let outcome = run.run();
        outcome.expect(4).says(words);
        assert!(!outcome.stderr.contains(PASSWORD), "{}", outcome.stderr);
        self.disks.is_clean();
    }
}

#[test]
fn who_has_the_password_pulls_by_tag_and_by_digest() {
    let mut bench = Bench::new();
    let image = bench.layout.image("amd64", &[bench.disk()]);
    let digest = image["digest"].as_str().unwrap().to_owned();
    bench.push(image, "one");
    bench.pours(bench.signed("disks:one").args(["--arch", "amd64"]));
    bench.pours(bench.signed(&format!("disks@{digest}")).args(["--arch", "amd64"]));
    let run = bench.trusting("disks:one").args(["--arch", "amd64", "--username", USER]);
    bench.pours(run.env("DISKPOUR_PASSWORD", PASSWORD));
    let file = bench.disks.dir().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let run = bench.trusting("disks:one").args(["--arch", "amd64", "--username", USER]);
    bench.pours(run.arg("--password-file").arg(file));
}

#[test]
fn who_has_it_not_is_refused() {
    let mut bench = Bench::new();
    bench.push_disk();
    bench.refuses(bench.trusting("disks:one"), "401");
    let wrong = bench.registry.auth_file("wrong.json", "not the password");
    bench.refuses(bench.trusting("disks:one").arg("--auth-file").arg(wrong), "401");
    bench.refuses(bench.signed("disks:other"), "404");
    bench.refuses(bench.signed("nothing:one"), "404");
}

#[test]
fn a_registry_that_proves_nothing_is_refused() {
    let mut bench = Bench::new();
    bench.push_disk();
    let credentials = bench.registry.credentials();
    let run = bench.import("disks:one").arg("--auth-file").arg(&credentials);
    bench.refuses(run, "unknown CA");
    let other = Authority::new("other").save(bench.disks.dir(), "other.pem");
    let run = bench.import("disks:one").arg("--auth-file").arg(&credentials).arg("--ca-cert").arg(other);
    bench.refuses(run, "unknown CA");
    let run = bench.import("disks:one").arg("--auth-file").arg(&credentials);
    let outcome = run.args(["--insecure", "--arch", "amd64"]).run();
    outcome.expect(0).says("--insecure");
    bench.disks.is_poured();
}

#[test]
fn the_architecture_decides_which_image_of_an_index_is_taken() {
    let mut bench = Bench::new();
    let other = layer(&[("disk/disk.img", &noise(70_000, 9))], Packing::Gzip);
    let images = [bench.layout.image("s390x", &[other]), bench.layout.image("arm64", &[bench.disk()])];
    let index = bench.layout.index(&images);
    bench.push(index, "several");
    bench.pours(bench.signed("disks:several").args(["--arch", "arm64"]));
    let outcome = bench.signed("disks:several").args(["--arch", "s390x"]).run();
    outcome.expect(0);
    assert!(fs::read(&bench.disks.target).unwrap().starts_with(&noise(70_000, 9)));
    fs::remove_file(&bench.disks.target).unwrap();
    let outcome = bench.signed("disks:several").args(["--arch", "ppc64le"]).run();
    outcome.expect(6).says("ppc64le").says("s390x").says("arm64");
    bench.disks.is_clean();
}

#[test]
fn the_upper_layers_decide_as_a_container_would_see_them() {
    let mut bench = Bench::new();
    let lower = || layer(&[("disk/old.img", &noise(70_000, 9))], Packing::Gzip);
    let qcow2 = fs::read(&bench.disks.qcow2).unwrap();
    let hidden = layer(&[("disk/.wh.old.img", b""), ("disk/disk.qcow2", &qcow2)], Packing::Zstd);
    let image = bench.layout.image("amd64", &[lower(), hidden]);
    bench.push(image, "replaced");
    bench.pours(bench.signed("disks:replaced").args(["--arch", "amd64"]));
    let note = layer(&[("etc/note", b"nothing to see")], Packing::Gzip);
    let image = bench.layout.image("amd64", &[bench.disk(), note]);
    bench.push(image, "noted");
    bench.pours(bench.signed("disks:noted").args(["--arch", "amd64"]));
    let two = layer(&[("disk/a.img", &noise(4096, 1)), ("disk/b.img", &noise(4096, 2))], Packing::Gzip);
    let image = bench.layout.image("amd64", &[two]);
    bench.push(image, "two");
    let outcome = bench.signed("disks:two").args(["--arch", "amd64"]).run();
    outcome.expect(6).says("a.img").says("b.img");
    bench.disks.is_clean();
    let run = bench.signed("disks:two").args(["--arch", "amd64", "--image-path", "disk/b.img"]);
    run.run().expect(0);
    assert_eq!(fs::read(&bench.disks.target).unwrap(), noise(4096, 2));
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_ends_with_5_and_leaves_nothing() {
    let mut bench = Bench::new();
    // Neither the tar nor the disk has a sum of its own: only the layer's digest can tell.
    let disk = layer(&[("disk/disk.img", &bench.disks.bytes)], Packing::None);
    let digest = format!("sha256:{}", disk.digest());
    let image = bench.layout.image("amd64", &[disk]);
    bench.push(image, "rotten");
    bench.pours(bench.signed("disks:rotten").args(["--arch", "amd64"]));
    bench.registry.rot(&digest);
    bench.signed("disks:rotten").args(["--arch", "amd64"]).run().expect(5).says(&digest[..19]);
    bench.disks.is_clean();
}
