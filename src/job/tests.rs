//! Jobs, read back by another reader of YAML than the writer's.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::to_yaml;
use crate::config::{self, Command, ImportConfig, JobConfig, Parsed};
use crate::source::{Secret, Verification};

fn parsed(argv: impl IntoIterator<Item = String>) -> Command {
    match config::parse(argv.into_iter().map(Into::into)).unwrap() {
        Parsed::Run(config) => config.command,
        Parsed::Say(text) => panic!("{text}"),
    }
}

/// What `diskpour job` is asked; a word each, so that values may have blanks.
fn asked(words: &[&str]) -> JobConfig {
    let words =
        ["diskpour", "job", "--image", "registry.example/diskpour:1", "--pvc", "claim"].iter().chain(words);
    match parsed(words.map(|word| (*word).to_owned())) {
        Command::Job(config) => *config,
        other => panic!("{other:?}"),
    }
}

fn value(words: &[&str]) -> Value {
    let yaml = to_yaml(&asked(words)).unwrap();
    yaml_serde::from_str(&yaml).unwrap_or_else(|error| panic!("{error} in\n{yaml}"))
}

fn pod(words: &[&str]) -> PodSpec {
    let job: Job = serde_json::from_value(value(words)).unwrap();
    job.spec.unwrap().template.spec.unwrap()
}

fn container(words: &[&str]) -> Container {
    let mut containers = pod(words).containers;
    assert_eq!(containers.len(), 1);
    containers.remove(0)
}

/// The import that the pod runs, as our own parser understands its command.
fn import(words: &[&str]) -> ImportConfig {
    let container = container(words);
    let argv = container.command.unwrap().into_iter().chain(container.args.unwrap());
    // As Kubernetes does where no variable is named.
    match parsed(argv.map(|word| word.replace("$$", "$"))) {
        Command::Import(config) => config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_pod_may_do_no_more_than_it_needs() {
    let expected = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "import-claim", "labels": { "app.kubernetes.io/name": "diskpour" } },
        "spec": {
            "backoffLimit": 3,
            "podFailurePolicy": { "rules": [{
                "action": "FailJob",
                "onExitCodes": { "containerName": "import", "operator": "In", "values": [2, 4, 6, 7, 42] },
            }]},
            "template": {
                "metadata": { "labels": { "app.kubernetes.io/name": "diskpour" } },
                "spec": {
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "restartPolicy": "Never",
                    "securityContext": {
                        "fsGroup": 107, "fsGroupChangePolicy": "OnRootMismatch",
                        "runAsUser": 107, "runAsGroup": 107, "runAsNonRoot": true,
                        "seccompProfile": { "type": "RuntimeDefault" },
                    },
                    "containers": [{
                        "name": "import",
                        "image": "registry.example/diskpour:1",
                        "command": ["/usr/bin/diskpour"],
                        "args": ["import", "https://h/x", "/data/disk.img", "--resume"],
                        "resources": {
                            "limits": { "cpu": "750m", "memory": "600M" },
                            "requests": { "cpu": "100m", "memory": "60M" },
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": false, "privileged": false,
                            "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
                        },
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "volumeMounts": [{ "mountPath": "/data", "name": "target" }],
                    }],
                    "volumes": [
                        { "name": "target", "persistentVolumeClaim": { "claimName": "claim" } },
                    ],
                },
            },
        },
    });
    assert_eq!(value(&["https://h/x"]), expected);
}

#[test]
fn a_block_claim_is_a_device_and_no_mount() {
    let words = ["https://h/x", "--volume-mode", "block"];
    let container = container(&words);
    let devices = container.volume_devices.unwrap();
    assert_eq!((devices.len(), devices[0].device_path.as_str()), (1, "/dev/diskpour"));
    assert!(container.volume_mounts.is_none());
    assert_eq!(import(&words).target.to_str(), Some("/dev/diskpour"));
}

#[test]
fn a_pod_goes_on_where_the_one_before_it_was_killed() {
    let on = |words: &[&str]| import(words).resume == config::Resume::On;
    assert!(on(&["https://h/x"]) && on(&["https://h/x", "--resume"]));
    assert!(on(&["https://h/x", "--volume-mode", "block", "--scratch-pvc", "s"]));
    assert!(!on(&["https://h/x", "--volume-mode", "block", "--scratch-size", "1G"]));
    assert!(!on(&["https://h/x", "--content-type", "archive"]));
}

#[test]
fn an_archive_goes_into_the_directory() {
    let import = import(&["https://h/x.tar", "--content-type", "archive"]);
    assert_eq!(import.target.to_str(), Some("/data"));
    assert_eq!(import.content_type, config::ContentType::Archive);
}

