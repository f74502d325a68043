//! 9.A and 9.C: block devices.

use std::fs::{self, File};

use super::Case::Needs;
use super::Row;
use super::bench::{Bench, is_capacity, is_complete};
use crate::common::device::{Device, OLD};
use crate::common::{noise, qemu};

pub(super) const ROWS: &[Row] = &[
    ("A38", "every kind of image onto a device", Needs(a38)),
    ("A39", "an image that is larger than the device", Needs(a39)),
    ("A41", "sectors of 4096 bytes", Needs(a41)),
    ("C3", "a blank device", Needs(c3)),
    ("C4", "a blank device, preallocated", Needs(c4)),
    ("C5", "a blank device of an odd size", Needs(c5)),
];

const NONE: &str = "no loop device";

#[track_caller]
fn holds(device: &Device, content: &[u8]) {
    let now = device.bytes();
    assert!(now.starts_with(content), "content differs");
    assert!(now[content.len()..].iter().all(|byte| *byte == OLD), "the tail was touched");
}

fn a38(bench: &Bench) -> Result<String, String> {
    let volumes = bench.volumes();
    let Some(device) = Device::new(&volumes.dir, 16 << 20, 512) else { return Err(NONE.to_owned()) };
    let tar = super::archives::archive();
    bench.serve("device.tar", &tar);
    for (name, content) in [
        ("disk.img", &bench.raw),
        ("device.tar", &tar),
        ("disk.qcow2", &bench.raw),
        ("disk.img.gz", &bench.raw),
    ] {
        for preallocation in ["false", "true"] {
            device.reset();
            let pod = volumes.device("http", &bench.url(name), &device.path);
            let ended = pod.env("PREALLOCATION", preallocation).run();
            is_complete(&ended, preallocation == "true");
            ended.logs("Successfully completed fsync(/dev/cdi-block-volume) syscall, committed to disk");
            holds(&device, content);
        }
    }
    Ok("exit 0, the device starts with the image and is left alone behind it, fsync logged: raw, tar, QCOW2, gz, \
     with and without preallocation"
        .to_owned())
}

fn a39(bench: &Bench) -> Result<String, String> {
    let volumes = bench.volumes();
    let Some(device) = Device::new(&volumes.dir, 8 << 20, 512) else { return Err(NONE.to_owned()) };
    let tail = bench.root().join("zero-tail");
    fs::write(&tail, noise(1 << 20, 5)).unwrap();
    File::options().write(true).open(&tail).unwrap().set_len(10 << 20).unwrap();
    qemu::img("convert -f raw -O qcow2", &[&tail, &bench.root().join("zero-tail.qcow2")]);
    let mut last = String::new();
    for name in ["disk.img", "disk.qcow2", "disk.qcow2.gz", "zero-tail", "zero-tail.qcow2"] {
        let ended = volumes.device("http", &bench.url(name), &device.path).run();
        is_capacity(&ended);
        assert!(device.is_untouched(), "{name}");
        last = ended.message;
    }
    // Of a compressed raw image only the end shows the size.
    is_capacity(&volumes.device("http", &bench.url("disk.img.gz"), &device.path).run());
    assert!(device.bytes()[..1 << 20].iter().all(|byte| *byte == 0), "it could be booted");
    Ok(format!("exit 1, untouched, also where only zeros do not fit: {last}"))
}

fn a41(bench: &Bench) -> Result<String, String> {
    let volumes = bench.volumes();
    let Some(device) = Device::new(&volumes.dir, 16 << 20, 4096) else { return Err(NONE.to_owned()) };
    let mut odd = bench.raw.clone();
    odd.extend(noise(512, 6));
    bench.serve("odd.img", &odd);
    let (raw, qcow2) = (bench.root().join("odd.img"), bench.root().join("odd.qcow2"));
    qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
    for (name, content) in [("disk.img", &bench.raw), ("odd.img", &odd), ("odd.qcow2", &odd)] {
        device.reset();
        is_complete(&volumes.device("http", &bench.url(name), &device.path).run(), false);
        holds(&device, content);
    }
    Ok(format!("exit 0, also for {} bytes, which are 512 modulo 4096", odd.len()))
}

fn c3(bench: &Bench) -> Result<String, String> {
    let volumes = bench.volumes();
    let Some(device) = Device::new(&volumes.dir, 8 << 20, 512) else { return Err(NONE.to_owned()) };
    let ended = volumes.device("none", "", &device.path).run();
    ended.expect(0);
    assert_eq!(ended.message, "");
    assert!(device.is_untouched());
    Ok("exit 0, no message, untouched".to_owned())
}

/// A device of `len` bytes made blank where `size` are requested; the bytes that became zero.
fn blank(bench: &Bench, len: usize, size: &str) -> Option<usize> {
    let volumes = bench.volumes();
    let device = Device::new(&volumes.dir, len, 512)?;
    let pod = volumes.device("none", "", &device.path).env("PREALLOCATION", "true");
    is_complete(&pod.env("IMPORTER_IMAGE_SIZE", size).run(), true);
    let now = device.bytes();
    let zeros = now.iter().take_while(|byte| **byte == 0).count();
    assert!(now[zeros..].iter().all(|byte| *byte == OLD), "the tail was touched");
    Some(zeros)
}

fn c4(bench: &Bench) -> Result<String, String> {
    let Some(part) = blank(bench, 8 << 20, "6Mi") else { return Err(NONE.to_owned()) };
    assert_eq!(part, 6 << 20);
    assert_eq!(blank(bench, 8 << 20, "32Mi"), Some(8 << 20));
    Ok(format!("{part} bytes of 8 MiB where 6 MiB are requested, all of them where 32 MiB are; applied true"))
}

fn c5(bench: &Bench) -> Result<String, String> {
    let Some(part) = blank(bench, 8 << 20, "5243392") else { return Err(NONE.to_owned()) };
    assert_eq!(part, 5_243_392);
    Ok(format!("{part} bytes are zero and not one more"))
}
