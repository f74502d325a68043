//! Block devices as destinations.

use super::Row;
use super::bench::{Bench, NO_DEVICE, Server};
use crate::common::device::{Device, OLD};

pub(super) const ROWS: &[Row] = &[("F22", "a device", device)];

fn device(bench: &Bench) -> String {
    for image in [&bench.raw, &bench.qcow2] {
        for (preallocation, applied) in [("false", false), ("true", true)] {
            let dir = bench.dir();
            let Some(device) = Device::new(&dir, 8 << 20, 512) else { return NO_DEVICE.to_owned() };
            let pod = bench.pod(&dir).volume("/dev/cdi-block-volume", &device.path);
            let pod = pod.env("DESTINATION", "/dev/cdi-block-volume").env("PREALLOCATION", preallocation);
            let server = Server::start(bench, pod, dir.clone());
            server.post("/v1beta1/upload-archive", &bench.raw).expect(500);
            server.post_when_free(&[], "/v1beta1/upload", image).expect(200);
            let ended = server.finish();
            assert_eq!(ended.expect(0).json()["preallocationApplied"], applied);
            let bytes = device.bytes();
            assert!(bytes.starts_with(&bench.disk), "the device differs");
            assert!(bytes[bench.disk.len()..].iter().all(|byte| *byte == OLD), "the tail was touched");
            // Zeros that are written take space; the cheapest zeros of a loop device give it back.
            assert_eq!(device.allocated() >= 8 << 20, applied, "{} bytes", device.allocated());
        }
    }
    "raw and qcow2, with and without preallocation: the disk, its zeros written with it, and what lies behind it untouched".to_owned()
}
