//! What the cases share: certificates, images, and pods that serve.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::common::pod::{self, Ended, Pod, Running};
use crate::common::upload::{Answer, curl};
use crate::common::{noise, qemu, wait_for, workshop};
use crate::upload::{NAME, Papers, post};

/// The size that the controller asks for, and what 6 percent of overhead leave of it.
pub(super) const REQUESTED: &str = "32Mi";
pub(super) const GROWN: u64 = 30 << 20;

/// The disk's bytes that are data; a hole is among them.
pub(super) const LEN: usize = (3 << 20) + 1024;

/// What a case says that needs a device where there is none.
pub(super) const NO_DEVICE: &str = "not run: no loop device";

/// The common name in the certificate of one clone's source.
const CLONE: &str = "from-ns/disk-to-ns/copy";

/// A workshop with everything that is made once.
pub(super) struct Bench {
    workshop: TempDir,
    pub(super) papers: Papers,
    pub(super) disk: Vec<u8>,
    pub(super) raw: PathBuf,
    pub(super) qcow2: PathBuf,
    rooms: AtomicU32,
}

impl Bench {
    pub(super) fn new() -> Self {
        let workshop = workshop();
        let at = |name: &str| workshop.path().join(name);
        fs::create_dir(at("papers")).unwrap();
        let papers = Papers::new(&at("papers"));
        papers.save("clone", &papers.authority.client(CLONE));
        let mut disk = noise(LEN, 11);
        disk[1 << 20..2 << 20].fill(0);
        let (raw, qcow2) = (at("disk.raw"), at("disk.qcow2"));
        fs::write(&raw, &disk).unwrap();
        qemu::img("convert -c -f raw -O qcow2", &[&raw, &qcow2]);
        Self { papers, disk, raw, qcow2, workshop, rooms: AtomicU32::new(0) }
    }

    /// A directory of its own for a part of a case.
    pub(super) fn dir(&self) -> PathBuf {
        let dir = self.workshop.path().join(format!("room-{}", self.rooms.fetch_add(1, Relaxed)));
        fs::create_dir(&dir).unwrap();
        dir
    }

    /// A volume of `size` bytes, with an upload server for it that has not begun.
    pub(super) fn room(&self, size: u64) -> Room {
        let dir = self.dir();
        let data = pod::memory(&dir, "data", size);
        let pod = self.pod(&dir).volume("/data", &data);
        Room { pod, data }
    }

    /// An upload server without a volume that has not begun.
    pub(super) fn pod(&self, dir: &Path) -> Pod {
        Pod::new(dir)
            .volume("/tls", &self.papers.dir)
            .env("TLS_KEY_FILE", "/tls/server.key")
            .env("TLS_CERT_FILE", "/tls/server.crt")
            .env("CLIENT_CERT_FILE", "/tls/ca.crt")
            .env("CLIENT_NAME", NAME)
            .env("FILESYSTEM_OVERHEAD", "0.06")
            .env("UPLOAD_IMAGE_SIZE", REQUESTED)
            .env("PREALLOCATION", "false")
            .env("TLS_CIPHERS", "")
            .env("TLS_MIN_VERSION", "")
            .arg("-alsologtostderr")
            .arg("-v=3")
    }

    /// The target of a clone, which listens; what is made of `settings`, as the controller starts it.
    pub(super) fn clone_target(&self, settings: impl FnOnce(Pod) -> Pod) -> Server<'_> {
        let room = self.room(64 << 20);
        self.clone_target_in(settings(room.pod), room.data)
    }

    /// As [`Bench::clone_target`], as `pod` with its volume at `data`.
    pub(super) fn clone_target_in(&self, pod: Pod, data: PathBuf) -> Server<'_> {
        let mut server = Server::start(self, pod.env("CLIENT_NAME", CLONE), data);
        server.client = "clone";
        server
    }

    /// The usual volume and its server, which listens.
    pub(super) fn serve(&self) -> Server<'_> {
        self.serve_as(|pod| pod)
    }

    /// As [`Bench::serve`], with what `settings` add.
    pub(super) fn serve_as(&self, settings: impl FnOnce(Pod) -> Pod) -> Server<'_> {
        let room = self.room(64 << 20);
        Server::start(self, settings(room.pod), room.data)
    }
}

