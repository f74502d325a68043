//! 9.A: checksums.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::Case::Always;
use super::Row;
use super::bench::{Bench, ODD, is_complete};
use super::web::GROWN;
use crate::common::digest::hex;
use crate::common::pod;

pub(super) const ROWS: &[Row] = &[
    ("A20", "checksums that are right", Always(a20)),
    ("A21", "checksums that are wrong", Always(a21)),
    ("A22", "checksums that are none", Always(a22)),
];

fn a20(bench: &Bench) -> String {
    let bytes = |name: &str| std::fs::read(bench.root().join(name)).unwrap();
    let gz = bytes("disk.img.gz");
    let rows = [
        ("disk.img", format!("md5:{}", hex(Md5::digest(&bench.raw).as_slice()))),
        ("disk.img", format!("SHA1:{}", hex(Sha1::digest(&bench.raw).as_slice()).to_uppercase())),
        ("disk.img.gz", format!(" sha256:{} ", hex(Sha256::digest(&gz).as_slice()))),
        ("disk.img.gz", format!("sha512:{}", hex(Sha512::digest(&gz).as_slice()))),
        ("disk.qcow2", format!("sha256:{}", hex(Sha256::digest(bytes("disk.qcow2")).as_slice()))),
        ("disk.qcow2.xz", format!("md5:{}", hex(Md5::digest(bytes("disk.qcow2.xz")).as_slice()))),
    ];
    for (name, sum) in &rows {
        for url in [bench.url(name), bench.nginx.url(ODD, &format!("plain/{name}"))] {
            let volumes = bench.volumes();
            is_complete(&volumes.http(&url).env("IMPORTER_CHECKSUM", sum).run(), false);
            volumes.holds(&bench.raw, GROWN);
        }
    }
    let archive = super::archives::archive();
    let (volumes, url) = (bench.volumes(), bench.serve("sum.tar", &archive));
    let pod = volumes.http(&url).env("IMPORTER_CONTENTTYPE", "archive");
    let sum = format!("sha256:{}", hex(Sha256::digest(&archive).as_slice()));
    is_complete(&pod.env("IMPORTER_CHECKSUM", sum).run(), false);
    "exit 0 for raw, gz, QCOW2, QCOW2 in xz and an archive; 4 algorithms, upper case, blanks around"
        .to_owned()
}

fn a21(bench: &Bench) -> String {
    let (wrong, received) = ("a".repeat(64), hex(Sha256::digest(&bench.raw).as_slice()));
    let volumes = bench.volumes();
    let scratch = pod::directory(&volumes.dir, "scratch");
    let pod = volumes.http(&bench.url("disk.img")).volume("/scratch", &scratch);
    let ended = pod.env("IMPORTER_CHECKSUM", format!("sha256:{wrong}")).run();
    ended.expect(0);
    let said = ended.json();
    let keys: Vec<&String> = said.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["message"]);
    let words = format!(
        "checksum validation failed: checksum mismatch: expected sha256:{wrong}, calculated sha256:{received}"
    );
    let message = said["message"].as_str().unwrap();
    assert!(message.starts_with("Unable to process data: ") && message.ends_with(&words), "{message}");
    volumes.is_empty();
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    let volumes = bench.volumes();
    std::fs::write(volumes.data.join("other"), "keep").unwrap();
    let pod = volumes.http(&bench.serve("wrong.tar", &super::archives::archive()));
    let pod = pod.env("IMPORTER_CONTENTTYPE", "archive").env("IMPORTER_CHECKSUM", format!("sha256:{wrong}"));
    let archive = pod.run();
    archive.expect(0).tells("checksum validation failed: checksum mismatch: ");
    assert_eq!(volumes.names(), ["other"], "what this run made is gone, and nothing else");
    format!("exit 0, {}; {}; {}", ended.message, substituted(bench), onto_device(bench))
}

/// Objects that are cut or are something else: what is wrong with them says less than the checksum.
fn substituted(bench: &Bench) -> String {
    let bytes = |name: &str| std::fs::read(bench.root().join(name)).unwrap();
    let (qcow2, gz, tar) = (bytes("disk.qcow2"), bytes("disk.img.gz"), super::archives::archive());
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend(crate::common::noise(5 << 20, 21));
    let rows = [
        ("cut.qcow2", qcow2[..qcow2.len() - (1 << 20)].to_vec(), &qcow2, "kubevirt"),
        ("head.qcow2", qcow2[..1000].to_vec(), &qcow2, "kubevirt"),
        ("cut.gz", gz[..gz.len() / 2].to_vec(), &gz, "kubevirt"),
        ("zip.qcow2", zip.clone(), &qcow2, "kubevirt"),
        ("zip.tar", zip, &tar, "archive"),
    ];
    for (name, served, meant, content) in rows {
        bench.serve(name, &served);
        let (expected, calculated) =
            (hex(Sha256::digest(meant).as_slice()), hex(Sha256::digest(&served).as_slice()));
        let words = format!("checksum mismatch: expected sha256:{expected}, calculated sha256:{calculated}");
        for url in [bench.url(name), bench.nginx.url(ODD, &format!("plain/{name}"))] {
            let volumes = bench.volumes();
            let pod = volumes.http(&url).env("IMPORTER_CONTENTTYPE", content);
            let ended = pod.env("IMPORTER_CHECKSUM", format!("sha256:{expected}")).run();
            ended.expect(0).tells("checksum validation failed: ").tells(&words);
            assert_eq!(ended.json().as_object().unwrap().len(), 1, "{}", ended.message);
            volumes.is_empty();
        }
    }
    // With the right sum it is the image that is wrong.
    let sum = hex(Sha256::digest(bytes("zip.qcow2")).as_slice());
    let ended = bench.volumes().http(&bench.url("zip.qcow2"));
    ended.env("IMPORTER_CHECKSUM", format!("sha256:{sum}")).run().expect(1).tells("Invalid format zip");
    "the same for a cut QCOW2, a cut gz and a zip in place of a QCOW2 and of an archive".to_owned()
}

fn onto_device(bench: &Bench) -> &'static str {
    let volumes = bench.volumes();
    let Some(device) = crate::common::device::Device::new(&volumes.dir, 16 << 20, 512) else {
        return "no loop device to try it on";
    };
    let pod = volumes.device("http", &bench.url("disk.qcow2"), &device.path);
    let ended = pod.env("IMPORTER_CHECKSUM", format!("sha256:{}", "a".repeat(64))).run();
    ended.expect(0).tells("checksum validation failed: checksum mismatch: ");
    assert_eq!(ended.json().as_object().unwrap().len(), 1, "{}", ended.message);
    "and onto a device"
}

fn a22(bench: &Bench) -> String {
    let sums = ["nocolon", "crc:00", "sha256:", "md5:0123", "sha256:zz", "sha1:", ":00"];
    let mut last = String::new();
    for sum in sums {
        let volumes = bench.volumes();
        let ended = volumes.http(&bench.url("disk.img")).env("IMPORTER_CHECKSUM", sum).run();
        ended.expect(1).tells("Unable to connect to http data source: invalid checksum: ");
        volumes.is_empty();
        last = ended.message;
    }
    format!("exit 1 for {}: {last}", sums.join(", "))
}
