//! The clone source: what it sends, what it says, and how it fails.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::Row;
use super::bench::{Bench, NO_DEVICE, Server, holds_only};
use super::capture::Capture;
use crate::common::device::Device;
use crate::common::pod::{self, Ended, Pod, Running};
use crate::common::qemu::tool;
use crate::common::upload::curl;
use crate::common::{noise, wait_for};

pub(super) const ROWS: &[Row] = &[
    ("G1", "a file system", file_system),
    ("G2", "a device", device),
    ("G3", "a target that refuses", refused),
    ("G4", "the termination message", message),
    ("G5", "the metric", metric),
    ("G6", "other programs", interop),
];

/// Where the source's volume is mounted.
const MOUNT: &str = "/var/run/cdi/clone/source";

/// A clone source that has not begun.
pub(super) struct Source(Pod);

impl Source {
    /// Of the file system at `files`.
    pub(super) fn files(bench: &Bench, dir: &Path, files: &Path) -> Self {
        let source = Self::new(bench, dir).env("VOLUME_MODE", "filesystem").env("MOUNT_POINT", MOUNT);
        Self(source.0.volume(MOUNT, files))
    }

    /// Of the device at `path`.
    pub(super) fn device(bench: &Bench, dir: &Path, path: &Path) -> Self {
        let place = "/dev/cdi-block-volume";
        let source = Self::new(bench, dir).env("VOLUME_MODE", "block").env("MOUNT_POINT", place);
        Self(source.0.volume(place, path))
    }

    fn new(bench: &Bench, dir: &Path) -> Self {
        let own = dir.join("clone-source");
        fs::create_dir_all(&own).unwrap();
        let text = |name: &str| fs::read_to_string(bench.papers.dir.join(name)).unwrap();
        let pod = Pod::new(&own)
            .env("CLIENT_KEY", text("good.key"))
            .env("CLIENT_CERT", text("good.crt"))
            .env("SERVER_CA_CERT", text("ca.crt"))
            .env("UPLOAD_URL", Server::url("/v1beta1/upload"))
            .env("OWNER_UID", "a-b-c")
            .env("PREALLOCATION", "false");
        Self(pod)
    }

    pub(super) fn env(self, name: &str, value: &str) -> Self {
        Self(self.0.env(name, value))
    }

    /// With the certificate of the one clone that it sends, as the controller makes it.
    pub(super) fn of_clone(self, bench: &Bench) -> Self {
        let text = |name: &str| fs::read_to_string(bench.papers.dir.join(name)).unwrap();
        self.env("CLIENT_KEY", &text("clone.key")).env("CLIENT_CERT", &text("clone.crt"))
    }

    pub(super) fn run(self) -> Ended {
        self.0.run()
    }
}

/// A file system's files: a sparse disk, links, odd names and modes, and what is not to be sent.
pub(super) fn files(dir: &Path) -> PathBuf {
    let root = pod::directory(dir, "files");
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("lost+found")).unwrap();
    fs::write(at("lost+found/rest"), "not to be sent").unwrap();
    let disk = File::create(at("disk.img")).unwrap();
    disk.set_len(40 << 20).unwrap();
    for piece in 0..30 {
        disk.write_all_at(&noise(9000, piece), piece * 1_200_000 + 4096).unwrap();
    }
    fs::create_dir_all(at("sub/empty")).unwrap();
    fs::write(at("sub/plain"), noise(100_000, 3)).unwrap();
    fs::set_permissions(at("sub/plain"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(at("sub/plain"), at("sub/same")).unwrap();
    symlink("sub/plain", at("link")).unwrap();
    fs::write(at(&"n".repeat(180)), "a long name").unwrap();
    fs::write(at("zwölf \u{1F4BE}"), "an odd name").unwrap();
    tool("chown", ["-hR", "107:107", root.to_str().unwrap()]);
    root
}

/// What there is to compare of a file.
#[derive(Debug, PartialEq)]
enum Seen {
    Directory(u32),
    Link(PathBuf),
    Pipe { mode: u32, mtime: i64 },
    File { mode: u32, mtime: i64, links: u64, bytes: Vec<u8> },
}

fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let (mut seen, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let (found, name) = (fs::symlink_metadata(&path).unwrap(), path.strip_prefix(root).unwrap());
            let mode = found.mode() & 0o7777;
            let what = if found.is_dir() {
                Seen::Directory(mode)
            } else if found.is_symlink() {
                Seen::Link(fs::read_link(&path).unwrap())
            } else if found.file_type().is_fifo() {
                Seen::Pipe { mode, mtime: found.mtime() }
            } else {
                let bytes = fs::read(&path).unwrap();
                Seen::File { mode, mtime: found.mtime(), links: found.nlink(), bytes }
            };
            seen.insert(name.to_owned(), what);
            if found.is_dir() {
                open.push(path);
            }
        }
    }
    seen
}

