//! The command line: exit codes, targets, options, words.

mod formats;
mod output;
mod signals;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::server::{Ranges, Server, closed_port};
use crate::common::{digest, noise, qemu, run, workshop};

/// A small disk and images of it.
pub(crate) struct Disks {
    workshop: tempfile::TempDir,
    /// 3 MiB and 1 KiB of noise, with a hole.
    pub(crate) bytes: Vec<u8>,
    pub(crate) raw: PathBuf,
    pub(crate) qcow2: PathBuf,
    /// A file that is not there yet.
    pub(crate) target: PathBuf,
}

impl Disks {
    pub(crate) fn new() -> Self {
        let workshop = workshop();
        let at = |name: &str| workshop.path().join(name);
        let mut bytes = noise((3 << 20) + 1024, 11);
        bytes[1 << 20..2 << 20].fill(0);
        let (raw, qcow2, target) = (at("disk.raw"), at("disk.qcow2"), at("target.img"));
        fs::write(&raw, &bytes).unwrap();
        qemu::img("convert -c -f raw -O qcow2", &[&raw, &qcow2]);
        Self { bytes, raw, qcow2, target, workshop }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.workshop.path()
    }

    /// Asserts that the target holds the disk and nothing lies beside it.
    #[track_caller]
    pub(crate) fn is_poured(&self) {
        assert!(fs::read(&self.target).unwrap() == self.bytes, "the target differs");
        assert!(!self.marker().exists(), "the marker is left");
    }

    /// Asserts that neither the target nor a marker is there.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        assert!(!self.target.exists(), "the target is left");
        assert!(!self.marker().exists(), "the marker is left");
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.dir().join(".target.img.diskpour")
    }
}

#[test]
fn every_way_of_naming_a_source_pours_the_disk() {
    let disks = Disks::new();
    let server = Server::start(disks.dir(), Ranges::Served);
    let url = format!("file://{}", disks.qcow2.display());
    for source in [url, disks.qcow2.display().to_string(), server.url("disk.qcow2")] {
        run::import(&source, &disks.target).run().expect(0);
        disks.is_poured();
        fs::remove_file(&disks.target).unwrap();
    }
    assert!(server.partial() > 0, "the ranges of the server were not used");
    run::import_piped(&disks.qcow2, &disks.target).run().expect(0);
    disks.is_poured();
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let disks = Disks::new();
    for args in [
        &[][..],
        &["pour"],
        &["import"],
        &["import", "x"],
        &["import", "a", "b", "c"],
        &["import", "a", "b", "--no"],
    ] {
        run::diskpour().args(args).run().expect(2);
    }
    for option in [
        "--format=tar",
        "--compression=lz4",
        "--checksum=sha256:12",
        "--checksum=crc:00",
        "--memory-budget=many",
        "--connections=0",
        "--preallocation=some",
        "--idle-timeout=soon",
        "--size=-1",
    ] {
        run::import(&disks.qcow2, &disks.target).arg(option).run().expect(2);
        disks.is_clean();
    }
    run::import("ftp://127.0.0.1/x", &disks.target).run().expect(2);
    disks.is_clean();
}

#[test]
fn a_closed_port_ends_with_3() {
    let disks = Disks::new();
    let run = run::import(format!("http://{}/x", closed_port()), &disks.target);
    run.within(std::time::Duration::from_secs(300)).run().expect(3);
    disks.is_clean();
}

#[test]
fn what_the_server_does_not_have_ends_with_4() {
    let disks = Disks::new();
    let server = Server::start(disks.dir(), Ranges::Served);
    run::import(server.url("nothing"), &disks.target).run().expect(4).says("404");
    disks.is_clean();
}

#[test]
fn a_checksum_is_of_the_bytes_as_received() {
    let disks = Disks::new();
    let packed = qemu::pack(&disks.qcow2, "gzip");
    let sum = digest::bytes(&fs::read(&packed).unwrap());
    let outcome = run::import(&packed, &disks.target).arg(format!("--checksum=sha256:{sum}")).run();
    outcome.expect(0);
    assert_eq!(outcome.result()["digest"]["value"], sum);
    disks.is_poured();
    fs::remove_file(&disks.target).unwrap();
    let server = Server::start(disks.dir(), Ranges::Served);
    let other = digest::bytes(b"something else");
    for source in [packed.display().to_string(), server.url("disk.qcow2"), server.url("disk.raw")] {
        let run = run::import(&source, &disks.target).arg(format!("--checksum=sha256:{other}"));
        run.run().expect(5).says(&other);
        disks.is_clean();
    }
}

