//! The two small programs of CDI's importer image, as containers of pods: the size of a disk, and the
//! server of node pull.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::common::apart::apart;
use crate::common::pod::{self, Ended, Pod, Running};
use crate::common::run::import;
use crate::common::upload::curl;
use crate::common::{noise, project, wait_for, workshop};

/// The size that is told of the file `bytes`.
fn size_of(dir: &Path, bytes: &[u8]) -> Ended {
    let data = pod::directory(dir, "data");
    fs::write(data.join("disk.img"), bytes).unwrap();
    detection(dir, &data, &["-image-path", "/data/disk.img"]).run()
}

fn detection(dir: &Path, data: &Path, args: &[&str]) -> Pod {
    let pod = Pod::new(dir).called("cdi-image-size-detection").volume("/data", data);
    args.iter().fold(pod, |pod, arg| pod.arg(arg))
}

#[test]
fn the_size_of_a_disk_is_the_whole_message() {
    let workshop = workshop();
    let dir = workshop.path();
    apart(|| {
        let v3 = fs::read(project("fixtures/v3.qcow2")).unwrap();
        let size = u64::from_be_bytes(v3[24..32].try_into().unwrap());
        let ended = size_of(dir, &v3);
        ended.expect(0);
        assert_eq!(ended.message, size.to_string());
        let ended = size_of(dir, &noise(5000, 1));
        assert_eq!((ended.expect(0).message.as_str(), ended.code), ("5120", 0));
        let data = pod::directory(dir, "data");
        fs::File::create(data.join("disk.img")).unwrap().set_len(1 << 40).unwrap();
        let args = ["-v=3", "--image-path=/data/disk.img", "-scheme", "file://"];
        let ended = detection(dir, &data, &args).run();
        assert_eq!(ended.expect(0).message, (1_u64 << 40).to_string());
        assert!(ended.peak < 64 << 20, "{} bytes", ended.peak);
    });
}

#[test]
fn each_way_to_fail_has_its_exit_code_and_leaves_no_size() {
    let workshop = workshop();
    let dir = workshop.path();
    apart(|| {
        let data = pod::directory(dir, "data");
        fs::create_dir(data.join("dir")).unwrap();
        fs::write(data.join("disk.img"), [1; 512]).unwrap();
        let cases: [(&[&str], i32, &str); 6] = [
            (&[], 1, "-image-path is missing"),
            (&["-no-such-flag"], 1, "flag provided but not defined: -no-such-flag"),
            (&["-image-path", "/data/disk.img", "-scheme", "nbd://"], 1, "only file:// is"),
            (&["-image-path", "/data/absent"], 3, "cannot be opened"),
            (&["-image-path", "/data/dir"], 3, "neither a file nor a block device"),
            (&["-image-path", "/data/disk.img/"], 3, "cannot be opened"),
        ];
        for (args, code, words) in cases {
            let ended = detection(dir, &data, args).run();
            ended.expect(code).logs(words);
            assert_eq!(ended.message, "", "{args:?}");
        }
        let full = detection(dir, &data, &["-image-path", "/data/disk.img"]);
        full.volume("/dev/termination-log", "/dev/full").run().expect(4).logs("cannot write to");
    });
}

#[test]
fn hostile_headers_are_invalid_files() {
    let workshop = workshop();
    let dir = workshop.path();
    let v3 = fs::read(project("fixtures/v3.qcow2")).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut image = v3.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    apart(|| {
        for (image, words) in [
            (with(4, &[0xff; 4]), "version"),
            (with(8, &[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9]), "backing file"),
            (with(20, &[0xff; 4]), ""),
            (with(24, &[0xff; 8]), ""),
            (with(36, &[0xff; 4]), "L1"),
            (with(72, &[0xff; 8]), ""),
            (with(100, &[0xff; 4]), ""),
            (v3[..60].to_vec(), ""),
            (Vec::new(), "empty"),
        ] {
            let ended = size_of(dir, &image);
            ended.expect(2).logs(words);
            assert_eq!(ended.message, "");
            assert!(ended.peak < 64 << 20, "{} bytes", ended.peak);
        }
    });
}

/// A container image's disk directory and the volume that server and importer share.
struct Shared {
    dir: PathBuf,
    disk: PathBuf,
    shared: PathBuf,
}

impl Shared {
    fn new(dir: &Path) -> Self {
        let (disk, shared) = (pod::directory(dir, "disk"), pod::directory(dir, "shared"));
        Self { dir: dir.to_owned(), disk, shared }
    }

    /// The server as the controller starts it, but for the path of the copied binary.
    fn server(&self) -> Pod {
        let pod = Pod::new(&self.dir).called("server").env("INSTANCETYPE_KUBEVIRT_IO_DEFAULT", "u1.small");
        let pod = pod.volume("/disk", &self.disk).volume("/shared", &self.shared);
        let args = "-p 8100 -image-dir /disk -ready-file /shared/ready -done-file /shared/done";
        args.split(' ').fold(pod, Pod::arg)
    }

    /// The server when it is ready, and the name that it tells.
    fn ready(&self) -> (Running, String) {
        let server = self.server().start();
        let ready = self.shared.join("ready");
        assert!(wait_for(|| ready.exists()), "the server is not ready");
        (server, fs::read_to_string(ready).unwrap())
    }

