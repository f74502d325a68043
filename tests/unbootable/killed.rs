//! `kill -9` at random moments, which are the same in every run of the tests.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Bench, PAUSE, Servers, State, Way};
use crate::common::upload::Receiver;
use crate::common::write_slowly;

/// Moments for each way.
const KILLS: u64 = 20;

/// Fractions of a run, from nothing to a little more than all.
fn moments(seed: u64, whole: Duration) -> impl Iterator<Item = Duration> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    // One in each of as many equal parts, somewhere in it.
    (0..KILLS).map(move |part| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let within = u32::try_from(state >> 40).unwrap();
        let thousandths = (part * 1000 + u64::from(within % 1000)) / KILLS;
        whole * u32::try_from(thousandths).unwrap() / 950
    })
}

/// Waits for the end of a run, or kills it after a while; whether it ended well.
type Ending = Box<dyn FnOnce(Option<Duration>) -> bool>;

/// Runs `start` to its end once, and kills it at each moment after; what the device held.
fn kill(bench: &Bench, seed: u64, start: impl Fn() -> Ending) -> Vec<State> {
    bench.reset();
    let began = Instant::now();
    assert!(start()(None), "the run that nobody kills");
    let whole = began.elapsed();
    assert_eq!(bench.state(), State::Complete);
    let mut states = Vec::new();
    for moment in moments(seed, whole) {
        bench.reset();
        let ended_well = start()(Some(moment));
        let state = bench.state();
        assert!(!ended_well || state == State::Complete, "{state:?} after a run that ended well");
        states.push(state);
    }
    states
}

fn kill_imports(way: Way) {
    let Some(bench) = Bench::new() else { return };
    let servers = Servers::new(&bench);
    let states = kill(&bench, way as u64 + 1, || {
        let running = bench.run(way, &servers).start();
        Box::new(move |moment| match moment {
            None => running.finish().expect(0).code == 0,
            Some(moment) => {
                thread::sleep(moment);
                running.kill()
            }
        })
    });
    println!("{way:?}: {states:?}");
    // A file is poured faster than moments can be hit.
    let hit = states.contains(&State::Blank) || way == Way::RangedFile;
    assert!(hit, "no kill came in the middle: {states:?}");
}

#[test]
fn a_killed_import_of_a_file_leaves_nothing_that_boots() {
    kill_imports(Way::RangedFile);
}

#[test]
fn a_killed_import_by_ranges_leaves_nothing_that_boots() {
    kill_imports(Way::RangedWeb);
}

#[test]
fn a_killed_import_in_one_pass_leaves_nothing_that_boots() {
    kill_imports(Way::ForwardWeb);
}

#[test]
fn a_killed_import_of_a_compressed_stream_leaves_nothing_that_boots() {
    kill_imports(Way::Gzip);
}

#[test]
fn a_killed_import_of_a_pipe_leaves_nothing_that_boots() {
    kill_imports(Way::Pipe);
}

#[test]
fn a_killed_import_from_a_registry_leaves_nothing_that_boots() {
    kill_imports(Way::Registry);
}

#[test]
fn a_killed_upload_server_leaves_nothing_that_boots() {
    let Some(bench) = Bench::new() else { return };
    let states = kill(&bench, 99, || {
        let receiver = Receiver::plain(&bench.device.path, &[]);
        let head = format!(
            "POST /v1beta1/upload HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n",
            bench.disk.len()
        );
        let (mut wire, disk) = (TcpStream::connect(receiver.address()).unwrap(), bench.disk.clone());
        let client = thread::spawn(move || {
            let sent = write_slowly(&mut wire, head.as_bytes(), Duration::ZERO);
            // A server that is killed hangs up.
            sent.and_then(|()| write_slowly(&mut wire, &disk, PAUSE)).ok();
            std::io::Read::read(&mut wire, &mut [0; 64]).ok();
        });
        Box::new(move |moment| {
            let well = match moment {
                None => receiver.finish()["format"] == "raw",
                Some(moment) => {
                    thread::sleep(moment);
                    receiver.end(Signal::KILL).0 == Some(0)
                }
            };
            client.join().unwrap();
            well
        })
    });
    println!("upload: {states:?}");
    assert!(states.contains(&State::Blank), "no kill came in the middle: {states:?}");
}
