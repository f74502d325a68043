//! Images in layouts and archives: layers, whiteouts, digests.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::Bench;
use crate::common::oci::{PACKINGS, Packing, layer};
use crate::common::{digest, noise, qemu, run};

#[test]
fn a_layer_is_unpacked_whatever_it_is_packed_by() {
    let mut bench = Bench::new();
    for packing in PACKINGS {
        bench.holds(&[
            layer(&[("etc/hostname", b"x")], Packing::Gzip),
            bench.with_disk("disk/a.img", packing),
        ]);
        let outcome = bench.pours(bench.import());
        assert_eq!(outcome.result()["format"], "raw", "{packing:?}");
        assert_eq!(outcome.number("scratch_bytes"), 0);
    }
}

#[test]
fn the_digest_of_an_image_is_that_of_the_layer_and_a_checksum_one_of_the_disk() {
    let mut bench = Bench::new();
    let disk = bench.with_disk("disk/a.img", Packing::Gzip);
    let stored = disk.digest();
    bench.holds(&[disk]);
    let outcome = bench.pours(bench.import());
    assert_eq!(outcome.result()["digest"]["value"], stored);
    let expected = digest::bytes(&bench.disk);
    let outcome = bench.pours(bench.import().arg(format!("--checksum=sha256:{expected}")));
    assert_eq!(outcome.result()["digest"]["value"], expected);
    bench.refuses(bench.import().arg(format!("--checksum=sha256:{stored}")), 5, "the checksum differs");
}

#[test]
fn upper_layers_hide_what_lies_below() {
    let mut bench = Bench::new();
    let old = noise(5000, 5);
    let below = || layer(&[("disk/old.img", &old)], Packing::Gzip);
    let disk = |bench: &Bench| bench.with_disk("disk/new.img", Packing::Zstd);
    let whiteout = || layer(&[("disk/.wh.old.img", b"")], Packing::None);
    bench.holds(&[below(), disk(&bench)]);
    bench.pours(bench.import());
    bench.holds(&[disk(&bench), below(), whiteout()]);
    // The whiteout hides the file of the layer in between, so that the lowest one decides.
    bench.pours(bench.import());
    bench.holds(&[below(), whiteout()]);
    bench.refuses(bench.import(), 6, "no file under /disk/");
    for opaque in ["disk/.wh..wh..opq", ".wh.disk", ".wh..wh..opq"] {
        bench.holds(&[below(), layer(&[(opaque, b"")], Packing::None)]);
        bench.refuses(bench.import(), 6, "an upper layer removes it");
        let all = [(opaque, &b""[..]), ("disk/new.img", &bench.disk)];
        bench.holds(&[below(), layer(&all, Packing::Gzip)]);
        bench.pours(bench.import());
    }
}

#[test]
fn what_is_no_single_file_is_refused_with_a_list_unless_a_path_chooses() {
    let mut bench = Bench::new();
    let (a, b) = (noise(9000, 1), noise(900_000, 2));
    // The second file is found only behind the first.
    bench.holds(&[layer(&[("disk/a.img", &a), ("disk/b.img", &bench.disk)], Packing::Gzip)]);
    bench.refuses(bench.import(), 6, "/disk/a.img (9000 bytes), /disk/b.img (3145728 bytes)");
    for path in ["disk/b.img", "/disk/b.img", "./disk//b.img"] {
        bench.pours(bench.import().args(["--image-path", path]));
    }
    bench.refuses(bench.import().args(["--image-path", "disk/c.img"]), 6, "no file at --image-path");
    bench.refuses(bench.import().args(["--image-path", "../disk"]), 2, "--image-path");
    bench.holds(&[layer(&[("disk/a.img", &b), ("disk/sub/x", b"")], Packing::Zstd)]);
    bench.refuses(bench.import(), 6, "/disk/sub/");
    bench.holds(&[layer(&[("disks/a.img", &a), ("boot/x", b"")], Packing::Zstd)]);
    bench.refuses(bench.import(), 6, "it has /disks/, /boot/");
}

#[test]
fn a_disk_in_the_image_may_be_of_any_format_and_packed() {
    let mut bench = Bench::new();
    let raw = bench.workshop.path().join("raw");
    fs::write(&raw, &bench.disk).unwrap();
    let qcow2 = bench.workshop.path().join("disk.qcow2");
    qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
    for (file, format) in [(qcow2.clone(), "qcow2"), (qemu::pack(&raw, "gzip"), "raw")] {
        bench.holds(&[layer(&[("disk/disk", &fs::read(file).unwrap())], Packing::Gzip)]);
        assert_eq!(bench.pours(bench.import()).result()["format"], format);
    }
    bench.refuses(bench.import().args(["--scratch-policy", "strict"]), 6, "strict");
}

