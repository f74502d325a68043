//! 9.E: container images.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};

use super::Case::Always;
use super::Row;
use super::bench::{Bench, MI, Volumes, is_complete};
use super::trust::trusting;
use super::web::GROWN;
use crate::common::certificates::Authority;
use crate::common::depot::{Depot, Reply, shelves};
use crate::common::oci::{Layer, OciLayout, Packing, layer, odd_layer};
use crate::common::pod::Pod;
use crate::common::proxy::{Proxy, Rules};
use crate::common::qemu;
use crate::common::registry::{PASSWORD, Registry, USER};

pub(super) const ROWS: &[Row] = &[
    ("E1", "QCOW2, raw and tar, CA in .crt and .pem", Always(e1)),
    ("E2", "who may pull", Always(e2)),
    ("E3", "INSECURE_TLS", Always(e3)),
    ("E4", "no CA or another one", Always(e4)),
    ("E5", "a tag or a host that is not there", Always(e5)),
    ("E6", "an index and its architectures", Always(e6)),
    ("E7", "a single image for another architecture", Always(e7)),
    ("E8", "a malformed layer", Always(e8)),
    ("E9", "no disk, two, a directory, one elsewhere", Always(e9)),
    ("E10", "a bootc image", Always(e10)),
    ("E11", "labels from the image's environment", Always(e11)),
    ("E12", "through proxies", Always(e12)),
    ("E15", "layers of every compression, and one that breaks off", Always(e15)),
    ("E16", "a volume that is barely large enough", Always(e16)),
];

const PREFIX: &str = "Unable to process data: Unable to transfer source data to scratch space: ";

/// A registry and what is to be pushed to it.
struct Shop {
    volumes: Volumes,
    registry: Registry,
    layout: OciLayout,
}

impl Shop {
    fn new(bench: &Bench) -> Self {
        let volumes = bench.volumes();
        Self { registry: Registry::start(), layout: OciLayout::new(&volumes.dir), volumes }
    }

    fn push(&mut self, image: Value, tag: &str) {
        self.layout.tag(tag, image);
        self.registry.push(&self.layout, tag, &format!("disks:{tag}"));
    }

    /// A pod without trust and without credentials.
    fn pod(&self, tag: &str) -> Pod {
        self.volumes.pod("registry", &self.registry.reference(&format!("disks:{tag}")))
    }

    /// The certificate of the registry under `name`, alone in a directory.
    fn certs(&self, name: &str) -> PathBuf {
        let dir = self.volumes.dir.join(format!("certs-{name}"));
        fs::create_dir_all(&dir).unwrap();
        fs::copy(self.registry.ca_cert(), dir.join(name)).unwrap();
        dir
    }

    /// A pod that has all it needs.
    fn welcome(&self, tag: &str) -> Pod {
        trusting(signed(self.pod(tag), PASSWORD), self.certs("ca.crt"))
    }
}

fn signed(pod: Pod, password: &str) -> Pod {
    pod.env("IMPORTER_ACCESS_KEY_ID", USER).env("IMPORTER_SECRET_KEY", password)
}

fn file(bench: &Bench, name: &str) -> Vec<u8> {
    fs::read(bench.root().join(name)).unwrap()
}

fn disk(bench: &Bench) -> Layer {
    layer(&[("disk/disk.qcow2", &file(bench, "disk.qcow2"))], Packing::Gzip)
}

#[track_caller]
fn pours(volumes: &Volumes, pod: Pod, content: &[u8]) {
    let ended = pod.run();
    is_complete(&ended, false);
    volumes.holds(content, GROWN);
    assert!(!ended.stderr.contains(PASSWORD), "{}", ended.stderr);
}

/// The message of a pod that must not pull.
#[track_caller]
fn refused(volumes: &Volumes, pod: Pod) -> String {
    let ended = pod.run();
    ended.expect(1).tells(PREFIX).tells("failed to pull image");
    assert!(!ended.stderr.contains(PASSWORD) && !ended.message.contains(PASSWORD), "{}", ended.stderr);
    volumes.is_empty();
    ended.message
}

