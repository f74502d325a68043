//! What is uploaded, and what becomes of it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Row;
use super::bench::{Bench, GROWN, holds_only, is_grown};
use crate::common::qemu::{self, tool};
use crate::common::{noise, pod};
use crate::upload::TOO_SMALL;

pub(super) const ROWS: &[Row] = &[
    ("F4", "every path", paths),
    ("F5", "archives", archives),
    ("F8", "a damaged image", damaged),
    ("F9", "too large", too_large),
    ("F12", "preallocation", preallocation),
    ("F13", "as large as the request", exact),
    ("F14", "no scratch", no_scratch),
    ("F23", "less than a sector", tiny),
];

fn paths(bench: &Bench) -> String {
    let mut seen = 0;
    for version in ["v1beta1", "v1alpha1"] {
        for name in ["upload", "upload-async", "upload-form", "upload-form-async"] {
            for image in [&bench.raw, &bench.qcow2] {
                let server = bench.serve();
                server.post(&format!("/{version}/{name}"), image).expect(200);
                let (disk, data) = (server.disk(), server.data.clone());
                server.done();
                is_grown(&disk, &bench.disk);
                holds_only(&data, &["disk.img"]);
                seen += 1;
            }
        }
    }
    format!("{seen} uploads 200, the disk grown to {GROWN} bytes, 0660, exit 0, \"Upload Complete\"")
}

/// A tar of three files, one of them in a directory.
fn archive(dir: &Path) -> PathBuf {
    let (files, tar) = (dir.join("files"), dir.join("files.tar"));
    fs::create_dir_all(files.join("sub")).unwrap();
    for (name, seed) in [("a", 1), ("b", 2), ("sub/c", 3)] {
        fs::write(files.join(name), noise(70_000, seed)).unwrap();
    }
    tool("tar", ["-C", files.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "a", "b", "sub"]);
    tar
}

fn archives(bench: &Bench) -> String {
    let tar = archive(&bench.dir());
    let forms = [tar.clone(), qemu::pack(&tar, "gzip"), qemu::pack(&tar, "xz")];
    for form in &forms {
        let server = bench.serve_as(|pod| pod.env("PREALLOCATION", "true"));
        server.post("/v1beta1/upload-archive", form).expect(200);
        let data = server.data.clone();
        server.done();
        holds_only(&data, &["a", "b", "sub"]);
        assert!(fs::read(data.join("sub/c")).unwrap() == noise(70_000, 3));
        assert_eq!(fs::metadata(data.join("a")).unwrap().uid(), pod::USER);
    }
    "tar, gz and xz 200, three files each, never preallocated".to_owned()
}

fn damaged(bench: &Bench) -> String {
    let path = bench.dir().join("damaged.qcow2");
    let mut bytes = fs::read(&bench.qcow2).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&path, &bytes).unwrap();
    let server = bench.serve();
    let answer = server.post("/v1beta1/upload", &path);
    answer.expect(500).says("Saving stream failed: ");
    holds_only(&server.data, &[]);
    server.post("/v1beta1/upload", &bench.raw).expect(200);
    server.done();
    format!("500 {}; the next one 200", answer.body.trim())
}

fn too_large(bench: &Bench) -> String {
    let dir = bench.dir();
    let [hollow, full] = ["hollow.raw", "full.raw"].map(|name| dir.join(name));
    File::create(&hollow).unwrap().set_len(64 << 20).unwrap();
    fs::write(&full, noise(24 << 20, 5)).unwrap();
    let mut images = Vec::new();
    for raw in [&hollow, &full] {
        images.push(qemu::pack(raw, "xz"));
        let qcow2 = raw.with_extension("qcow2");
        qemu::img("convert -f raw -O qcow2", &[raw, &qcow2]);
        images.push(qcow2);
    }
    let server = bench.serve_as(|pod| pod.env("UPLOAD_IMAGE_SIZE", "16Mi"));
    for image in &images {
        for path in ["/v1beta1/upload", "/v1beta1/upload-async"] {
            let answer = server.post_when_free(&[], path, image);
            answer.expect(400).says(TOO_SMALL).says("A larger PVC is required");
            holds_only(&server.data, &[]);
        }
    }
    server.post_when_free(&[], "/v1beta1/upload", &bench.qcow2).expect(200);
    let log = server.done();
    log.logs("effective image size is larger than the reported available");
    format!(
        "{} uploads 400 with the phrase, in the log too, nothing left; the next one 200",
        2 * images.len()
    )
}

fn preallocation(bench: &Bench) -> String {
    for (path, image) in [
        ("/v1beta1/upload", &bench.raw),
        ("/v1beta1/upload-async", &bench.raw),
        ("/v1beta1/upload", &bench.qcow2),
        ("/v1beta1/upload-form-async", &bench.qcow2),
    ] {
        let server = bench.serve_as(|pod| pod.env("PREALLOCATION", "true"));
        server.post(path, image).expect(200);
        let disk = server.disk();
        let ended = server.finish();
        assert_eq!(ended.expect(0).message, r#"{"preallocationApplied":true,"message":"Upload Complete"}"#);
        is_grown(&disk, &bench.disk);
        let allocated = fs::metadata(&disk).unwrap().blocks() * 512;
        assert!(allocated >= GROWN, "{allocated} bytes of {GROWN}");
    }
    "raw and qcow2, both answers: all of it allocated, preallocationApplied true".to_owned()
}

fn exact(bench: &Bench) -> String {
    let image = bench.dir().join("exact.qcow2");
    qemu::img_last("create -q -f qcow2", &image, "32M");
    let server = bench.serve();
    server.post("/v1beta1/upload", &image).expect(200);
    let disk = server.disk();
    server.done();
    assert_eq!(fs::metadata(&disk).unwrap().len(), 32 << 20);
    "a virtual size of 32 MiB in a request of 32 MiB: 200, not shrunk".to_owned()
}

fn no_scratch(bench: &Bench) -> String {
    let packed = qemu::pack(&bench.qcow2, "gzip");
    for image in [&bench.raw, &bench.qcow2, &packed] {
        let server = bench.serve();
        server.post("/v1beta1/upload", image).expect(200);
        let disk = server.disk();
        server.done();
        is_grown(&disk, &bench.disk);
    }
    "raw, qcow2 and qcow2.gz 200, where CDI's server answers 500 to the last two".to_owned()
}

fn tiny(bench: &Bench) -> String {
    let path = bench.dir().join("tiny");
    let server = bench.serve();
    for len in [0, 1, 511] {
        fs::write(&path, noise(len, 9)).unwrap();
        server.post("/v1beta1/upload", &path).expect(500).says("Saving stream failed");
    }
    holds_only(&server.data, &[]);
    server.end().expect(143);
    "0, 1 and 511 bytes: 500".to_owned()
}
