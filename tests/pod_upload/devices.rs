//! Block devices as destinations.

use super::Row;
use super::bench::{Bench, Server};
use crate::common::device::{Device, OLD};

pub(super) const ROWS: &[Row] = &[("F22", "a device", device)];

fn device(bench: &Bench) -> String {
    for image in [&bench.raw, &bench.qcow2] {
        for (preallocation, applied) in [("false", false), ("true", true)] {
            let dir = bench.dir();
            let Some(device) = Device::new(&dir, 8 << 20, 512) else { return "no loop device".to_owned() };
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
        }
    }
    "raw and qcow2, with and without preallocation: the disk, and what lies behind it untouched".to_owned()
}