/// [`files`], and what only the copy of a file system has: it would be refused in anybody's archive.
pub(super) fn odd_files(dir: &Path) -> PathBuf {
    let root = files(dir);
    let at = |name: &str| root.join(name);
    fs::create_dir(at("group")).unwrap();
    fs::write(at("group/tool"), "a program").unwrap();
    symlink("/etc/passwd", at("absolute")).unwrap();
    symlink("sub/../../out", at("upwards")).unwrap();
    tool("ln", ["-P", at("upwards").to_str().unwrap(), at("group/again").to_str().unwrap()]);
    tool("mkfifo", [at("pipe").to_str().unwrap()]);
    tool("chown", ["-hR", "107:107", root.to_str().unwrap()]);
    // The owner's change takes the bits away.
    for (name, mode) in [("group/tool", 0o4711), ("group", 0o3771), ("pipe", 0o620)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    root
}

/// Asserts that `copy` is `original` without lost+found, and as sparse.
#[track_caller]
pub(super) fn same_files(original: &Path, copy: &Path) {
    same_content(original, copy);
    let blocks = |root: &Path| fs::metadata(root.join("disk.img")).unwrap().blocks() * 512;
    let (was, is) = (blocks(original), blocks(copy));
    assert!(is <= was + (1 << 20), "the holes were filled: {is} bytes in place of {was}");
}

/// Asserts that `copy` is `original` without lost+found, however much space it takes.
#[track_caller]
pub(super) fn same_content(original: &Path, copy: &Path) {
    let mut expected = seen(original);
    expected.retain(|name, _| !name.starts_with("lost+found"));
    let found = seen(copy);
    let names = |map: &BTreeMap<PathBuf, Seen>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    for (name, what) in &expected {
        assert!(found[name] == *what, "{} differs", name.display());
    }
}

/// Asserts that nothing in the file `name` of `root` is a hole.
#[track_caller]
pub(super) fn is_allocated(root: &Path, name: &str) {
    let found = fs::metadata(root.join(name)).unwrap();
    assert!(found.blocks() * 512 >= found.len(), "{} bytes of {}", found.blocks() * 512, found.len());
}

fn file_system(bench: &Bench) -> String {
    let dir = bench.dir();
    let source = files(&dir);
    let sizes = [("false", "Clone Complete"), ("true", "Clone Complete, Preallocation applied")].map(
        |(preallocation, message)| {
            let capture = Capture::start(bench, 200);
            let ended = Source::files(bench, &dir, &source).env("PREALLOCATION", preallocation).run();
            assert_eq!(ended.expect(0).message, message);
            let request = capture.finish();
            assert_eq!(request.header("x-cdi-content-type"), Some("filesystem-clone"));
            assert_eq!(request.header("transfer-encoding"), Some("chunked"));
            let list = request.tar(&dir, &["-t"]);
            assert!(list.contains("disk.img") && !list.contains("lost+found"), "{list}");
            assert!(list.lines().all(|name| !name.starts_with(['.', '/'])), "{list}");
            request.plain.len()
        },
    );
    assert!(sizes[0] < 4 << 20 && sizes[1] > 40 << 20, "{sizes:?}");
    let server = bench.clone_target(|pod| pod.env("PREALLOCATION", "true"));
    Source::files(bench, &dir, &source).of_clone(bench).env("PREALLOCATION", "true").run().expect(0);
    let data = server.data.clone();
    assert_eq!(server.finish().expect(0).json()["preallocationApplied"], true);
    same_content(&source, &data);
    is_allocated(&data, "disk.img");
    let empty = pod::directory(&dir, "empty");
    let capture = Capture::start(bench, 200);
    Source::files(bench, &dir, &empty).run().expect(0);
    assert_eq!(capture.finish().tar(&dir, &["-t"]), "");
    let server = bench.serve();
    Source::files(bench, &dir, &empty).run().expect(0);
    holds_only(&server.data.clone(), &[]);
    server.finish().expect(0);
    format!(
        "{} bytes of tar sparse, {} with preallocation; an empty one is an empty archive",
        sizes[0], sizes[1]
    )
}

fn device(bench: &Bench) -> String {
    let dir = bench.dir();
    let Some(device) = Device::new(&dir, (5 << 20) + 512, 512) else { return NO_DEVICE.to_owned() };
    let disk = noise((5 << 20) + 512, 4);
    fs::write(&device.path, &disk).unwrap();
    let capture = Capture::start(bench, 200);
    // As the start script of CDI's image is called, and as it would call its binary.
    let source = Source::device(bench, &dir, &device.path);
    let pod =
        source.0.called("cdi-cloner").arg("-content-type=blockdevice-clone").arg("-mount").arg("/dev/x");
    assert_eq!(pod.run().expect(0).message, "Clone Complete");
    let request = capture.finish();
    assert_eq!(request.header("x-cdi-content-type"), Some("blockdevice-clone"));
    assert!(request.plain == disk, "the bytes differ");
    format!("all {} bytes of the device", disk.len())
}

fn refused(bench: &Bench) -> String {
    let dir = bench.dir();
    let source = files(&dir);
    let run = |settings: fn(Source) -> Source| settings(Source::files(bench, &dir, &source)).run();
    for status in [301, 401, 404, 409, 500, 503] {
        let capture = Capture::start(bench, status);
        let ended = run(|source| source);
        assert_eq!(ended.expect(255).logs(&status.to_string()).message, "");
        drop(capture);
    }
    // Nobody listens.
    assert_eq!(run(|source| source).expect(255).message, "");
    let server = bench.serve();
    bench.papers.save("stranger", &bench.papers.authority.client("stranger"));
    let text = |name: &str| fs::read_to_string(bench.papers.dir.join(name)).unwrap();
    let stranger = Source::files(bench, &dir, &source)
        .env("CLIENT_KEY", &text("stranger.key"))
        .env("CLIENT_CERT", &text("stranger.crt"))
        .run();
    stranger.expect(255).logs("401");
    assert!(!stranger.stderr.contains("PRIVATE KEY"));
    let other = crate::common::certificates::Authority::new("other");
    let wrong_ca = Source::files(bench, &dir, &source).env("SERVER_CA_CERT", other.pem()).run();
    assert_eq!(wrong_ca.expect(255).message, "");
    for name in ["CLIENT_KEY", "CLIENT_CERT", "SERVER_CA_CERT", "OWNER_UID", "PREALLOCATION", "MOUNT_POINT"] {
        let pod = Source::files(bench, &dir, &source).env(name, "").run();
        pod.expect(255).logs(&format!("{name} is missing"));
    }
    holds_only(&server.data, &[]);
    server.end().expect(143);
    let (source, target) = held(bench);
    source.signal(Signal::TERM);
    assert_eq!(source.finish().expect(143).message, "");
    target.signal(Signal::KILL);
    target.finish();
    "255 and no message: every status but 2xx, nobody there, a strange certificate, a strange CA, a missing \
     variable; 143 after SIGTERM"
        .to_owned()
}

fn message(bench: &Bench) -> String {
    let dir = bench.dir();
    let source = files(&dir);
    let mut said = Vec::new();
    for preallocation in ["false", "true"] {
        let server = bench.serve();
        let ended = Source::files(bench, &dir, &source).env("PREALLOCATION", preallocation).run();
        said.push(ended.expect(0).message.clone());
        server.finish().expect(0);
    }
    assert_eq!(said, ["Clone Complete", "Clone Complete, Preallocation applied"]);
    said.join(" / ")
}

/// A source whose target has stopped to listen, so that it is somewhere in the middle; both run.
fn held(bench: &Bench) -> (Running, Running) {
    let dir = bench.dir();
    let source = pod::directory(&dir, "large");
    fs::write(source.join("disk.img"), noise(24 << 20, 8)).unwrap();
    let pod = bench.room(64 << 20).pod.env("LISTEN_PORT", "9443").env("LISTEN_ADDRESS", "127.0.0.2");
    let target = pod.start();
    let ready = || curl(["-k", "https://127.0.0.2:9443/healthz"]).status == 200;
    assert!(wait_for(ready), "the target does not answer");
    target.signal(Signal::STOP);
    let source =
        Source::files(bench, &dir, &source).env("UPLOAD_URL", "https://127.0.0.2:9443/v1beta1/upload");
    let source = source.0.start();
    assert!(wait_for(|| progress().is_some()), "no metric");
    (source, target)
}

/// The line of the metric, if there is one.
fn progress() -> Option<String> {
    let page = curl(["-k", "https://127.0.0.1:8443/metrics"]).body;
    page.lines().find(|line| line.starts_with("kubevirt_cdi_clone_progress_total{")).map(str::to_owned)
}

fn metric(bench: &Bench) -> String {
    let (source, target) = held(bench);
    let line = progress().unwrap();
    target.signal(Signal::CONT);
    assert_eq!(source.finish().expect(0).message, "Clone Complete");
    target.finish().expect(0);
    let value = line.strip_prefix("kubevirt_cdi_clone_progress_total{ownerUID=\"a-b-c\"} ").unwrap();
    let percent: f64 = value.parse().unwrap();
    assert!(value.contains('.') && (0.0..100.0).contains(&percent), "{line}");
    line
}

fn interop(bench: &Bench) -> String {
    let dir = bench.dir();
    let source = odd_files(&dir);
    let capture = Capture::start(bench, 204);
    Source::files(bench, &dir, &source).run().expect(0);
    let request = capture.finish();
    let copy = dir.join("copy");
    fs::create_dir(&copy).unwrap();
    request.tar(&dir, &["-x", "-p", "-C", copy.to_str().unwrap()]);
    same_files(&source, &copy);
    // What GNU tar finds when it compares by itself.
    let differences = request.tar(&dir, &["-d", "-C", source.to_str().unwrap()]);
    assert_eq!(differences, "");
    "GNU tar unpacks what we send to the same files, as sparse, and finds no difference; the way back is F17"
        .to_owned()
}
