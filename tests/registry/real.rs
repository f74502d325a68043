//! A real docker-registry with TLS and a password.

use super::Bench;
use crate::common::noise;
use crate::common::oci::{PACKINGS, Packing, layer};
use crate::common::registry::{PASSWORD, Registry, USER};
use crate::common::run::{self, Run};

fn import(bench: &Bench, registry: &Registry, name: &str) -> Run {
    run::import(registry.reference(name), &bench.target).arg("--ca-cert").arg(registry.ca_cert())
}

#[test]
fn images_come_from_a_real_registry_by_tag_digest_and_architecture() {
    let registry = Registry::start();
    let mut bench = Bench::new();
    let other = layer(&[("disk/a.img", &noise(70_000, 1))], Packing::Gzip);
    let images = [
        bench.layout.image("s390x", &[other]),
        bench.layout.image("amd64", &[bench.with_disk("disk/a.img", Packing::Gzip)]),
    ];
    let index = bench.layout.index(&images);
    bench.tag(index);
    registry.push(&bench.layout, "latest", "team/disks:v1");
    let by_file = |name: &str| {
        let run = import(&bench, &registry, name).args(["--arch", "amd64"]);
        run.arg("--auth-file").arg(registry.credentials())
    };
    bench.pours(by_file("team/disks:v1"));
    bench.pours(by_file(&format!("team/disks@{}", images[1]["digest"].as_str().unwrap())));
    let absent = import(&bench, &registry, "team/disks:v1").args(["--arch", "arm64"]);
    let absent = absent.arg("--auth-file").arg(registry.credentials());
    bench.refuses(absent, 6, "the image exists for s390x, amd64, not for arm64");
    bench.refuses(by_file("team/disks:v2"), 4, "not found");
}

#[test]
fn a_password_given_as_an_option_wins_over_the_file() {
    let registry = Registry::start();
    let mut bench = Bench::new();
    bench.holds(&[bench.with_disk("disk/a.img", Packing::Zstd)]);
    registry.push(&bench.layout, "latest", "disks:latest");
    let wrong = registry.auth_file("wrong.json", "nonsense");
    let run = || import(&bench, &registry, "disks").args(["--arch", "amd64"]);
    bench.pours(
        run().args(["--username", USER]).env("DISKPOUR_PASSWORD", PASSWORD).arg("--auth-file").arg(&wrong),
    );
    bench.refuses(run().arg("--auth-file").arg(&wrong), 4, "401");
    bench.refuses(run(), 4, "401");
    let stranger = run::import(registry.reference("disks"), &bench.target);
    bench.refuses(stranger, 4, "unknown CA");
    let careless = run::import(registry.reference("disks"), &bench.target).arg("--insecure");
    bench.pours(careless.args(["--arch", "amd64", "--auth-file"]).arg(registry.credentials()));
}

#[test]
fn every_packing_comes_from_a_real_registry() {
    let registry = Registry::start();
    let mut bench = Bench::new();
    for packing in PACKINGS {
        bench.holds(&[bench.with_disk("disk/a.img", packing)]);
        registry.push(&bench.layout, "latest", "disks:latest");
        let run = import(&bench, &registry, "disks").arg("--auth-file").arg(registry.credentials());
        bench.pours(run.args(["--arch", "amd64"]));
    }
}
