//! `diskpour job`: what its options mean.
//!
//! Refuses to know: how a Job looks. Secrets are named here and never held.

mod options;
mod passed;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::choices::ContentType;
use super::meaning::Misuse;
use crate::format::quantity;
use crate::source::Locator;
use options::ResourceArgs;

pub(super) use options::JobArgs;

/// The most characters of a Job's name, which is a label of its pods.
const LABEL: usize = 63;

/// The most characters of other names.
const SUBDOMAIN: usize = 253;

/// How a volume appears in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimMode {
    /// As a directory.
    Filesystem,
    /// As a block device.
    Block,
}

impl ValueEnum for ClaimMode {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Filesystem, Self::Block]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Filesystem => "filesystem",
            Self::Block => "block",
        }))
    }
}

/// A Job, as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobConfig {
    /// Its name.
    pub name: String,
    /// Its namespace, where it is said.
    pub namespace: Option<String>,
    /// The container image.
    pub image: String,
    /// The claim that takes the disk.
    pub pvc: String,
    /// How the claim appears.
    pub volume_mode: ClaimMode,
    /// Where bytes may wait.
    pub scratch: Option<Scratch>,
    /// What it may use of the node.
    pub resources: JobResources,
    /// How often a pod that failed is replaced.
    pub backoff_limit: u16,
    /// What the pod finds of secrets.
    pub secrets: JobSecrets,
    /// Where the image is.
    pub source: Locator,
    /// What the source holds.
    pub content_type: ContentType,
    /// The other options of the import, as words of a command line.
    pub options: Vec<String>,
}

/// What a Job may use of its node, in Kubernetes quantities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobResources {
    /// Processor time that is set aside.
    pub cpu_request: String,
    /// The most processor time.
    pub cpu_limit: String,
    /// Memory that is set aside.
    pub memory_request: String,
    /// The most memory.
    pub memory_limit: String,
}

/// Where the bytes of a Job may wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scratch {
    /// In a claim of this name.
    Claim(String),
    /// On the node's disk, up to this Kubernetes quantity.
    Node(String),
}

/// Names of secrets and of what is beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSecrets {
    /// The user, where it is said.
    pub username: Option<String>,
    /// The secret with the password.
    pub password: Option<String>,
    /// The secret with headers.
    pub headers: Option<String>,
    /// The secret with the passwords of registries.
    pub auth: Option<String>,
    /// The config map with certificates.
    pub ca: Option<String>,
}

/// Options of a Job that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JobMisuse {
    #[error("a pod finds only http://, https:// and docker:// sources")]
    Source,
    #[error(
        "a password in the URL would be in the Job for all to read; give the user with --username and \
         the name of a Secret with --password-secret"
    )]
    Password,
    #[error(
        "--{option} {value:?} is no name in Kubernetes: small letters, digits, - and . within, at most {most}"
    )]
    Name { option: &'static str, value: String, most: usize },
    #[error("--{option} {value:?}: {why}")]
    Quantity { option: &'static str, value: String, why: quantity::QuantityError },
    #[error("--{option} 0 leaves nothing")]
    Nothing { option: &'static str },
    #[error("--image {0:?} is no name of a container image")]
    Image(String),
    #[error("an archive is unpacked into a file system; --volume-mode block has none")]
    ArchiveOnBlock,
}

/// What `args` mean.
pub(super) fn meaning(args: JobArgs) -> Result<JobConfig, Misuse> {
    let place = args.place;
    check_source(&args.source)?;
    if place.image.is_empty() || place.image.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(JobMisuse::Image(place.image).into());
    }
    if args.passed.content_type == ContentType::Archive && place.volume_mode == ClaimMode::Block {
        return Err(JobMisuse::ArchiveOnBlock.into());
    }
    let name = place.name.unwrap_or_else(|| default_name(&place.pvc));
    for (option, value, most) in [
        ("pvc", Some(&place.pvc), SUBDOMAIN),
        ("name", Some(&name), LABEL),
        ("namespace", place.namespace.as_ref(), LABEL),
        ("scratch-pvc", args.scratch_pvc.as_ref(), SUBDOMAIN),
        ("password-secret", args.secrets.password_secret.as_ref(), SUBDOMAIN),
        ("header-secret", args.secrets.header_secret.as_ref(), SUBDOMAIN),
        ("auth-secret", args.secrets.auth_secret.as_ref(), SUBDOMAIN),
        ("ca-config-map", args.secrets.ca_config_map.as_ref(), SUBDOMAIN),
    ] {
        if let Some(value) = value.filter(|value| !is_name(value, most)) {
            return Err(JobMisuse::Name { option, value: value.clone(), most }.into());
        }
    }
    let resources = resources(args.resources)?;
    args.scratch_size.iter().try_for_each(|size| check_quantity("scratch-size", size))?;
    let scratch = args.scratch_pvc.map(Scratch::Claim).or(args.scratch_size.map(Scratch::Node));
    Ok(JobConfig {
        name,
        namespace: place.namespace,
        image: place.image,
        pvc: place.pvc,
        volume_mode: place.volume_mode,
        scratch,
        resources,
        backoff_limit: place.backoff_limit,
        secrets: JobSecrets {
            username: args.secrets.username,
            password: args.secrets.password_secret,
            headers: args.secrets.header_secret,
            auth: args.secrets.auth_secret,
            ca: args.secrets.ca_config_map,
        },
        source: args.source,
        content_type: args.passed.content_type,
        options: args.passed.words,
    })
}

fn check_source(source: &str) -> Result<(), JobMisuse> {
    let (scheme, rest) = source.split_once("://").ok_or(JobMisuse::Source)?;
    let scheme = scheme.to_ascii_lowercase();
    if !["http", "https", "docker"].contains(&scheme.as_str()) {
        return Err(JobMisuse::Source);
    }
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // In a reference to a registry an @ comes before a digest, which has no slash.
    let signed = match scheme.as_str() {
        "docker" => rest.split_once('@').is_some_and(|(_, behind)| behind.contains('/')),
        _ => authority.contains('@'),
    };
    if signed { Err(JobMisuse::Password) } else { Ok(()) }
}

/// `import-` and the claim's name, as far as a name may be long.
fn default_name(pvc: &str) -> String {
    let mut name = format!("import-{pvc}").replace('.', "-");
    name.truncate(name.floor_char_boundary(LABEL));
    name.trim_end_matches('-').to_owned()
}

/// Whether `text` is a name by RFC 1123, as Kubernetes reads it.
fn is_name(text: &str, most: usize) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(legal) && !label.starts_with('-') && !label.ends_with('-')
    };
    // What may be a label of a pod is one word.
    let words = if most == LABEL { !text.contains('.') } else { true };
    text.len() <= most && words && text.split('.').all(label)
}

