//! What the cases share: a disk in every form, web servers that have it, and pods as CDI's controller
//! makes them.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use serde_json::json;

use crate::common::certificates::Authority;
use crate::common::nginx::{Nginx, Site};
use crate::common::pod::{self, Ended, Pod, Running};
use crate::common::{noise, qemu, workshop};

/// One MiB.
pub(super) const MI: u64 = 1 << 20;

/// The sites of the web server, by their numbers.
pub(super) const PLAIN: usize = 0;
pub(super) const GUARDED: usize = 1;
pub(super) const SEALED: usize = 2;
pub(super) const ODD: usize = 3;

/// The size of the disk.
pub(super) const DISK: usize = 9 << 20;

/// What all cases have.
pub(super) struct Bench {
    home: tempfile::TempDir,
    /// The disk.
    pub(super) raw: Vec<u8>,
    /// Who signed the certificate of the site with TLS.
    pub(super) authority: Authority,
    pub(super) nginx: Nginx,
    /// The pod of a case that takes a minute.
    pub(super) waiting: Cell<Option<Running>>,
    pods: Cell<u32>,
}

/// The volumes of one pod, and of those that follow it.
pub(super) struct Volumes {
    pub(super) dir: PathBuf,
    pub(super) data: PathBuf,
}

impl Bench {
    pub(super) fn new() -> Self {
        let home = workshop();
        let root = home.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut raw = noise(DISK, 7);
        raw[2 << 20..(5 << 20) + 512].fill(0);
        raw[(6 << 20) + 4096..(6 << 20) + 5120].fill(0);
        let image = root.join("disk.img");
        fs::write(&image, &raw).unwrap();
        let qcow2 = root.join("disk.qcow2");
        qemu::img("convert -f raw -O qcow2", &[&image, &qcow2]);
        for file in [&image, &qcow2] {
            for codec in ["gzip", "xz", "zstd"] {
                qemu::pack(file, codec);
            }
        }
        let authority = Authority::new("web");
        let tls = authority.loopback();
        let moved = "location = /moved { return 302 /disk.img; }";
        let odd = "location = /no-head { limit_except POST { deny all; } }
            location /page/ { alias ROOTDIR/; types { } default_type text/html; }
            location /slow/ { alias ROOTDIR/; limit_rate 1500k; max_ranges 0; }
            location /unsized/ {
                alias ROOTDIR/; limit_rate 6m; max_ranges 0; sub_filter_types *; sub_filter never-there x;
            }
            location /ranged/ { alias ROOTDIR/; limit_rate 400k; }
            location /plain/ { alias ROOTDIR/; max_ranges 0; }
            location = /away { return 302 {1}/disk.img; }"
            .replace("ROOTDIR", root.to_str().unwrap());
        let sites =
            [Site::plain(), Site::plain().guarded().rule(moved), Site::tls(&tls), Site::plain().rule(&odd)];
        let nginx = Nginx::start(&root, &sites);
        let early = home.path().join("early");
        fs::create_dir(&early).unwrap();
        let waiting = Cell::new(Some(super::node::waiting(&early)));
        Self { raw, authority, nginx, waiting, pods: Cell::new(0), home }
    }

    /// What the web server serves.
    pub(super) fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    /// The URL of `name` at the first site.
    pub(super) fn url(&self, name: &str) -> String {
        self.nginx.url(PLAIN, name)
    }

    /// Puts a file on the web server; its URL.
    pub(super) fn serve(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.root().join(name), bytes).unwrap();
        self.url(name)
    }

    /// A place for one pod.
    fn place(&self) -> PathBuf {
        self.pods.set(self.pods.get() + 1);
        let dir = self.home.path().join(format!("pod-{}", self.pods.get()));
        fs::create_dir(&dir).unwrap();
        dir
    }

    /// Volumes with a data directory that has room.
    pub(super) fn volumes(&self) -> Volumes {
        let dir = self.place();
        let data = pod::directory(&dir, "data");
        Volumes { dir, data }
    }

    /// Volumes with a data directory of `size` bytes.
    pub(super) fn small(&self, size: u64) -> Volumes {
        let dir = self.place();
        let data = pod::memory(&dir, "data", size);
        Volumes { dir, data }
    }

    /// What the one run of a pod that imports from `url` leaves in `volumes`.
    pub(super) fn import(&self, volumes: &Volumes, url: &str) -> Ended {
        volumes.http(url).run()
    }
}