    /// Does what the importer does when it is done.
    fn finish(&self, server: Running) -> Ended {
        fs::write(self.shared.join("done"), "").unwrap();
        let ended = server.finish();
        assert_eq!(fs::read_dir(&self.shared).unwrap().count(), 0, "something is left in /shared");
        ended
    }
}

#[test]
fn an_import_reads_the_served_disk_by_ranges_until_it_is_done() {
    let workshop = workshop();
    let shared = Shared::new(workshop.path());
    let mut disk = noise(3 << 20, 7);
    disk.resize(9 << 20, 0);
    disk.extend(noise(512, 8));
    fs::write(shared.disk.join("my disk+1.img"), &disk).unwrap();
    apart(|| {
        let (server, name) = shared.ready();
        assert_eq!(name, "my disk+1.img");
        let target = workshop.path().join("poured.img");
        let outcome = import(format!("http://localhost:8100/{name}"), &target).run();
        outcome.expect(0);
        assert_eq!(outcome.result()["route"], "ranged");
        assert!(fs::read(&target).unwrap() == disk, "the disk is another");
        let info = curl(["http://localhost:8100/info"]);
        let env: serde_json::Value = serde_json::from_str(&info.expect(200).body).unwrap();
        assert_eq!(env, serde_json::json!({ "env": ["INSTANCETYPE_KUBEVIRT_IO_DEFAULT=u1.small"] }));
        shared.finish(server).expect(0).logs("serving my disk+1.img on http://127.0.0.1:8100");
    });
}

#[test]
fn a_qcow2_image_is_imported_from_the_server_as_from_a_file() {
    let workshop = workshop();
    let shared = Shared::new(workshop.path());
    let fixture = project("fixtures/v3.qcow2");
    fs::copy(&fixture, shared.disk.join("downloaded")).unwrap();
    apart(|| {
        let (server, name) = shared.ready();
        let [served, local] = ["served", "local"].map(|name| workshop.path().join(name));
        import(format!("http://127.0.0.1:8100/{name}"), &served).run().expect(0);
        import(&fixture, &local).run().expect(0);
        assert!(fs::read(served).unwrap() == fs::read(local).unwrap(), "the disks differ");
        shared.finish(server).expect(0);
    });
}

#[test]
fn nothing_but_the_disk_can_be_fetched_and_only_from_the_pod_itself() {
    let workshop = workshop();
    let shared = Shared::new(workshop.path());
    fs::write(shared.disk.join("disk.img"), noise(2000, 3)).unwrap();
    apart(|| {
        let (server, _) = shared.ready();
        let url = |path: &str| format!("http://127.0.0.1:8100{path}");
        for path in ["/", "/disk", "/disk/disk.img", "/../etc/passwd", "/%2e%2e/etc/passwd", "//disk.img"] {
            curl(["--path-as-is", &url(path)]).expect(404);
        }
        curl(["-X", "DELETE", &url("/disk.img")]).expect(405);
        let head = curl(["-I", &url("/disk.img")]);
        head.expect(200).says("content-length: 2000").says("accept-ranges: bytes");
        head.says("etag: \"").says("last-modified: ").says(" GMT");
        let part = curl(["-o", "/dev/null", "-D", "-", "-r", "100-199", &url("/disk.img")]);
        part.expect(206).says("content-range: bytes 100-199/2000");
        curl(["-r", "2000-", &url("/disk.img")]).expect(416);
        // Another address of this machine leads nowhere.
        let elsewhere = curl(["http://127.0.0.2:8100/disk.img"]);
        assert_eq!((elsewhere.status, elsewhere.code), (0, 7));
        shared.finish(server).expect(0);
    });
}

#[test]
fn a_signal_ends_the_server_as_a_failure() {
    let workshop = workshop();
    let shared = Shared::new(workshop.path());
    fs::write(shared.disk.join("disk.img"), [1; 512]).unwrap();
    apart(|| {
        let (server, _) = shared.ready();
        server.signal(Signal::TERM);
        server.finish().expect(143).logs("stopped by SIGTERM");
    });
}

#[test]
fn a_container_without_exactly_one_disk_has_no_server() {
    let workshop = workshop();
    let dir = workshop.path();
    let fails = |shared: &Shared, words: &str| {
        shared.server().run().expect(1).logs(words);
        assert!(!shared.shared.join("ready").exists(), "{words}");
    };
    apart(|| {
        let shared = Shared::new(dir);
        fails(&shared, "/disk is empty");
        fs::write(shared.disk.join("a"), [1; 512]).unwrap();
        let bootc = shared.server().volume("/ostree", pod::directory(dir, "ostree")).run();
        bootc.expect(1).logs("bootc image detected");
        shared.server().arg("-p").arg("x").run().expect(1).logs("-p \"x\" is no port");
        shared.server().arg("-ready-file").arg("/absent/ready").run().expect(1).logs("/absent/ready");
        fs::write(shared.disk.join("b"), [1; 512]).unwrap();
        fails(&shared, "more than one file");
        for name in ["a", "b"] {
            fs::remove_file(shared.disk.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", shared.disk.join("disk.img")).unwrap();
        fails(&shared, "links are not followed");
        fs::remove_file(shared.disk.join("disk.img")).unwrap();
        fs::create_dir(shared.disk.join("disk.img")).unwrap();
        fails(&shared, "is a directory");
    });
}
