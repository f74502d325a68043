//! The Job that `diskpour job` prints: what its pod runs is run here, in a pod made by its volumes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::apart::apart;
use crate::common::pod::{self, Pod};
use crate::common::run::{Outcome, diskpour};
use crate::common::server::{Ranges, Server};
use crate::common::{noise, workshop};

fn job(words: &[&str]) -> Outcome {
    diskpour().arg("job").args(words).run()
}

/// The pod of a Job that was printed.
fn spec(outcome: &Outcome) -> Value {
    outcome.expect(0);
    let job: Value = yaml_serde::from_str(&outcome.stdout).unwrap();
    job["spec"]["template"]["spec"].clone()
}

/// A pod with the container's command, and a directory of `dir` for each of its mounts.
fn pod_of(dir: &Path, spec: &Value) -> Pod {
    let container = &spec["containers"][0];
    let mut pod = Pod::new(dir);
    for mount in container["volumeMounts"].as_array().unwrap() {
        let volume = pod::directory(dir, mount["name"].as_str().unwrap());
        pod = pod.volume(mount["mountPath"].as_str().unwrap(), volume);
    }
    let args = container["args"].as_array().unwrap().iter();
    args.fold(pod, |pod, arg| pod.arg(&arg.as_str().unwrap().replace("$$", "$")))
}

#[test]
fn the_pod_of_a_job_finds_its_secrets_and_imports() {
    let workshop = workshop();
    let dir = workshop.path();
    let images = dir.join("images");
    fs::create_dir(&images).unwrap();
    let disk = noise(2 << 20, 5);
    fs::write(images.join("d$isk.img"), &disk).unwrap();
    apart(|| {
        let server = Server::start(&images, Ranges::Served);
        let source = server.url("d$isk.img");
        let words = [&source, "--pvc=vm", "--image=i", "--size=4Mi", "--scratch-size=1Gi"];
        let secrets = ["--password-secret=pw", "--header-secret=hd", "--ca-config-map=ca"];
        let spec = spec(&job(&[&words[..], &secrets].concat()));
        for (name, file, content) in
            [("password", "password", "s3cr3t\n"), ("headers", "headers", "X-Token: s3cr3t\n")]
        {
            let path = pod::directory(dir, name).join(file);
            fs::write(&path, content).unwrap();
            pod::own(&path);
        }
        pod::directory(dir, "certs");
        let ended = pod_of(dir, &spec).env("DISKPOUR_USERNAME", "me").run();
        ended.expect(0);
        assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
        let poured = fs::read(dir.join("target/disk.img")).unwrap();
        assert!(poured.len() == 4 << 20 && poured[..disk.len()] == disk, "the disk is another");
    });
}

#[test]
fn a_job_is_all_that_is_printed_and_a_query_is_warned_of() {
    let outcome = job(&["https://h/x", "--pvc=vm", "--image=i", "--namespace=ns"]);
    assert_eq!(
        (outcome.expect(0).stderr.as_str(), spec(&outcome)["restartPolicy"].as_str()),
        ("", Some("Never"))
    );
    assert!(outcome.stdout.starts_with("apiVersion: batch/v1\nkind: Job\n"), "{}", outcome.stdout);
    let outcome = job(&["https://h/x?sig=s3cr3t", "--pvc=vm", "--image=i"]);
    outcome.expect(0).says("warning: the URL's query is in the Job");
    assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
}

#[test]
fn what_makes_no_job_is_a_usage_error_and_prints_none() {
    for (words, reason) in [
        (&["https://u:s3cr3t@h/x", "--pvc=vm", "--image=i"][..], "--password-secret"),
        (&["https://h/x", "--pvc=vm", "--image=i", "--size=1000"], "the next is 1024"),
        (&["/images/x", "--pvc=vm", "--image=i"], "a pod finds only"),
        (&["https://h/x", "--pvc=vm"], "--image <IMAGE>"),
    ] {
        let outcome = job(words);
        outcome.expect(2).says(reason);
        assert_eq!(outcome.stdout, "");
        assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
    }
}

#[test]
fn settings_of_the_environment_are_in_the_job_too() {
    let run = diskpour().args(["job", "https://h/x", "--image=i"]);
    let outcome = run.env("DISKPOUR_PVC", "vm").env("DISKPOUR_FORCE", "yes").env("DISKPOUR_SIZE", "1G").run();
    let args = spec(&outcome)["containers"][0]["args"].clone();
    let expected =
        serde_json::json!(["import", "https://h/x", "/data/disk.img", "--resume", "--size=1G", "--force"]);
    assert_eq!(args, expected);
}
