//! 9.A: what a pod shows while it runs, and how it is stopped.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Case::Always;
use super::Row;
use super::bench::{Bench, ODD, is_complete};
use super::web::GROWN;
use crate::common::wait_for;

pub(super) const ROWS: &[Row] =
    &[("A31", "progress over HTTPS", Always(a31)), ("A42", "SIGTERM to process 1", Always(a42))];

/// The page of the metrics, if anybody serves it.
pub(super) fn page(path: &str) -> Option<String> {
    let url = format!("https://127.0.0.1:8443/{path}");
    let mut curl = std::process::Command::new("curl");
    let output = curl.args(["-sk", "--max-time", "2", &url]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The percentage of the one line that the controller's pattern finds.
pub(super) fn percent(page: &str) -> f64 {
    let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let prefix = "kubevirt_cdi_import_progress_total{ownerUID=\"2f1c-uid\"} ";
    let number = lines.first().and_then(|line| line.strip_prefix(prefix)).unwrap_or_else(|| panic!("{page}"));
    assert_eq!(lines.len(), 1, "{page}");
    let plain = number.split_once('.').is_some_and(|(whole, part)| {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        (1..=3).contains(&whole.len()) && digits(whole) && digits(part)
    });
    assert!(plain, "{number}");
    number.parse().unwrap()
}

fn a31(bench: &Bench) -> String {
    let mut seen = Vec::new();
    for name in ["slow/disk.qcow2", "slow/disk.qcow2.gz", "ranged/disk.qcow2", "slow/disk.img.xz"] {
        let volumes = bench.volumes();
        let pod = volumes.http(&bench.nginx.url(ODD, name));
        let mut values = Vec::new();
        let ended = thread::scope(|scope| {
            let run = scope.spawn(|| pod.run());
            while !run.is_finished() {
                values.extend(page("metrics").map(|page| percent(&page)));
                values.extend(page("").map(|page| percent(&page)));
            }
            run.join().unwrap()
        });
        is_complete(&ended, false);
        volumes.holds(&bench.raw, GROWN);
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "{name}: {values:?}");
        let between: Vec<f64> = values.iter().copied().filter(|value| (1.0..99.5).contains(value)).collect();
        assert!(between.len() >= 2, "{name}: {values:?}");
        seen.push(format!("{name} {} to {}", between[0], between[between.len() - 1]));
    }
    format!("values that only rise: {}", seen.join(", "))
}

fn a42(bench: &Bench) -> String {
    let volumes = bench.volumes();
    let running = volumes.http(&bench.nginx.url(ODD, "slow/disk.img")).start();
    running.program();
    let is_pouring = || volumes.names().iter().any(|name| name == "disk.img");
    assert!(wait_for(is_pouring), "nothing is poured");
    let start = Instant::now();
    running.signal(Signal::TERM);
    let ended = running.finish();
    let took = start.elapsed();
    ended.expect(143);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!ended.message.contains("Complete"), "{}", ended.message);
    volumes.is_empty();
    format!("exit {} after {} ms, message {:?}, nothing left", ended.code, took.as_millis(), ended.message)
}