#[test]
fn every_algorithm_of_checksum_is_known() {
    let disks = Disks::new();
    for algorithm in ["md5", "sha1", "sha256", "sha512"] {
        let line = qemu::tool(&format!("{algorithm}sum"), [&disks.raw]);
        let sum = line.split_whitespace().next().unwrap();
        run::import(&disks.raw, &disks.target).arg(format!("--checksum={algorithm}:{sum}")).run().expect(0);
        disks.is_poured();
        fs::remove_file(&disks.target).unwrap();
    }
}

#[test]
fn a_wrong_checksum_says_more_than_what_is_wrong_with_the_image() {
    let disks = Disks::new();
    let sum = digest::bytes(&fs::read(&disks.qcow2).unwrap());
    let mut cut = fs::read(&disks.qcow2).unwrap();
    cut.truncate(cut.len() / 2);
    let zip = [&b"PK\x03\x04"[..], &noise(1 << 20, 2)].concat();
    let bad = disks.dir().join("bad");
    for bytes in [cut, zip] {
        fs::write(&bad, &bytes).unwrap();
        let import = |sum: &str| {
            let checksum = format!("--checksum=sha256:{sum}");
            let runs = [run::import(&bad, &disks.target), run::import("-", &disks.target).fed(bytes.clone())];
            runs.map(|run| run.arg(&checksum).run())
        };
        for outcome in import(&sum) {
            outcome.expect(5).says("the checksum differs").says(&digest::bytes(&bytes));
        }
        for outcome in import(&digest::bytes(&bytes)) {
            outcome.expect(6);
        }
        disks.is_clean();
    }
}

#[test]
fn a_damaged_image_ends_with_6_and_a_damaged_stream_with_5() {
    let disks = Disks::new();
    let mut image = fs::read(&disks.qcow2).unwrap();
    // The L1 table lies behind the end of the file.
    image[40..48].copy_from_slice(&(1_u64 << 40).to_be_bytes());
    run::import("-", &disks.target).fed(image.clone()).run().expect(6);
    disks.is_clean();
    fs::write(disks.dir().join("bad.qcow2"), image).unwrap();
    run::import(disks.dir().join("bad.qcow2"), &disks.target).run().expect(6);
    disks.is_clean();
    for codec in ["gzip", "xz", "zstd", "bzip2"] {
        let mut packed = fs::read(qemu::pack(&disks.raw, codec)).unwrap();
        packed.truncate(packed.len() - 5);
        run::import("-", &disks.target).fed(packed.clone()).run().expect(5);
        disks.is_clean();
        packed.extend_from_slice(b"and more bytes");
        run::import("-", &disks.target).fed(packed).run().expect(5);
        disks.is_clean();
    }
}

#[test]
fn an_image_that_names_another_file_is_refused_and_nothing_opened() {
    let disks = Disks::new();
    let image = disks.dir().join("overlay.qcow2");
    qemu::img("create -q -f qcow2 -F raw -b", &[&disks.raw, &image]);
    for run in [run::import(&image, &disks.target), run::import_piped(&image, &disks.target)] {
        run.run().expect(6).says("backing file");
        disks.is_clean();
    }
}

#[test]
fn an_image_that_needs_scratch_ends_with_42_and_pours_with_scratch() {
    let disks = Disks::new();
    let image = disks.dir().join("late.qcow2");
    // The L1 table of a disk that grew past it lies at the end of the file.
    qemu::img("convert -f raw -O qcow2 -o cluster_size=4k", &[&disks.raw, &image]);
    qemu::img_last("resize", &image, "64M");
    let packed = qemu::pack(&image, "gzip");
    let run = run::import(&packed, &disks.target).args(["--memory-budget", "256Ki"]);
    run.run().expect(42).says("scratch");
    disks.is_clean();
    let run = run::import(&packed, &disks.target).args(["--memory-budget", "256Ki"]);
    let outcome = run.arg("--scratch-dir").arg(disks.dir()).run();
    outcome.expect(0);
    assert!(outcome.number("scratch_bytes") > 1 << 20, "{}", outcome.stdout);
    let poured = fs::read(&disks.target).unwrap();
    assert_eq!(poured.len(), 64 << 20);
    assert!(poured.starts_with(&disks.bytes));
    // The same image read at random needs none.
    fs::remove_file(&disks.target).unwrap();
    let outcome = run::import(&image, &disks.target).args(["--memory-budget", "256Ki"]).run();
    outcome.expect(0);
    assert_eq!(outcome.number("scratch_bytes"), 0);
}

#[test]
fn a_silent_pipe_ends_with_3_after_the_idle_timeout() {
    let disks = Disks::new();
    let half = fs::read(&disks.raw).unwrap()[..2 << 20].to_vec();
    for bytes in [Vec::new(), half] {
        let run = run::import("-", &disks.target).fed_and_held(bytes).args(["--idle-timeout", "1s"]);
        run.within(std::time::Duration::from_secs(20)).run().expect(3);
        disks.is_clean();
    }
}
