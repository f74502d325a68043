//! 9.A: images that are damaged, dangerous or none.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::Case::Always;
use super::Row;
use super::bench::{Bench, is_complete};
use crate::common::group::Group;
use crate::common::{project, qemu};

pub(super) const ROWS: &[Row] = &[
    ("A25", "an L1 table that wants all memory", Always(a25)),
    ("A26", "a backing file that is not there", Always(a26)),
    ("A27", "a backing file, an extent and a data file that are there", Always(a27)),
    ("A28", "formats that are not supported", Always(a28)),
    ("A29", "sources below 512 bytes", Always(a29)),
];

/// A file that the maintainers hand out, where they did.
pub(super) fn given(name: &str) -> Option<Vec<u8>> {
    fs::read(project("../shared/images/cdi").join(name)).ok()
}

fn a25(bench: &Bench) -> String {
    let path = bench.root().join("large-l1.qcow2");
    qemu::tool("qemu-img", ["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "16M"]);
    let file = File::options().write(true).open(&path).unwrap();
    // The number of L1 entries, each of 8 bytes.
    file.write_all_at(&0x4000_0000_u32.to_be_bytes(), 36).unwrap();
    let group = Group::new(48 << 20);
    let refused = |name: &str, words: &str| {
        let (volumes, start) = (bench.volumes(), Instant::now());
        let mut pod = volumes.http(&bench.url(name));
        if let Some(group) = &group {
            pod = pod.cgroup(group.dir());
        }
        let ended = pod.run();
        ended.expect(1).tells("Unable to process data: ").tells(words);
        volumes.is_empty();
        assert!(start.elapsed().as_secs() < 20);
        ended.message
    };
    let message = refused("large-l1.qcow2", "L1 size too big");
    if let Some(image) = given("invalid-qcow-large-memory.img") {
        // It is a VMDK, whose tables are not even looked at.
        bench.serve("large-memory.img", &image);
        refused("large-memory.img", "Invalid format VMDK");
    }
    let memory = if group.is_some() { "within 48 MiB" } else { "no control group can be made here" };
    format!("{message}; {memory}")
}

/// The message for an image whose backing file is `backing`.
fn backed(bench: &Bench, name: &str, backing: &str) -> String {
    let path = bench.root().join(name);
    let args = ["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", backing];
    qemu::tool("qemu-img", args.into_iter().chain([path.to_str().unwrap(), "16M"]));
    let volumes = bench.volumes();
    let ended = bench.import(&volumes, &bench.url(name));
    ended.expect(1).tells("is invalid because it has invalid backing file ").tells(backing);
    volumes.is_empty();
    ended.message
}

fn a26(bench: &Bench) -> String {
    backed(bench, "backed.qcow2", "/no/such/file")
}

fn a27(bench: &Bench) -> String {
    // It is there in every pod, and must never be on a disk.
    let message = backed(bench, "leak.qcow2", "/etc/passwd");
    // The other ways to name a file: an extent of a VMDK, and QCOW2's external data file.
    let descriptor = b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
        createType=\"monolithicFlat\"\n\n# Extent description\nRW 8 FLAT \"/etc/passwd\" 0\n";
    let mut descriptor = descriptor.to_vec();
    descriptor.resize(4096, b'\n');
    let outside = bench.root().join("outside.raw");
    fs::write(&outside, [7; 4096]).unwrap();
    let external = bench.root().join("external.qcow2");
    let options = format!("data_file={},data_file_raw=on", outside.to_str().unwrap());
    let args = ["create", "-q", "-f", "qcow2", "-o", &options, external.to_str().unwrap(), "1M"];
    qemu::tool("qemu-img", args);
    bench.serve("leak.vmdk", &descriptor);
    for (name, words) in [("leak.vmdk", "Invalid format VMDK"), ("external.qcow2", "data file")] {
        for prefix in ["", "plain/"] {
            let volumes = bench.volumes();
            let ended =
                bench.import(&volumes, &bench.nginx.url(super::bench::ODD, &format!("{prefix}{name}")));
            ended.expect(1).tells("Unable to process data: ").tells(words);
            volumes.is_empty();
        }
    }
    let snapshot = given("cirros-snapshot1.qcow2").map(|image| {
        let volumes = bench.volumes();
        let ended = bench.import(&volumes, &bench.serve("snapshot.qcow2", &image));
        ended.expect(1).tells("invalid backing file");
        volumes.is_empty();
        "; the given snapshot likewise"
    });
    format!(
        "{message}; a VMDK with a local extent and an external data file are refused{}",
        snapshot.unwrap_or_default()
    )
}

fn a28(bench: &Bench) -> String {
    let mut seen = Vec::new();
    for format in ["qcow", "parallels", "qed"] {
        let path = bench.root().join(format!("disk.{format}"));
        let raw = bench.root().join("disk.img");
        qemu::img(&format!("convert -f raw -O {format}"), &[&raw, &path]);
        let volumes = bench.volumes();
        let ended = bench.import(&volumes, &bench.url(&format!("disk.{format}")));
        ended.expect(1).tells("Unable to process data: ").tells("Invalid format ");
        volumes.is_empty();
        seen.push(ended.message);
    }
    // Its mark is at its end.
    let mut footer = vec![0; 512];
    footer[..8].copy_from_slice(b"conectix");
    let url = bench.serve("fixed.vhd", &[&bench.raw[..], &footer].concat());
    let volumes = bench.volumes();
    bench.import(&volumes, &url).expect(1).tells("Invalid format VHD (fixed) for image ");
    volumes.is_empty();
    seen.swap_remove(0)
}

fn a29(bench: &Bench) -> String {
    let mut seen = Vec::new();
    fs::write(bench.root().join("tiny"), [7; 100]).unwrap();
    qemu::pack(&bench.root().join("tiny"), "gzip");
    fs::write(bench.root().join("empty"), []).unwrap();
    for (name, why) in [("tiny", "unexpected EOF"), ("tiny.gz", "unexpected EOF"), ("empty", "EOF")] {
        let volumes = bench.volumes();
        let ended = bench.import(&volumes, &bench.url(name));
        let words = format!("could not process image header: {why}");
        ended
            .expect(1)
            .tells("Unable to process data: Unable to obtain information about data source: ")
            .tells(&words);
        volumes.is_empty();
        seen.push(format!("{name}: {why}"));
    }
    let volumes = bench.volumes();
    is_complete(&bench.import(&volumes, &bench.serve("least", &[7; 512])), false);
    format!("exit 1, {}; 512 bytes are enough", seen.join(", "))
}
