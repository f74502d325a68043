//! What the first bytes decide.

use std::fs;

use super::Disks;
use crate::common::{qemu, run};

/// A disk of 64 KiB whose head has `magic` at `at`.
fn headed(at: usize, magic: &[u8]) -> Vec<u8> {
    let mut disk = crate::common::noise(64 << 10, 3);
    disk[..512].fill(0);
    disk[at..at + magic.len()].copy_from_slice(magic);
    disk
}

#[test]
fn formats_that_are_known_and_not_supported_are_refused_by_name() {
    let disks = Disks::new();
    let known: [(&str, usize, &[u8]); 14] = [
        ("zip", 0, b"PK\x03\x04"),
        ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
        ("lz4", 0, b"\x04\x22\x4d\x18"),
        ("rar", 0, b"Rar!\x1a\x07\x01\x00"),
        ("LUKS", 0, b"LUKS\xba\xbe\x00\x02"),
        ("VMDK", 0, b"KDMV\x01\x00\x00\x00"),
        ("VMDK", 0, b"COWD\x01\x00\x00\x00"),
        ("VMDK", 0, b"# Disk DescriptorFile\nversion=1\n"),
        ("VDI", 0x40, b"\x7f\x10\xda\xbe"),
        ("VHD", 0, b"conectix"),
        ("VHDX", 0, b"vhdxfile"),
        ("qcow", 0, b"QFI\xfb\x00\x00\x00\x01"),
        ("QED", 0, b"QED\x00"),
        ("Parallels", 0, b"WithoutFreeSpace"),
    ];
    for (name, at, magic) in known {
        let disk = headed(at, magic);
        run::import("-", &disks.target).fed(disk.clone()).run().expect(6).says(name);
        disks.is_clean();
        let file = disks.dir().join("known");
        fs::write(&file, &disk).unwrap();
        run::import(&file, &disks.target).run().expect(6).says(name);
        disks.is_clean();
        run::import(&file, &disks.target).args(["--format", "raw"]).run().expect(0);
        assert!(fs::read(&disks.target).unwrap() == disk, "{name} as raw");
        fs::remove_file(&disks.target).unwrap();
    }
}

#[test]
fn images_that_qemu_img_makes_in_other_formats_are_refused_by_name() {
    let disks = Disks::new();
    let made = [
        ("vmdk", "", "VMDK"),
        ("vdi", "", "VDI"),
        ("vpc", "", "VHD"),
        ("vpc", "-o subformat=fixed,force_size", "VHD"),
        ("vhdx", "", "VHDX"),
        ("qcow", "", "qcow"),
        ("qed", "", "QED"),
        ("parallels", "", "Parallels"),
    ];
    for (format, options, name) in made {
        let image = disks.dir().join("other");
        fs::remove_file(&image).ok();
        qemu::img(&format!("convert -f raw -O {format} {options}"), &[&disks.raw, &image]);
        for run in [run::import(&image, &disks.target), run::import_piped(&image, &disks.target)] {
            run.run().expect(6).says(name);
            disks.is_clean();
        }
    }
}

#[test]
fn codecs_come_off_one_after_the_other_but_none_twice() {
    let disks = Disks::new();
    let gz = qemu::pack(&disks.qcow2, "gzip");
    let outcome = run::import(qemu::pack(&gz, "xz"), &disks.target).run();
    outcome.expect(0);
    assert_eq!(outcome.result()["codecs"], serde_json::json!(["xz", "gzip"]));
    assert_eq!(outcome.result()["format"], "qcow2");
    disks.is_poured();
    fs::remove_file(&disks.target).unwrap();
    run::import(qemu::pack(&gz, "gzip"), &disks.target).run().expect(6).says("gzip");
    disks.is_clean();
}

#[test]
fn every_codec_pours_raw_and_qcow2() {
    let disks = Disks::new();
    for codec in ["gzip", "xz", "zstd", "bzip2"] {
        for image in [&disks.raw, &disks.qcow2] {
            let outcome = run::import_piped(&qemu::pack(image, codec), &disks.target).run();
            outcome.expect(0);
            assert_eq!(outcome.result()["codecs"], serde_json::json!([codec]));
            disks.is_poured();
            fs::remove_file(&disks.target).unwrap();
        }
    }
}

#[test]
fn streams_of_several_members_are_read_to_their_end() {
    let disks = Disks::new();
    let (first, second) = disks.bytes.split_at(1 << 20);
    for codec in ["gzip", "xz", "zstd", "bzip2"] {
        let mut stream = Vec::new();
        for (name, part) in [("first", first), ("second", second)] {
            let path = disks.dir().join(name);
            fs::write(&path, part).unwrap();
            stream.extend(fs::read(qemu::pack(&path, codec)).unwrap());
        }
        if codec == "gzip" || codec == "xz" {
            // Padding that both tools take.
            stream.extend([0; 8]);
        }
        run::import("-", &disks.target).fed(stream).run().expect(0);
        disks.is_poured();
        fs::remove_file(&disks.target).unwrap();
    }
}

#[test]
fn an_option_wins_over_the_first_bytes() {
    let disks = Disks::new();
    let image = fs::read(&disks.qcow2).unwrap();
    run::import(&disks.qcow2, &disks.target).args(["--format", "raw"]).run().expect(0);
    let poured = fs::read(&disks.target).unwrap();
    assert!(poured.starts_with(&image));
    // What is not a multiple of a sector is padded to one.
    assert_eq!(poured.len(), image.len().next_multiple_of(512));
    fs::remove_file(&disks.target).unwrap();
    run::import(&disks.raw, &disks.target).args(["--format", "qcow2"]).run().expect(6);
    disks.is_clean();
    let packed = qemu::pack(&disks.raw, "gzip");
    run::import(&packed, &disks.target).args(["--compression", "none"]).run().expect(0);
    assert!(fs::read(&disks.target).unwrap().starts_with(&fs::read(&packed).unwrap()));
    fs::remove_file(&disks.target).unwrap();
    run::import(&packed, &disks.target).args(["--compression", "xz"]).run().expect(5);
    disks.is_clean();
}

#[test]
fn heads_shorter_than_a_sector_are_poured_with_a_warning() {
    let disks = Disks::new();
    for len in [1, 3, 7, 100, 511] {
        let bytes = vec![b'x'; len];
        let run = run::diskpour().args(["import", "-"]).arg(&disks.target);
        run.fed(bytes.clone()).run().expect(0).says(&len.to_string());
        let poured = fs::read(&disks.target).unwrap();
        assert_eq!(poured.len(), 512);
        assert!(poured.starts_with(&bytes));
        fs::remove_file(&disks.target).unwrap();
    }
    for magic in [&b"QFI\xfb"[..], b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh9"] {
        let outcome = run::import("-", &disks.target).fed(magic).run();
        assert!([5, 6].contains(&outcome.code), "{magic:?}: {}", outcome.code);
        disks.is_clean();
    }
    run::import("-", &disks.target).fed(Vec::new()).run().expect(6);
    disks.is_clean();
}

#[test]
fn a_magic_that_lies_is_never_poured_as_raw() {
    let disks = Disks::new();
    for magic in
        [&b"\x1f\x8b\x08"[..], b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"BZh9", b"QFI\xfb\x00\x00\x00\x03"]
    {
        let outcome = run::import("-", &disks.target).fed(headed(0, magic)).run();
        assert!([5, 6].contains(&outcome.code), "{magic:?}: {} {}", outcome.code, outcome.stderr);
        disks.is_clean();
    }
}
