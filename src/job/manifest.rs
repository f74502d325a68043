//! The Job as Kubernetes' own types. A pod that may do as little as CDI's: user 107, no privileges,
//! nothing of its root file system to write to.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SeccompProfile, SecretKeySelector, SecretVolumeSource, SecurityContext, Volume, VolumeDevice,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{AUTH, CERTS, DATA, DEVICE, HEADERS, PASSWORD, SCRATCH};
use crate::config::{ClaimMode, JobConfig, Scratch};
use crate::error::Kind;

/// The user and group of CDI's and KubeVirt's pods, so that a virtual machine finds its disk its own.
const USER: i64 = 107;

/// The program in the container image.
const PROGRAM: &str = "/usr/bin/diskpour";

/// The container's name.
const CONTAINER: &str = "import";

/// Failures that the same import in another pod would meet again.
const HOPELESS: [Kind; 5] =
    [Kind::Usage, Kind::Refused, Kind::Image, Kind::TargetFull, Kind::ScratchRequired];

/// The Job whose pod runs the program with `words`.
pub(super) fn job(config: &JobConfig, words: &[String]) -> Job {
    let labels = BTreeMap::from([("app.kubernetes.io/name".to_owned(), "diskpour".to_owned())]);
    Job {
        metadata: ObjectMeta {
            name: Some(config.name.clone()),
            namespace: config.namespace.clone(),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(config.backoff_limit.into()),
            pod_failure_policy: Some(failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
                spec: Some(pod(config, words)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// That nothing is tried again which cannot help.
fn failure_policy() -> PodFailurePolicy {
    let mut values: Vec<i32> = HOPELESS.iter().map(|kind| kind.verdict().exit_code.into()).collect();
    values.sort_unstable();
    let on_exit_codes = PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(CONTAINER.to_owned()),
        operator: "In".to_owned(),
        values,
    };
    let rule = PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(on_exit_codes),
        ..PodFailurePolicyRule::default()
    };
    PodFailurePolicy { rules: vec![rule] }
}

fn pod(config: &JobConfig, words: &[String]) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        // Each try leaves its log; a failure policy asks for it, too.
        restart_policy: Some("Never".to_owned()),
        security_context: Some(PodSecurityContext {
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(config, words)],
        volumes: Some(volumes(config)),
        ..PodSpec::default()
    }
}

fn container(config: &JobConfig, words: &[String]) -> Container {
    let block = config.volume_mode == ClaimMode::Block;
    let device = VolumeDevice { name: "target".to_owned(), device_path: DEVICE.to_owned() };
    let mounts = mounts(config);
    Container {
        name: CONTAINER.to_owned(),
        image: Some(config.image.clone()),
        command: Some(vec![PROGRAM.to_owned()]),
        // Kubernetes would put variables in place of $(NAME).
        args: Some(words.iter().map(|word| word.replace('$', "$$")).collect()),
        env: username(config).map(|variable| vec![variable]),
        resources: Some(resources(config)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_devices: block.then(|| vec![device]),
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        ..Container::default()
    }
}

/// The user that stands beside the password in its secret, unless one is said.
fn username(config: &JobConfig) -> Option<EnvVar> {
    let secret = config.secrets.password.as_ref().filter(|_| config.secrets.username.is_none())?;
    let selector =
        SecretKeySelector { key: "username".to_owned(), name: secret.clone(), optional: Some(true) };
    let source = EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() };
    Some(EnvVar { name: "DISKPOUR_USERNAME".to_owned(), value: None, value_from: Some(source) })
}

fn resources(config: &JobConfig) -> ResourceRequirements {
    let amounts = |cpu: &str, memory: &str| {
        let pairs = [("cpu", cpu), ("memory", memory)];
        BTreeMap::from(pairs.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))))
    };
    let said = &config.resources;
    ResourceRequirements {
        claims: None,
        limits: Some(amounts(&said.cpu_limit, &said.memory_limit)),
        requests: Some(amounts(&said.cpu_request, &said.memory_request)),
    }
}

/// What is in the pod beside a block device, by the names of the volumes.
fn mounts(config: &JobConfig) -> Vec<VolumeMount> {
    let secrets = &config.secrets;
    let written = [
        ("target", DATA, config.volume_mode == ClaimMode::Filesystem),
        ("scratch", SCRATCH, config.scratch.is_some()),
    ];
    let read = [
        ("password", PASSWORD, secrets.password.is_some()),
        ("headers", HEADERS, secrets.headers.is_some()),
        ("auth", AUTH, secrets.auth.is_some()),
        ("certs", CERTS, secrets.ca.is_some()),
    ];
    let mount = |name: &str, path: &str, read_only: Option<bool>| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let written = written.iter().filter(|row| row.2).map(|row| mount(row.0, row.1, None));
    let read = read.iter().filter(|row| row.2).map(|row| mount(row.0, row.1, Some(true)));
    written.chain(read).collect()
}

fn volumes(config: &JobConfig) -> Vec<Volume> {
    let secrets = &config.secrets;
    let mut volumes = vec![claim("target", &config.pvc)];
    volumes.extend(config.scratch.as_ref().map(|scratch| match scratch {
        Scratch::Claim(name) => claim("scratch", name),
        Scratch::Node(size) => Volume {
            name: "scratch".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity(size.clone())) }),
            ..Volume::default()
        },
    }));
    for (name, found) in
        [("password", &secrets.password), ("headers", &secrets.headers), ("auth", &secrets.auth)]
    {
        volumes.extend(found.as_ref().map(|found| secret(name, found)));
    }
    volumes.extend(secrets.ca.as_ref().map(|found| Volume {
        name: "certs".to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: found.clone(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }));
    volumes
}

fn claim(name: &str, claim: &str) -> Volume {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim.to_owned(), read_only: None };
    Volume { name: name.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }
}

/// A secret that only the pod's group may read.
fn secret(name: &str, secret: &str) -> Volume {
    let source = SecretVolumeSource {
        default_mode: Some(0o440),
        secret_name: Some(secret.to_owned()),
        ..SecretVolumeSource::default()
    };
    Volume { name: name.to_owned(), secret: Some(source), ..Volume::default() }
}