/// A pod as the controller makes it, most of its variables empty.
pub(crate) fn importer(dir: &Path, source: &str, endpoint: &str) -> Pod {
    let empty = [
        "IMPORTER_DISK_ID",
        "IMPORTER_UUID",
        "IMPORTER_BACKING_FILE",
        "IMPORTER_THUMBPRINT",
        "IMPORTER_CURRENT_CHECKPOINT",
        "IMPORTER_PREVIOUS_CHECKPOINT",
        "IMPORTER_FINAL_CHECKPOINT",
        "IMPORTER_PULL_METHOD",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "CACHE_MODE",
        "IMPORTER_REGISTRY_IMAGE_ARCHITECTURE",
        "IMPORTER_CHECKSUM",
    ];
    let pod = empty.into_iter().fold(Pod::new(dir), |pod, name| pod.env(name, ""));
    pod.arg("-v=3")
        .env("IMPORTER_SOURCE", source)
        .env("IMPORTER_ENDPOINT", endpoint)
        .env("IMPORTER_CONTENTTYPE", "kubevirt")
        .env("IMPORTER_IMAGE_SIZE", "32Mi")
        .env("OWNER_UID", "2f1c-uid")
        .env("FILESYSTEM_OVERHEAD", "0.06")
        .env("INSECURE_TLS", "false")
        .env("PREALLOCATION", "false")
}

impl Volumes {
    /// A pod that imports from a web server into the data directory.
    pub(super) fn http(&self, url: &str) -> Pod {
        self.pod("http", url)
    }

    /// A pod with the data directory.
    pub(super) fn pod(&self, source: &str, endpoint: &str) -> Pod {
        importer(&self.dir, source, endpoint).volume("/data", &self.data)
    }

    /// A pod with a block device in place of the data directory.
    pub(super) fn device(&self, source: &str, endpoint: &str, device: &Path) -> Pod {
        importer(&self.dir, source, endpoint)
            .env("FILESYSTEM_OVERHEAD", "0")
            .volume("/dev/cdi-block-volume", device)
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.data.join("disk.img")
    }

    /// Bytes that are free in the data directory.
    pub(super) fn free(&self) -> u64 {
        let status = statvfs(&self.data).unwrap();
        status.f_bavail * status.f_frsize
    }

    /// Asserts that the disk begins with `content`, has `size` bytes, zeros behind the content, and the
    /// mode of a disk.
    #[track_caller]
    pub(super) fn holds(&self, content: &[u8], size: u64) {
        let disk = fs::read(self.disk()).unwrap();
        assert_eq!(disk.len() as u64, size, "size");
        assert!(disk.starts_with(content), "content differs");
        assert!(disk[content.len()..].iter().all(|byte| *byte == 0), "the rest is not zero");
        let found = fs::metadata(self.disk()).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o660, "mode");
        assert_eq!((found.uid(), found.gid()), (pod::USER, pod::USER), "owner");
        assert!(self.names().iter().eq(["disk.img"]), "left beside the disk: {:?}", self.names());
    }

    /// Asserts that nothing is left.
    #[track_caller]
    pub(super) fn is_empty(&self) {
        assert!(self.names().is_empty(), "left: {:?}", self.names());
    }

    /// What lies in the data directory.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.data).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Asserts that a pod has done what it was to do, and said so.
#[track_caller]
pub(super) fn is_complete(ended: &Ended, preallocated: bool) {
    ended.expect(0);
    let said = json!({
        "scratchSpaceRequired": false, "preallocationApplied": preallocated, "message": "Import Complete",
    });
    assert_eq!(ended.json(), said);
}

/// Asserts that the controller takes the message for a volume that is too small.
#[track_caller]
pub(super) fn is_capacity(ended: &Ended) {
    ended.expect(1);
    let phrases = ["is larger than the reported available", "no space left on device", "disk quota exceeded"];
    assert!(phrases.iter().any(|phrase| ended.message.contains(phrase)), "{:?}", ended.message);
}

/// The size that a disk grows to where `bytes` are available and the overhead is 0.06.
pub(super) fn usable(bytes: u64) -> u64 {
    // Exact, where CDI computes in floating point; the tests are far from where that matters.
    (bytes * 100).div_ceil(106) / MI * MI
}
