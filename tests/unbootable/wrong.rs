//! Bytes that are not what was promised, streams that are cut, flushes and writes that fail.

use std::fs;

use super::{Bench, MIB, SIZE, Servers, State, WAYS, Way, part};
use crate::common::depot::{Depot, Reply, shelves};
use crate::common::device::Device;
use crate::common::fuse::{Fault, Fuse, Op};
use crate::common::oci::{OciLayout, Packing, layer};
use crate::common::run;
use crate::common::tally::Tally;
use crate::common::upload::{Receiver, Wire};
use crate::common::{qemu, workshop};

#[test]
fn a_wrong_checksum_leaves_nothing_that_boots() {
    let Some(bench) = Bench::new() else { return };
    let servers = Servers::new(&bench);
    let wrong = format!("--checksum=sha256:{}", "0".repeat(64));
    for way in WAYS.into_iter().filter(|way| *way != Way::Registry) {
        bench.reset();
        bench.run(way, &servers).arg(&wrong).run().expect(5).says("the checksum differs");
        assert_eq!(bench.state(), State::Blank, "{way:?}");
    }
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_leaves_nothing_that_boots() {
    let Some(bench) = Bench::new() else { return };
    let mut layout = OciLayout::new(bench.dir());
    let disk = layer(&[("disk/disk.img", &bench.disk)], Packing::None);
    let digest = disk.digest();
    let image = layout.image("amd64", &[disk]);
    layout.tag("latest", image);
    // A bit of the boot sector, of the middle, of the last data, and of the tar's end, which then is none.
    for at in [1534, 2 * MIB, 4 * MIB, 4 * MIB + 3000] {
        let (shelf, name) = (shelves(&layout), digest.clone());
        let depot = Depot::start("127.0.0.1", move |request| {
            let mut reply = shelf(request);
            if request.path.ends_with(&name) {
                reply.body[at] ^= 1;
            }
            reply
        });
        bench.reset();
        let source = format!("docker://{}/disks", depot.address());
        let run = run::import(source, &bench.device.path).args(["--insecure", "--arch", "amd64"]);
        let outcome = run.run();
        match at {
            0..=4_196_864 => outcome.expect(5).says(&digest[..12]),
            _ => outcome.expect(6).says("the archive is damaged"),
        };
        assert_eq!(bench.state(), State::Blank, "{at}");
    }
}

/// Where a stream of `len` bytes is cut: at its ends, and between.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    let between = (1..8).map(move |part| len / 8 * part + part * 37);
    [1, 600, 70_000].into_iter().chain(between).chain([len - 9000, len - 9, len - 1])
}

#[test]
fn a_stream_that_is_cut_leaves_nothing_that_boots() {
    let Some(bench) = Bench::new() else { return };
    let mut tally = Tally::of("streams that are cut");
    for codec in ["none", "gzip", "xz", "zstd", "bzip2"] {
        for file in [&bench.raw, &bench.qcow2] {
            // Of a pipe of plain bytes nobody knows where it should end.
            if codec == "none" && file == &bench.raw {
                continue;
            }
            let bytes = fs::read(qemu::pack(file, codec)).unwrap();
            for cut in cuts(bytes.len()) {
                tally.case(format!("{codec} of {} at {cut}", file.display()), || {
                    bench.reset();
                    let outcome = run::import("-", &bench.device.path).fed(&bytes[..cut]).run();
                    match outcome.code {
                        // A byte is no image, but a very small disk; and of an image's last cluster not
                        // all is the disk's.
                        0 if cut < 4 => {}
                        0 => assert_eq!((bench.state(), codec), (State::Complete, "none")),
                        _ => {
                            assert!([5, 6].contains(&outcome.code), "{}", outcome.stderr);
                            assert_ne!(bench.state(), State::Complete);
                        }
                    }
                });
            }
        }
    }
    tally.finish();
}