fn e1(bench: &Bench) -> String {
    let mut shop = Shop::new(bench);
    let tar = super::archives::archive();
    let rows = [("raw", bench.raw.clone()), ("qcow2", file(bench, "disk.qcow2")), ("tar", tar.clone())];
    for (name, bytes) in &rows {
        let image =
            shop.layout.image("amd64", &[layer(&[(&format!("disk/disk.{name}"), bytes)], Packing::Gzip)]);
        shop.push(image, name);
    }
    for ca in ["ca.crt", "ca.pem"] {
        for (name, content) in [("raw", &bench.raw), ("qcow2", &bench.raw), ("tar", &tar)] {
            pours(&shop.volumes, trusting(signed(shop.pod(name), PASSWORD), shop.certs(ca)), content);
        }
    }
    "exit 0 for each".to_owned()
}

fn e2(bench: &Bench) -> String {
    let mut shop = Shop::new(bench);
    let image = shop.layout.image("amd64", &[disk(bench)]);
    shop.push(image, "one");
    pours(&shop.volumes, shop.welcome("one"), &bench.raw);
    fs::remove_file(shop.volumes.disk()).unwrap();
    let wrong = trusting(signed(shop.pod("one"), "wrong"), shop.certs("ca.crt"));
    let nobody = trusting(shop.pod("one"), shop.certs("ca.crt"));
    refused(&shop.volumes, nobody);
    refused(&shop.volumes, wrong)
}

fn e3(bench: &Bench) -> String {
    let mut shop = Shop::new(bench);
    let image = shop.layout.image("amd64", &[disk(bench)]);
    shop.push(image, "latest");
    pours(&shop.volumes, signed(shop.pod("latest"), PASSWORD).env("INSECURE_TLS", "true"), &bench.raw);
    let depot = Depot::start("127.0.0.1", shelves(&shop.layout));
    let volumes = bench.volumes();
    let pod = volumes.pod("registry", &format!("docker://{}/disks", depot.address()));
    pours(&volumes, pod.env("INSECURE_TLS", "true"), &bench.raw);
    "exit 0 with a certificate of nobody and with plain HTTP".to_owned()
}

fn e4(bench: &Bench) -> String {
    let mut shop = Shop::new(bench);
    let image = shop.layout.image("amd64", &[disk(bench)]);
    shop.push(image, "one");
    let other = super::trust::certificates(&shop.volumes, &Authority::new("other"), "ca.crt");
    refused(&shop.volumes, trusting(signed(shop.pod("one"), PASSWORD), other));
    refused(&shop.volumes, signed(shop.pod("one"), PASSWORD))
}

fn e5(bench: &Bench) -> String {
    let shop = Shop::new(bench);
    let absent = shop.welcome("absent");
    let first = refused(&shop.volumes, absent);
    for endpoint in ["docker://no-such-host.invalid/disks", "docker://127.0.0.1:1/disks", "docker://"] {
        refused(&shop.volumes, shop.volumes.pod("registry", endpoint));
    }
    first
}

fn e6(bench: &Bench) -> String {
    let mut shop = Shop::new(bench);
    let images = [
        shop.layout.image("amd64", &[disk(bench)]),
        shop.layout.image("arm64", &[layer(&[("disk/disk.img", &bench.raw[..1 << 20])], Packing::None)]),
    ];
    let index = shop.layout.index(&images);
    shop.push(index, "both");
    let arch = |arch: &str| shop.welcome("both").env("IMPORTER_REGISTRY_IMAGE_ARCHITECTURE", arch);
    pours(&shop.volumes, arch("amd64"), &bench.raw);
    pours(&shop.volumes, arch("arm64"), &bench.raw[..1 << 20]);
    let ended = arch("absent").run();
    ended.expect(1);
    let words = "Failed to read registry image: Error retrieving image: choosing image instance: no image found \
                 in image index for architecture \"absent\", variant \"\", OS \"linux\"";
    assert_eq!(ended.message, format!("{PREFIX}{words}"));
    ended.message
}

