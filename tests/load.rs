//! Many clients at a time, and of the worst kind, while an upload or an import runs: it goes on and
//! ends right, others are answered in time, and memory and descriptors stay bounded.

mod crowd;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crowd::{Crowd, Kind};

use crate::common::apart::apart;
use crate::common::depot::{Depot, Reply};
use crate::common::upload::{Answer, Receiver, curl, curl_command};
use crate::common::{child, pod};
use crate::common::{noise, wait_for, workshop};
use crate::pod::importer;
use crate::upload::Papers;

/// More than any of the servers has seats for.
const MANY: usize = 200;

/// Half of what a client may be silent for. Probes and the controller wait for a second or two, and get
/// their answer in a fraction of that on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most memory of a server with all its clients.
const MEMORY: u64 = 150 << 20;

/// Sockets of [`MANY`] clients that are not let in, and all else that is open.
const DESCRIPTORS: usize = 192;

/// An upload by curl, whose bytes come when the test gives them.
struct Upload {
    curl: Child,
    pipe: Option<ChildStdin>,
    slices: Vec<Vec<u8>>,
}

impl Upload {
    /// Begins to send `disk` to `url`, in `count` slices and a last one.
    fn start(args: Vec<String>, url: &str, disk: &[u8], count: usize) -> Self {
        let mut curl = curl_command();
        curl.args(args).args(["-X", "POST", "-T", "-", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut curl = curl.spawn().unwrap();
        let slices = disk.chunks(disk.len().div_ceil(count + 1)).rev().map(<[u8]>::to_vec).collect();
        Self { pipe: curl.stdin.take(), curl, slices }
    }

    /// Sends one more slice.
    fn go_on(&mut self) {
        if let Some(slice) = self.slices.pop() {
            self.pipe.as_mut().unwrap().write_all(&slice).unwrap();
        }
    }

    /// Sends the rest; what the server said.
    fn finish(mut self) -> String {
        while !self.slices.is_empty() {
            self.go_on();
        }
        drop(self.pipe.take());
        let output = self.curl.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// That `ask` is answered with 200 in time; how long it took.
#[track_caller]
fn answers(ask: impl Fn() -> Answer, kind: &str) -> Duration {
    let start = Instant::now();
    ask().expect(200);
    let took = start.elapsed();
    assert!(took < PATIENCE, "{kind}: answered after {took:?}");
    took
}

/// Every kind of crowd in turn, at an upload server that receives an upload.
fn besiege(receiver: Receiver, kinds: &[Kind], client: &dyn Fn(Option<&str>) -> Vec<String>, target: &Path) {
    let disk = noise(8 << 20, 21);
    let url = receiver.url("/v1beta1/upload");
    let mut upload = Upload::start(client(Some("good")), &url, &disk, kinds.len());
    upload.go_on();
    let health = || {
        let mut args = client(None);
        args.push(receiver.url("/healthz"));
        curl(args)
    };
    let mut worst = Duration::ZERO;
    for kind in kinds {
        let mut crowd = Crowd::gather(kind, receiver.address(), MANY);
        for _ in 0..3 {
            crowd.go_on();
            worst = worst.max(answers(health, kind.name));
            upload.go_on();
        }
        let open = receiver.descriptors();
        assert!(open.is_none_or(|open| open < DESCRIPTORS), "{}: {open:?} descriptors", kind.name);
    }
    let memory = receiver.peak();
    let said = upload.finish();
    assert_eq!(said.trim(), "200", "{}", receiver.log());
    println!(
        "{} kinds of {MANY} clients: {} MiB at most, {} ms for an answer",
        kinds.len(),
        memory >> 20,
        worst.as_millis()
    );
    assert!(memory < MEMORY, "{memory} bytes");
    receiver.finish();
    assert!(fs::read(target).unwrap() == disk, "the disk differs");
}

#[test]
fn crowds_at_a_server_without_tls_do_not_disturb_an_upload() {
    let workshop = workshop();
    let target = workshop.path().join("target.img");
    besiege(Receiver::plain(&target, &[]), crowd::PLAIN, &|_| Vec::new(), &target);
}

#[test]
fn crowds_at_a_server_with_tls_do_not_disturb_an_upload() {
    let workshop = workshop();
    let target = workshop.path().join("target.img");
    let papers = Papers::new(workshop.path());
    let kinds: Vec<Kind> = crowd::SEALED.iter().chain(&crowd::within(&papers.authority)).cloned().collect();
    besiege(papers.receiver(&target, &[]), &kinds, &|name| papers.client(name), &target);
}

#[test]
fn an_upload_begins_although_a_crowd_has_taken_every_seat() {
    let workshop = workshop();
    let target = workshop.path().join("target.img");
    let receiver = Receiver::plain(&target, &[]);
    let disk = noise(1 << 20, 22);
    let _silent = Crowd::gather(&crowd::PLAIN[0], receiver.address(), MANY);
    let start = Instant::now();
    let said = Upload::start(Vec::new(), &receiver.url("/v1beta1/upload"), &disk, 1).finish();
    assert_eq!(said.trim(), "200", "{}", receiver.log());
    assert!(start.elapsed() < PATIENCE * 2, "{:?}", start.elapsed());
    // The server ends, whoever is still connected.
    receiver.finish();
    assert!(fs::read(&target).unwrap() == disk, "the disk differs");
}

#[test]
fn crowds_at_the_metrics_of_a_pod_do_not_disturb_its_import() {
    let workshop = workshop();
    apart(|| {
        let disk = noise(4 << 20, 23);
        let (release, held) = channel::<()>();
        let (body, held, asked) = (disk.clone(), Mutex::new(held), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        // The first answer breaks in the middle; the second comes when the crowds have gone.
        let depot = Depot::start("127.0.0.1", move |_| match count.fetch_add(1, SeqCst) {
            0 => Reply { cut: Some(body.len() / 2), ..Reply::text(body.clone()) },
            _ => {
                held.lock().unwrap().recv().ok();
                Reply::text(body.clone())
            }
        });
        let data = pod::directory(workshop.path(), "data");
        let url = format!("http://{}/disk.img", depot.address());
        let running = importer(workshop.path(), "http", &url).volume("/data", &data).start();
        assert!(wait_for(|| asked.load(SeqCst) == 2), "the import does not get on");
        let address: SocketAddr = ([127, 0, 0, 1], 8443).into();
        assert!(wait_for(|| TcpStream::connect(address).is_ok()), "nobody listens");
        let page = || curl(["-k", "--max-time", "5", "https://127.0.0.1:8443/metrics"]);
        let mut worst = Duration::ZERO;
        for kind in crowd::SEALED {
            let mut crowd = Crowd::gather(kind, address, MANY);
            for _ in 0..2 {
                crowd.go_on();
                worst = worst.max(answers(page, kind.name));
            }
        }
        let large = format!("X-Large: {}", "x".repeat(100 << 10));
        let refused = curl(["-k", "-H", &large, "https://127.0.0.1:8443/metrics"]);
        assert!(matches!(refused.status, 0 | 431), "{refused:?}");
        assert!(page().body.contains("kubevirt_cdi_import_progress_total"));
        let memory = child::peak(running.program().as_raw_nonzero().get());
        release.send(()).unwrap();
        running.finish().expect(0).tells("Import Complete");
        println!("{} MiB at most, {} ms for the page", memory >> 20, worst.as_millis());
        assert!(memory < MEMORY, "{memory} bytes");
        assert!(fs::read(data.join("disk.img")).unwrap().starts_with(&disk), "the disk differs");
    });
}