#[test]
fn a_download_or_an_upload_that_is_cut_leaves_nothing_that_boots() {
    let Some(bench) = Bench::new() else { return };
    let qcow2 = fs::read(&bench.qcow2).unwrap();
    for cut in [600, 70_000, 2 * MIB, qcow2.len() - 70_000] {
        // Without a length the end of the connection looks like the end of the image.
        let body = qcow2.clone();
        let depot = Depot::start("127.0.0.1", move |request| {
            let reply = part(&body, request);
            Reply { status: 200, cut: Some(cut), unsized_body: true, headers: Vec::new(), ..reply }
        });
        bench.reset();
        let outcome = run::import(format!("http://{}/x", depot.address()), &bench.device.path).run();
        assert!([5, 6].contains(&outcome.code), "{cut}: {} {}", outcome.code, outcome.stderr);
        assert_ne!(bench.state(), State::Complete, "{cut}");
    }
    let receiver = Receiver::plain(&bench.device.path, &[]);
    for cut in [600, 70_000, 2 * MIB, bench.disk.len() - 1] {
        bench.reset();
        let head = format!("Content-Length: {}\n", bench.disk.len());
        let mut wire = Wire::post(&receiver, "/v1beta1/upload", &head);
        wire.send(&bench.disk[..cut]);
        wire.end();
        let answer = wire.rest();
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert_ne!(bench.state(), State::Complete, "{cut}");
    }
    receiver.end(rustix::process::Signal::TERM);
}

#[test]
fn a_device_that_fails_leaves_nothing_that_boots() {
    let workshop = workshop();
    let Some(fuse) = Fuse::new(&workshop.path().join("fuse"), "device-512") else { return };
    let Some(device) = Device::new(&fuse.path(""), SIZE, 512) else { return };
    let bench = Bench::with(workshop, device);
    let servers = Servers::new(&bench);
    let mut tally = Tally::of("a device that fails");
    for way in [Way::RangedFile, Way::ForwardWeb, Way::Pipe] {
        // Before the first write, before the first MiB, after it; then there is none any more.
        for nth in 1..=4 {
            bench.reset();
            fuse.set(Fault::Nth(Op::Fsync, nth, libc::EIO));
            let outcome = bench.run(way, &servers).run();
            let (failed, name) = (fuse.failed(), format!("{way:?}, flush {nth}"));
            fuse.set(Fault::None);
            tally.case(name, || match nth {
                1..=3 => {
                    outcome.expect(1).says(&format!("unable to flush {}", bench.device.path.display()));
                    outcome.says("input/output error");
                    assert!(failed);
                    assert_eq!(bench.state(), State::Blank);
                }
                _ => {
                    outcome.expect(0);
                    assert_eq!(bench.state(), State::Complete);
                }
            });
        }
    }
    // A bad place on the disk. The kernel's loop devices take a write that was made in part for a whole
    // one, so that perhaps nobody but a verification hears of it. Where its very beginning is bad, an
    // old boot sector cannot be taken away.
    for (way, bad) in [200_000, 700_000, 2 * MIB + 5, 4 * MIB]
        .map(|bad| [(Way::RangedFile, bad), (Way::Pipe, bad)])
        .concat()
    {
        bench.reset();
        fuse.set(Fault::Bad(bad, libc::EIO));
        let outcome = bench.run(way, &servers).arg("--verify").run();
        fuse.set(Fault::None);
        tally.case(format!("{way:?}, a bad byte at {bad}"), || {
            assert!([1, 5].contains(&outcome.code), "{} {}", outcome.code, outcome.stdout);
            let now = bench.device.bytes();
            let bootable = now[510..512] == bench.disk[510..512];
            assert!(!bootable || now == bench.old, "it would boot");
            // Only where the first MiB itself is bad it cannot be zeroed.
            assert!(bad < MIB || now[..MIB].iter().all(|byte| *byte == 0), "its first MiB is not zero");
        });
    }
    tally.finish();
}