fn e7(bench: &Bench) -> String {
    let mut shop = Shop::new(bench);
    let image = shop.layout.image("arm64", &[disk(bench)]);
    shop.push(image, "one");
    // Nobody asked for an architecture: the image may be for a machine that is emulated.
    pours(&shop.volumes, shop.welcome("one"), &bench.raw);
    let ended = shop.welcome("one").env("IMPORTER_REGISTRY_IMAGE_ARCHITECTURE", "amd64").run();
    let words = "Error validating architecture: manifest image architecture: \"arm64\" doesn't match requested \
                 architecture: \"amd64\"";
    ended.expect(1).tells(words);
    ended.message
}

/// A pod that imports from an archive in its own file system.
fn archived(bench: &Bench, inner: &Value, layers: &[Layer]) -> (Volumes, Pod) {
    let volumes = bench.volumes();
    let mut layout = OciLayout::new(&volumes.dir);
    let image = layout.image_with("amd64", layers, inner);
    layout.tag("latest", image);
    let (archive, dir) = (volumes.dir.join("image.tar"), layout.dir());
    qemu::tool("tar", ["-cf", archive.to_str().unwrap(), "-C", dir.to_str().unwrap(), "."]);
    let pod = volumes.pod("registry", "oci-archive:/image.tar").volume("/image.tar", archive);
    (volumes, pod)
}

fn e8(bench: &Bench) -> String {
    let (volumes, pod) = archived(bench, &json!({}), &[odd_layer(b"no tar".repeat(500)), disk(bench)]);
    pours(&volumes, pod, &bench.raw);
    let (volumes, pod) = archived(bench, &json!({}), &[disk(bench), odd_layer(b"no tar".repeat(500))]);
    let ended = pod.run();
    ended.expect(1).tells(PREFIX);
    volumes.is_empty();
    format!("below the disk it is not read; above it: {}", ended.message)
}

type Files<'a> = &'a [(&'a str, &'a [u8])];

fn e9(bench: &Bench) -> String {
    let two: Files = &[("disk/a.img", b"a"), ("disk/b.img", b"b")];
    let rows: [(Files, &str); 5] = [
        (&[("etc/passwd", b"x")], "Failed to find VM disk image file in the container image"),
        (&[("disk.img", b"x")], "image directory does not exist"),
        (&[("disk/.wh.x", b"")], "image file does not exist in image directory - directory is empty"),
        (two, "image directory contains more than one file"),
        (&[("disk/sub/a.img", b"x")], "image directory contains another directory"),
    ];
    let mut seen = Vec::new();
    for (files, words) in rows {
        let (volumes, pod) = archived(bench, &json!({}), &[layer(files, Packing::Gzip)]);
        pod.run().expect(1).tells(PREFIX).tells(words);
        volumes.is_empty();
        seen.push(words);
    }
    seen.join("; ")
}

fn e10(bench: &Bench) -> String {
    let mut last = String::new();
    for label in ["containers.bootc", "ostree.bootable"] {
        let (volumes, pod) = archived(bench, &json!({ "Labels": { label: "1" } }), &[disk(bench)]);
        let ended = pod.run();
        ended.expect(1).tells(": bootc image detected");
        volumes.is_empty();
        last = ended.message;
    }
    last
}

fn e11(bench: &Bench) -> String {
    let mut shop = Shop::new(bench);
    let env = json!({ "Env": [
        "PATH=/bin", "INSTANCETYPE_KUBEVIRT_IO_DEFAULT_INSTANCETYPE=u1.medium",
        "TEST_TEST_KUBEVIRT_IO_TEST_TEST=Value", "KUBEVIRT_IO_TEST=1", "KUBEVIRT_IO_NONE",
    ] });
    let image = shop.layout.image_with("amd64", &[disk(bench)], &env);
    shop.push(image, "one");
    let ended = shop.welcome("one").run();
    ended.expect(0);
    let labels = json!({
        "instancetype.kubevirt.io/default-instancetype": "u1.medium",
        "test.test.kubevirt.io/test-test": "Value", "kubevirt.io/test": "1",
    });
    assert_eq!(ended.json()["labels"], labels);
    assert_eq!(ended.json()["message"], "Import Complete");
    ended.message
}

