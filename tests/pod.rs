//! The program as the containers of CDI's pods: the acceptance cases of the contract, by their numbers.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;

use crate::common::apart::apart;
use crate::common::pod::{self, Pod};
use crate::common::workshop;

#[test]
fn a_pod_has_what_it_is_given_and_nothing_else() {
    let workshop = workshop();
    let dir = workshop.path();
    apart(|| {
        let data = pod::memory(dir, "data", 1 << 20);
        // No variable says what to do, so that the program prints how it is used.
        let ended = Pod::new(dir).volume("/data", &data).arg("--no-such-flag").run();
        ended.expect(2);
        assert_eq!(ended.message, "");
        assert_eq!(fs::metadata(&data).unwrap().uid(), pod::USER);
    });
}

#[test]
fn a_signal_reaches_the_first_process_of_a_pod() {
    let workshop = workshop();
    let dir = workshop.path();
    apart(|| {
        // Nothing listens there; what waits for a port does not end by itself.
        let running = Pod::new(dir).arg("import").arg("-").arg("/data/disk.img");
        let data = pod::directory(dir, "data");
        let running = running.volume("/data", data).start();
        running.signal(Signal::KILL);
        assert!(running.finish().code != 0);
    });
}