#[test]
fn secrets_are_files_and_only_their_names_are_in_the_job() {
    let words = [
        "docker://h/a:1",
        "--password-secret=pw",
        "--header-secret=hd",
        "--auth-secret=au",
        "--ca-config-map=ca",
        "--scratch-pvc=sc",
    ];
    let (pod, container, import) = (pod(&words), container(&words), import(&words));
    let volumes = serde_json::to_value(pod.volumes.unwrap()).unwrap();
    assert_eq!(
        volumes,
        json!([
            { "name": "target", "persistentVolumeClaim": { "claimName": "claim" } },
            { "name": "scratch", "persistentVolumeClaim": { "claimName": "sc" } },
            { "name": "password", "secret": { "secretName": "pw", "defaultMode": 0o440 } },
            { "name": "headers", "secret": { "secretName": "hd", "defaultMode": 0o440 } },
            { "name": "auth", "secret": { "secretName": "au", "defaultMode": 0o440 } },
            { "name": "certs", "configMap": { "name": "ca" } },
        ])
    );
    // Every path that the command names lies in a volume.
    let mounts = container.volume_mounts.unwrap();
    let within = |path: &std::path::Path, name: &str| {
        mounts.iter().any(|mount| mount.name == name && path.starts_with(&mount.mount_path))
    };
    let network = &import.network;
    assert!(within(network.password_file.as_ref().unwrap(), "password"));
    assert!(within(&network.header_files[0], "headers"));
    assert!(within(network.registry.auth_file.as_ref().unwrap(), "auth"));
    assert!(within(&network.ca_certs[0], "certs"));
    assert!(within(import.scratch_dir.as_ref().unwrap(), "scratch"));
    let written = mounts.iter().filter(|mount| mount.read_only != Some(true));
    assert_eq!(written.map(|mount| mount.name.as_str()).collect::<Vec<_>>(), ["target", "scratch"]);
    let user = serde_json::to_value(container.env.unwrap()).unwrap();
    let reference = json!({ "name": "pw", "key": "username", "optional": true });
    assert_eq!(user, json!([{ "name": "DISKPOUR_USERNAME", "valueFrom": { "secretKeyRef": reference } }]));
}

#[test]
fn a_user_that_is_said_is_an_argument() {
    let words = ["http://h/x", "--password-secret=pw", "--username=me"];
    assert!(container(&words).env.is_none());
    assert_eq!(import(&words).network.username.as_deref(), Some("me"));
}

#[test]
fn the_command_is_what_was_asked_whatever_yaml_and_kubernetes_make_of_signs() {
    let words = [
        "https://h/$(HOME)/$$/x?a=b&c=$d: #e",
        "--header",
        "X: on, $(PATH) 'quoted' \"twice\" ÄÖ # no comment and some eighty more characters, so that it may be folded",
        "--header=Y: \u{1f600}\u{85}\u{2028}",
        "--insecure",
        "--size=20G",
        "--format=qcow2",
        "--idle-timeout=90s",
    ];
    let import = import(&words);
    assert_eq!(&*import.source, words[0]);
    let headers: Vec<&str> = import.network.headers.iter().map(Secret::reveal).collect();
    assert_eq!(headers, [words[2], "Y: \u{1f600}\u{85}\u{2028}"]);
    assert_eq!((import.size, import.format), (Some(20 << 30), config::FormatChoice::Qcow2));
    assert_eq!(import.network.verification, Verification::Insecure);
    assert_eq!(import.idle_timeout.as_secs(), 90);
}

#[test]
fn names_that_look_like_numbers_and_truths_stay_names() {
    for name in ["no", "on", "y", "null", "1e3", "0x1f", "017", "12", "1.5", "0o7", "2001-01-01", "e"] {
        let value = value(&["https://h/x", "--namespace", &name.replace('.', "-"), "--scratch-pvc", name]);
        let volumes = &value["spec"]["template"]["spec"]["volumes"];
        assert_eq!(volumes[1]["persistentVolumeClaim"]["claimName"], json!(name));
        assert_eq!(value["metadata"]["namespace"], json!(name.replace('.', "-")));
        let yaml = to_yaml(&asked(&["https://h/x", "--name", &name.replace('.', "-")])).unwrap();
        let line = yaml.lines().find(|line| line.starts_with("  name: ")).unwrap();
        // kubectl's reader knows more spellings of truth than the one above.
        assert!(name == "e" || name.contains('.') || line.contains(['"', '\'']), "{line}");
    }
}

#[test]
fn what_the_pod_would_refuse_is_refused_before() {
    for (words, reason) in [
        (&["https://h/x", "--size=1000"][..], "the next is 1024"),
        (&["https://h/x", "--idle-timeout=0s"], "would end every import at once"),
        (&["https://h/x", "--content-type=archive", "--verify"], "--verify concerns disk images"),
    ] {
        let error = to_yaml(&asked(words)).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Usage);
        assert!(error.to_string().contains(reason), "{error}");
    }
}
