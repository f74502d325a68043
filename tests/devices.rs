//! Block devices, as loop devices over files. Where there is no root or no loop device the tests say so.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::common::device::{Device, OLD};
use crate::common::tally::Tally;
use crate::common::{noise, qemu, run, workshop};

/// The disk of `len` bytes in every form: data, a hole, zeros between data.
fn forms(dir: &Path, len: usize) -> (Vec<u8>, [PathBuf; 5]) {
    let mut bytes = noise(len, 21);
    bytes[1 << 20..(2 << 20) + 512].fill(0);
    bytes[(2 << 20) + 8192..(2 << 20) + 9216].fill(0);
    let raw = dir.join("disk.raw");
    fs::write(&raw, &bytes).unwrap();
    let (plain, packed) = (dir.join("plain.qcow2"), dir.join("packed.qcow2"));
    qemu::img("convert -f raw -O qcow2", &[&raw, &plain]);
    qemu::img("convert -c -f raw -O qcow2 -o cluster_size=4k", &[&raw, &packed]);
    let gz = qemu::pack(&raw, "gzip");
    let packed_gz = qemu::pack(&packed, "gzip");
    (bytes, [raw, gz, plain, packed, packed_gz])
}

fn pour_onto(sector: u32) {
    let workshop = workshop();
    let dir = workshop.path();
    let mut tally = Tally::of(format!("devices with {sector}-byte sectors"));
    // The second size is 512 modulo 4096.
    for len in [4 << 20, (5 << 20) + 512, (3 << 20) + 4096 - 512] {
        let (disk, sources) = forms(dir, len);
        let Some(device) = Device::new(dir, 8 << 20, sector) else { return };
        for source in &sources {
            for piped in [false, true] {
                let name = format!("{len} bytes of {} piped: {piped}", source.display());
                tally.case(name, || pour_one(&device, source, &disk, piped));
            }
        }
    }
    tally.finish();
}

fn pour_one(device: &Device, source: &Path, disk: &[u8], piped: bool) {
    device.reset();
    let run = if piped { run::import_piped(source, &device.path) } else { run::import(source, &device.path) };
    run.arg("--verify").run().expect(0);
    let now = device.bytes();
    assert!(
        now.starts_with(disk),
        "first difference at {:?}",
        now.iter().zip(disk).position(|(a, b)| a != b)
    );
    assert!(now[disk.len()..].iter().all(|byte| *byte == OLD), "the tail was touched");
}

#[test]
fn a_disk_pours_onto_a_device_with_512_byte_sectors() {
    pour_onto(512);
}

#[test]
fn a_disk_pours_onto_a_device_with_4096_byte_sectors() {
    pour_onto(4096);
}

#[test]
fn a_device_that_is_too_small_is_refused_untouched() {
    let workshop = workshop();
    let (_, sources) = forms(workshop.path(), (4 << 20) + 4096);
    let Some(device) = Device::new(workshop.path(), 4 << 20, 512) else { return };
    for source in [&sources[0], &sources[2], &sources[3], &sources[4]] {
        run::import(source, &device.path).run().expect(7).says("4194304");
        assert!(device.is_untouched(), "{}", source.display());
    }
    run::import_piped(&sources[2], &device.path).run().expect(7);
    assert!(device.is_untouched());
    // Of a compressed raw disk only the end shows the size.
    run::import(&sources[1], &device.path).run().expect(7);
    assert!(device.bytes()[..1 << 20].iter().all(|byte| *byte == 0), "the first MiB is not zero");
}

#[test]
fn a_zero_tail_does_not_make_a_device_large_enough() {
    let workshop = workshop();
    let (raw, image) = (workshop.path().join("disk.raw"), workshop.path().join("disk.qcow2"));
    fs::write(&raw, noise(1 << 20, 5)).unwrap();
    File::options().write(true).open(&raw).unwrap().set_len(6 << 20).unwrap();
    qemu::img("convert -f raw -O qcow2", &[&raw, &image]);
    let Some(device) = Device::new(workshop.path(), 4 << 20, 512) else { return };
    for source in [&raw, &image] {
        run::import(source, &device.path).run().expect(7);
        assert!(device.is_untouched());
        run::import_piped(&image, &device.path).run().expect(7);
        assert!(device.is_untouched());
    }
    let small = run::import(&image, &device.path).args(["--size", "8M"]);
    small.run().expect(7);
    assert!(device.is_untouched());
}

#[test]
fn a_claimed_device_is_refused_untouched() {
    let workshop = workshop();
    let (_, sources) = forms(workshop.path(), 4 << 20);
    let Some(device) = Device::new(workshop.path(), 8 << 20, 512) else { return };
    let claim = OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(&device.path).unwrap();
    let outcome = run::import(&sources[2], &device.path).run();
    assert!(outcome.code != 0, "a claimed device was written");
    outcome.says(device.path.to_str().unwrap());
    assert!(device.is_untouched());
    drop(claim);
    run::import(&sources[2], &device.path).run().expect(0);
}

#[test]
fn a_failure_in_the_middle_leaves_the_first_mib_zero() {
    let workshop = workshop();
    let (_, sources) = forms(workshop.path(), 4 << 20);
    let Some(device) = Device::new(workshop.path(), 8 << 20, 4096) else { return };
    for source in [&sources[1], &sources[4]] {
        device.reset();
        let mut stream = fs::read(source).unwrap();
        stream.truncate(stream.len() - 6);
        run::import("-", &device.path).fed(stream).run().expect(5);
        assert!(device.bytes()[..1 << 20].iter().all(|byte| *byte == 0), "{}", source.display());
    }
}