fn e12(bench: &Bench) -> String {
    let mut shop = Shop::new(bench);
    let image = shop.layout.image("amd64", &[disk(bench)]);
    shop.push(image, "one");
    let reference = shop.registry.reference("disks:one");
    let port: u16 = reference.split([':', '/']).find_map(|part| part.parse().ok()).unwrap();
    let middle = Authority::new("proxy");
    let mut count = 0;
    for tls in [None, Some(middle.server(&["localhost"]))] {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let hosts = vec![("registry.test:443", port)];
        let proxy = Proxy::start(Rules { tls, user: "someone:pr0xyw0rd", hosts });
        let through = format!("{scheme}://someone:pr0xyw0rd@localhost:{}", proxy.port);
        // The certificate is for loopback, not for the name that only the proxy knows.
        let pod = signed(shop.volumes.pod("registry", "docker://registry.test/disks:one"), PASSWORD);
        let certs = super::trust::certificates(&shop.volumes, &middle, scheme);
        let pod = pod.env("INSECURE_TLS", "true").env("https_proxy", through).volume("/proxycerts", certs);
        pours(&shop.volumes, pod, &bench.raw);
        let visits = proxy.visits();
        let right = |method: &str, agent: &str| method == "CONNECT" && agent == "Go-http-client/1.1";
        assert!(
            !visits.is_empty() && visits.iter().all(|visit| right(&visit.method, &visit.agent)),
            "{visits:?}"
        );
        count += visits.len();
    }
    format!("exit 0 through http and https proxies with a password, Go-http-client/1.1 in {count} CONNECTs")
}

fn e15(bench: &Bench) -> String {
    for packing in [Packing::Gzip, Packing::Zstd, Packing::None] {
        let mut shop = Shop::new(bench);
        let image = shop.layout.image("amd64", &[layer(&[("disk/disk.img", &bench.raw)], packing)]);
        shop.push(image, "one");
        pours(&shop.volumes, shop.welcome("one"), &bench.raw);
    }
    let volumes = bench.volumes();
    let mut layout = OciLayout::new(&volumes.dir);
    let image = layout.image("amd64", &[layer(&[("disk/disk.img", &bench.raw)], Packing::None)]);
    layout.tag("latest", image);
    let (shelf, breaks) = (shelves(&layout), AtomicUsize::new(0));
    let depot = Depot::start("127.0.0.1", move |request| {
        let reply = shelf(request);
        let breaking = reply.body.len() > 4 << 20 && breaks.fetch_add(1, SeqCst) < 2;
        Reply { cut: breaking.then_some(2 << 20), ..reply }
    });
    let pod = volumes.pod("registry", &format!("docker://{}/disks", depot.address()));
    pours(&volumes, pod.env("INSECURE_TLS", "true"), &bench.raw);
    let resumed = depot.seen().iter().filter(|request| !request.header("range").is_empty()).count();
    assert!(resumed >= 2, "{:?}", depot.seen());
    format!("exit 0 for gz, zstd and none; a blob that broke off twice was resumed by {resumed} ranges")
}

fn e16(bench: &Bench) -> String {
    let raw = bench.root().join("barely-image");
    fs::File::create(&raw).unwrap().set_len(31 * MI).unwrap();
    let qcow2 = bench.root().join("barely-image.qcow2");
    qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
    let image = layer(&[("disk/disk.qcow2", &file(bench, "barely-image.qcow2"))], Packing::Gzip);
    let (volumes, pod) = archived(bench, &json!({}), &[image]);
    is_complete(&pod.run(), false);
    volumes.holds(&[], 31 * MI);
    "31 MiB of 32 MiB are taken, as they are".to_owned()
}
