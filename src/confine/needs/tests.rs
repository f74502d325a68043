//! The table: a command line, and the places of its run.

use super::*;
use crate::config::{self, Parsed};

fn parsed(line: &str) -> Config {
    match config::parse(format!("diskpour {line}").split_whitespace().map(Into::into)).unwrap() {
        // The variables of the machine under the tests are none of theirs.
        Parsed::Run(config) => Config { system_certificates: Vec::new(), ..*config },
        Parsed::Say(text) => panic!("{text}"),
    }
}

/// The places of a command line that are not every run's, each with its right.
fn places(line: &str) -> Vec<String> {
    let common = |path: &str| SYSTEM.contains(&path) || path == RESOLVER || path == ITSELF;
    let word = |place: &Place| format!("{:?} {}", place.right, place.path.display());
    let needs = needs(&parsed(line));
    needs.places.iter().filter(|place| !common(place.path.to_str().unwrap())).map(word).collect()
}

#[test]
fn a_run_needs_what_its_options_name_and_no_more() {
    for (line, wanted) in [
        ("import - disk.img", &["Target disk.img"][..]),
        ("import a.qcow2 /dev/vdb --scratch-dir /s", &["Read a.qcow2", "Target /dev/vdb", "Files /s"]),
        ("import file:///x/a.qcow2 b", &["Read /x/a.qcow2", "Target b"]),
        ("import oci:/layout:tag b", &["Read /layout", "Target b"]),
        ("import a.tar dir --content-type archive", &["Read a.tar", "Tree dir"]),
        (
            "import https://h/x b --username u --password-file /pw --header-file /h --ca-cert /ca \
             --proxy-ca-cert /pca",
            &["Read /pw", "Read /h", "Links /ca", "Links /pca", "Target b"],
        ),
        ("import docker://h/x b --auth-file /auth", &["Read /auth", "Target b"]),
        // Files that only a network needs are not read without one.
        ("import a b --auth-file /auth", &["Read a", "Target b"]),
        ("inspect a", &["Read a"]),
        ("inspect -", &[]),
        ("matrix", &[]),
        ("man", &[]),
        ("job http://h/x --pvc a --image i", &[]),
        (
            "upload-server t --tls-cert /c --tls-key /k --client-ca /ca --scratch-dir /s",
            &["Read /c", "Read /k", "Read /ca", "Target t", "Files /s"],
        ),
        ("upload-server t --insecure-plain-http", &["Target t"]),
    ] {
        assert_eq!(places(line), wanted, "{line}");
    }
}

#[test]
fn only_who_speaks_over_the_network_reaches_it() {
    let net = |line: &str| {
        let needs = needs(&parsed(line));
        (needs.connects, needs.listens)
    };
    for line in ["import a b", "import - b", "inspect a", "matrix", "import oci:a b"] {
        assert_eq!(net(line), (false, false), "{line}");
        let resolves = |place: &Place| place.path == Path::new(RESOLVER);
        assert!(!needs(&parsed(line)).places.iter().any(resolves), "{line}");
    }
    assert_eq!(net("import http://h/x b"), (true, false));
    assert_eq!(net("upload-server t --insecure-plain-http"), (false, true));
}

#[test]
fn small_programs_of_pods_need_what_their_flags_name() {
    let tells = "Tell /dev/termination-log";
    assert_eq!(places("image-size-detection -image-path /data/disk.img"), [tells, "Read /data/disk.img"]);
    assert_eq!(
        places("containerimage-server -image-dir /disk -ready-file /shared/ready -done-file /shared/done"),
        [tells, "Read /disk", "Files /shared", "Files /shared"]
    );
    // What makes no sense is said, and no more is done.
    assert_eq!(places("image-size-detection"), [tells]);
}