fn resources(args: ResourceArgs) -> Result<JobResources, JobMisuse> {
    check_quantity("cpu-request", &args.cpu_request)?;
    check_quantity("cpu-limit", &args.cpu_limit)?;
    check_quantity("memory-request", &args.memory_request)?;
    check_quantity("memory-limit", &args.memory_limit)?;
    Ok(JobResources {
        cpu_request: args.cpu_request,
        cpu_limit: args.cpu_limit,
        memory_request: args.memory_request,
        memory_limit: args.memory_limit,
    })
}

fn check_quantity(option: &'static str, value: &str) -> Result<(), JobMisuse> {
    let failed = |why| JobMisuse::Quantity { option, value: value.to_owned(), why };
    match quantity::parse(value).map_err(failed)? {
        0 => Err(JobMisuse::Nothing { option }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Parsed, parse};
    use super::*;

    fn said(line: &str) -> Result<JobConfig, String> {
        let argv = format!("diskpour job {line}");
        match parse(argv.split_whitespace().map(Into::into)) {
            Ok(Parsed::Run(config)) => match config.command {
                Command::Job(config) => Ok(*config),
                other => panic!("{other:?}"),
            },
            Ok(Parsed::Say(text)) => panic!("{text}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_options_of_an_import_are_handed_on_as_they_were_given() {
        let config = said(
            "https://h/x --pvc a.b --image i --size 20G --force --header A:1 --header B:2 --insecure \
             --format qcow2 --username me",
        )
        .unwrap();
        let options =
            ["--format=qcow2", "--header=A:1", "--header=B:2", "--insecure", "--size=20G", "--force"];
        assert_eq!(config.options, options);
        assert_eq!((config.name.as_str(), &*config.source), ("import-a-b", "https://h/x"));
        assert_eq!(config.secrets.username.as_deref(), Some("me"));
        assert_eq!(said("http://h/x --pvc a --image i").unwrap().options, [""; 0]);
    }

    #[test]
    fn what_no_cluster_would_take_is_refused_with_words() {
        let long = "x".repeat(64);
        for (line, words) in [
            ("http://h/x", "--pvc <NAME> --image <IMAGE>"),
            ("disk.img --pvc a --image i", "a pod finds only"),
            ("- --pvc a --image i", "a pod finds only"),
            ("oci-archive:x --pvc a --image i", "a pod finds only"),
            ("http://u:s3cr3t@h/x --pvc a --image i", "--password-secret"),
            ("docker://u:s3cr3t@h/x --pvc a --image i", "--password-secret"),
            ("http://h/x --pvc A --image i", "--pvc \"A\" is no name"),
            ("http://h/x --pvc a..b --image i", "is no name"),
            ("http://h/x --pvc a --image i --auth-secret -a", "unexpected argument"),
            ("http://h/x --pvc a --image i --auth-secret=-a", "--auth-secret \"-a\" is no name"),
            ("http://h/x --pvc a --image i --namespace a.b", "--namespace \"a.b\" is no name"),
            (&format!("http://h/x --pvc a --image i --name {long}"), "at most 63"),
            ("http://h/x --pvc a --image i --cpu-limit 1x", "--cpu-limit \"1x\": expected"),
            ("http://h/x --pvc a --image i --scratch-size 0", "--scratch-size 0 leaves nothing"),
            ("http://h/x --pvc a --image i --scratch-size 1G --scratch-pvc b", "cannot be used with"),
            ("http://h/x --pvc a --image i --volume-mode block --content-type archive", "an archive"),
            ("http://h/x --pvc a --image i --password-file x", "unexpected argument '--password-file'"),
        ] {
            let error = said(line).unwrap_err();
            assert!(error.contains(words) && !error.contains("s3cr3t"), "{line}: {error}");
        }
        let long = said(&format!("docker://h/a@sha256:0 --image i --pvc {long}")).unwrap();
        assert_eq!(long.name.len(), 63);
    }
}