/// A volume, and a pod for it.
pub(super) struct Room {
    pub(super) pod: Pod,
    pub(super) data: PathBuf,
}

/// An upload server that listens.
pub(super) struct Server<'a> {
    bench: &'a Bench,
    running: Option<Running>,
    /// The certificate of clients who may.
    client: &'static str,
    pub(super) data: PathBuf,
}

impl<'a> Server<'a> {
    /// Starts `pod`, whose volume is at `data`, and waits until it answers.
    pub(super) fn start(bench: &'a Bench, pod: Pod, data: PathBuf) -> Self {
        let server = Self { bench, running: Some(pod.start()), client: "good", data };
        assert!(wait_for(|| server.ask(None, &[], "/healthz").status == 200), "it does not answer");
        server
    }

    pub(super) fn url(path: &str) -> String {
        format!("https://127.0.0.1:8443{path}")
    }

    /// What curl gets with `args` from `path`, with the certificate `name` or none.
    pub(super) fn ask(&self, name: Option<&str>, args: &[&str], path: &str) -> Answer {
        let mut all = self.bench.papers.client(name);
        all.extend(args.iter().map(ToString::to_string));
        all.push(Self::url(path));
        curl(all)
    }

    /// Uploads `file` to `path` as a client who may.
    pub(super) fn post(&self, path: &str, file: &Path) -> Answer {
        post(self.bench.papers.client(Some(self.client)), &Self::url(path), file)
    }

    /// As [`Server::post`], with arguments of curl.
    pub(super) fn post_with(&self, args: &[&str], path: &str, file: &Path) -> Answer {
        let mut all = self.bench.papers.client(Some(self.client));
        all.extend(args.iter().map(ToString::to_string));
        post(all, &Self::url(path), file)
    }

    /// As [`Server::post_with`], again and again while an earlier try is cleaned up.
    pub(super) fn post_when_free(&self, args: &[&str], path: &str, file: &Path) -> Answer {
        loop {
            let answer = self.post_with(args, path, file);
            if answer.status != 503 {
                return answer;
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.running.as_ref().unwrap().signal(signal);
    }

    /// The end of a server that ends by itself.
    pub(super) fn finish(mut self) -> Ended {
        self.running.take().unwrap().finish()
    }

    /// The end of a server that was killed.
    pub(super) fn killed(mut self) {
        assert_eq!(self.running.take().unwrap().finish().message, "");
    }

    /// The end of a server that is sent a signal.
    pub(super) fn end(mut self) -> Ended {
        let running = self.running.take().unwrap();
        running.signal(Signal::TERM);
        running.finish()
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.data.join("disk.img")
    }

    /// The end of a server that has taken an upload.
    #[track_caller]
    pub(super) fn done(self) -> Ended {
        let ended = self.finish();
        ended.expect(0);
        assert_eq!(ended.message, r#"{"preallocationApplied":false,"message":"Upload Complete"}"#);
        ended
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // A case that fails leaves port 8443 to the next one.
        if let Some(running) = self.running.take() {
            let end = || {
                running.signal(Signal::KILL);
                println!("{}", running.finish().stderr);
            };
            // One that has ended by itself says so in a second failure, which must not hide the first.
            catch_unwind(AssertUnwindSafe(end)).ok();
        }
    }
}

/// Asserts that `path` is `disk`, grown to what the volume leaves, for the pods' user and group.
#[track_caller]
pub(super) fn is_grown(path: &Path, disk: &[u8]) {
    let (found, bytes) = (fs::metadata(path).unwrap(), fs::read(path).unwrap());
    assert_eq!(found.len(), GROWN, "the size");
    assert!(bytes.starts_with(disk), "the disk differs");
    assert!(bytes[disk.len()..].iter().all(|byte| *byte == 0), "data behind the disk");
    assert_eq!(found.permissions().mode() & 0o7777, 0o660, "the mode");
    assert_eq!((found.uid(), found.gid()), (pod::USER, pod::USER));
}

/// Asserts that nothing but `names` is in `dir`.
#[track_caller]
pub(super) fn holds_only(dir: &Path, names: &[&str]) {
    let mut found: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, names, "in {}", dir.display());
}