#[test]
fn damage_is_noticed_before_success_wherever_it_is() {
    let mut bench = Bench::new();
    let image = bench.layout.image("amd64", &[bench.with_disk("disk/a.img", Packing::None)]);
    bench.tag(image.clone());
    let manifest = bench.layout.document(&image);
    let blob = bench.layout.blob_file(&manifest["layers"][0]["digest"]);
    let whole = fs::read(&blob).unwrap();
    // A byte of the disk, one behind it in the same block, and one behind the tar's end.
    for at in [1 << 20, whole.len() - 1, 1024 + (3 << 20) + 700] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&blob, &changed).unwrap();
        let run = bench.import().run();
        // What breaks the tar itself is seen before the digest can be.
        run.expect(if run.stderr.contains("the archive is damaged") { 6 } else { 5 });
        assert!(!bench.target.exists(), "byte {at}");
    }
    fs::write(&blob, &whole[..whole.len() / 2]).unwrap();
    bench.refuses(bench.import(), 5, "expected");
    fs::write(&blob, &whole).unwrap();
    bench.pours(bench.import());
    let config = bench.layout.blob_file(&manifest["config"]["digest"]);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace("linux", "LINUX")).unwrap();
    bench.refuses(bench.import(), 5, "digest");
}

#[test]
fn the_machine_chooses_among_architectures() {
    let mut bench = Bench::new();
    let other = layer(&[("disk/a.img", &noise(9000, 1))], Packing::Gzip);
    let images = [
        bench.layout.image("s390x", std::slice::from_ref(&other)),
        bench.layout.image("amd64", &[bench.with_disk("disk/a.img", Packing::Gzip)]),
    ];
    let mut attestation = images[0].clone();
    attestation["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    let index = bench.layout.index(&[vec![attestation], images.to_vec()].concat());
    bench.tag(index);
    bench.pours(bench.import());
    let source = format!("oci:{}", bench.layout.dir().display());
    let absent = run::import(&source, &bench.target).args(["--arch", "riscv64"]);
    bench.refuses(absent, 6, "the image exists for s390x, amd64, not for riscv64");
    bench.tag(images[0].clone());
    bench.refuses(bench.import(), 6, "the image is for s390x, --arch asks for amd64");
    run::import(&source, &bench.target).run().expect(0);
}

#[test]
fn a_layer_that_lies_elsewhere_is_never_fetched() {
    let mut bench = Bench::new();
    let disk = bench.with_disk("disk/a.img", Packing::Gzip);
    let nobody = crate::common::depot::Depot::start("127.0.0.1", |_| panic!("asked"));
    let url = format!("http://{}/layer", nobody.address());
    let image = bench.layout.odd_image(&disk, |layer| layer["urls"] = json!([url]));
    bench.tag(image);
    bench.refuses(bench.import(), 6, "foreign layer");
    assert!(nobody.seen().is_empty());
}

#[test]
fn archives_that_skopeo_writes_are_read() {
    let mut bench = Bench::new();
    bench.holds(&[layer(&[("etc/x", b"x")], Packing::Gzip), bench.with_disk("disk/a.img", Packing::Gzip)]);
    let archive = |kind: &str| bench.workshop.path().join(format!("{kind}.tar"));
    for (kind, named, other) in
        [("oci-archive", ":disks", ":others"), ("docker-archive", ":disks:v1", ":disks:v2")]
    {
        let path = archive(kind);
        skopeo(&bench, &format!("{kind}:{}{named}", path.display()));
        for source in [format!("{kind}:{}{named}", path.display()), format!("{kind}:{}", path.display())] {
            bench.pours(run::import(source, &bench.target).args(["--arch", "amd64"]));
        }
        let absent = run::import(format!("{kind}:{}{other}", path.display()), &bench.target);
        bench.refuses(absent, 4, "has no image named");
        let packed = qemu::pack(&path, "gzip");
        bench.pours(run::import(format!("{kind}:{}", packed.display()), &bench.target));
        let damaged = damaged(&path, &bench.disk);
        bench.refuses(run::import(format!("{kind}:{}", damaged.display()), &bench.target), 5, "");
    }
}

/// Copies the image of the layout to `target`.
fn skopeo(bench: &Bench, target: &str) {
    let home = bench.workshop.path();
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "--tmpdir"]).arg(home).args(["copy", "--quiet"]);
    command.arg(format!("oci:{}:latest", bench.layout.dir().display())).arg(target);
    command.env("XDG_DATA_HOME", home).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; see tests/run"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A copy of `archive` with a byte changed in the middle of its largest member.
fn damaged(archive: &Path, disk: &[u8]) -> std::path::PathBuf {
    let mut bytes = fs::read(archive).unwrap();
    assert!(bytes.len() > disk.len());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let path = archive.with_extension("damaged");
    fs::write(&path, bytes).unwrap();
    path
}
