//! 9.A: how large a disk may be and becomes, and what is claimed for it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use super::Case::Always;
use super::Row;
use super::bench::{Bench, MI, is_capacity, is_complete, usable};
use super::refusals::given;
use super::web::GROWN;
use crate::common::{noise, pod, qemu};

pub(super) const ROWS: &[Row] = &[
    ("A24", "images that are too large", Always(a24)),
    ("A33", "between what is usable and what is available", Always(a33)),
    ("A34", "less space than requested", Always(a34)),
    ("A35", "leftovers of an earlier try", Always(a35)),
    ("A36", "PREALLOCATION=true", Always(a36)),
    ("A37", "PREALLOCATION that is no bool", Always(a37)),
    ("A40", "CACHE_MODE=TRYNONE", Always(a40)),
];

fn a24(bench: &Bench) -> String {
    let (virtual_raw, physical_raw) =
        (bench.root().join("large-virtual"), bench.root().join("large-physical"));
    File::create(&virtual_raw).unwrap().set_len(500 * MI).unwrap();
    fs::write(&physical_raw, noise(40 << 20, 3)).unwrap();
    let mut names = Vec::new();
    for raw in [&virtual_raw, &physical_raw] {
        qemu::pack(raw, "xz");
        let qcow2 = raw.with_extension("qcow2");
        qemu::img("convert -f raw -O qcow2", &[raw, &qcow2]);
        let name = raw.file_name().unwrap().to_str().unwrap();
        names.extend([format!("{name}.xz"), format!("{name}.qcow2"), name.to_owned()]);
    }
    let mut seen = Vec::new();
    for name in &names {
        let volumes = bench.small(32 * MI);
        let ended = bench.import(&volumes, &bench.url(name));
        is_capacity(&ended);
        volumes.is_empty();
        seen.push(ended.message);
    }
    // As large as the volume, but for what else is on it.
    let volumes = bench.small(32 * MI);
    fs::write(volumes.data.join("other"), vec![1; 8 << 20]).unwrap();
    let pod = volumes.http(&bench.serve("nearly", &noise(30 << 20, 4))).env("IMPORTER_IMAGE_SIZE", "");
    is_capacity(&pod.run());
    assert_eq!(volumes.names(), ["other"]);
    fs::remove_file(physical_raw).unwrap();
    format!("{} images and a volume in use, as in: {}", names.len(), seen[1])
}

fn a33(bench: &Bench) -> String {
    let raw = bench.root().join("barely");
    File::create(&raw).unwrap().set_len(31 * MI).unwrap();
    let qcow2 = bench.root().join("barely.qcow2");
    qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
    for name in ["barely", "barely.qcow2"] {
        let volumes = bench.volumes();
        is_complete(&bench.import(&volumes, &bench.url(name)), false);
        volumes.holds(&[], 31 * MI);
    }
    let Some(image) = given("fs-overhead.qcow2") else {
        return format!("31 MiB of 32 MiB are taken although {GROWN} are usable");
    };
    let volumes = bench.volumes();
    let pod = volumes.http(&bench.serve("fs-overhead.qcow2", &image));
    is_complete(&pod.env("IMPORTER_IMAGE_SIZE", "858993664").run(), false);
    let len = fs::metadata(volumes.disk()).unwrap().len();
    assert_eq!(len, 858_993_664);
    format!(
        "31 MiB of 32 MiB are taken although {GROWN} are usable; the given fs-overhead.qcow2 has its {len} bytes"
    )
}

fn a34(bench: &Bench) -> String {
    let volumes = bench.small(40 * MI);
    let grown = usable(volumes.free());
    is_complete(&volumes.http(&bench.url("disk.img")).env("IMPORTER_IMAGE_SIZE", "1Gi").run(), false);
    volumes.holds(&bench.raw, grown);
    format!("1Gi requested, 40 MiB free: {grown} bytes")
}

fn a35(bench: &Bench) -> String {
    let volumes = bench.small(24 * MI);
    let scratch = pod::memory(&volumes.dir, "scratch", 24 * MI);
    for path in [volumes.disk(), scratch.join("tmpimage"), scratch.join("disk/disk.img")] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![1; 10 << 20]).unwrap();
        pod::own(&path);
    }
    pod::own(&scratch.join("disk"));
    fs::write(volumes.data.join(".disk.img.diskpour"), "partial").unwrap();
    let pod = volumes.http(&bench.url("disk.qcow2")).volume("/scratch", &scratch);
    is_complete(&pod.env("IMPORTER_IMAGE_SIZE", "24Mi").run(), false);
    volumes.holds(&bench.raw, usable(24 * MI));
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    format!("exit 0, {} bytes, scratch empty", usable(24 * MI))
}

fn a36(bench: &Bench) -> String {
    let names = ["disk.img", "disk.qcow2", "disk.img.gz", "disk.qcow2.xz"];
    for name in names {
        let volumes = bench.volumes();
        is_complete(&volumes.http(&bench.url(name)).env("PREALLOCATION", "true").run(), true);
        volumes.holds(&bench.raw, GROWN);
        let found = fs::metadata(volumes.disk()).unwrap();
        assert!(found.blocks() * 512 >= found.len(), "{name}: {} blocks", found.blocks());
    }
    format!("preallocationApplied true, {GROWN} bytes allocated: {}", names.join(", "))
}

fn a37(bench: &Bench) -> String {
    let volumes = bench.volumes();
    let pods =
        ["", "maybe", "yes"].map(|text| volumes.http(&bench.url("disk.img")).env("PREALLOCATION", text));
    for pod in pods {
        let ended = pod.run();
        ended.expect(1).logs("PREALLOCATION");
        assert_eq!(ended.message, "");
        volumes.is_empty();
    }
    "exit 1, no message, the log says why".to_owned()
}

fn a40(bench: &Bench) -> String {
    let tried = |volumes: &super::bench::Volumes| {
        let pod = volumes.http(&bench.url("disk.qcow2")).env("CACHE_MODE", "TRYNONE");
        is_complete(&pod.run(), false);
        volumes.holds(&bench.raw, GROWN);
    };
    tried(&bench.volumes());
    tried(&bench.small(40 * MI));
    "exit 0 on a disk and on tmpfs".to_owned()
}
