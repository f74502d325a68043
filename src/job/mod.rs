//! A Kubernetes Job that imports into a volume claim, without CDI: the command that its pod runs, and
//! the Job around it as YAML.
//!
//! Refuses to know: clusters; nothing is sent anywhere. Secrets are names here, and files in the pod.

mod manifest;

use crate::config::{self, ClaimMode, ContentType, JobConfig, Scratch};
use crate::error::{Error, Kind};

/// Where a claim with a file system is mounted.
const DATA: &str = "/data";
/// Where a claim that is a block device appears.
const DEVICE: &str = "/dev/diskpour";
/// Where bytes may wait.
const SCRATCH: &str = "/scratch";
/// Where certificates are.
const CERTS: &str = "/certs";
/// Where the secret with the password is.
const PASSWORD: &str = "/secrets/password";
/// Where the secret with headers is.
const HEADERS: &str = "/secrets/headers";
/// Where the secret for registries is.
const AUTH: &str = "/secrets/auth";

/// Has a pod go on where another one was killed.
const RESUME: &str = "--resume";

/// The Job that `config` describes, as YAML.
///
/// # Errors
/// [`Kind::Usage`] where the command of the pod would be refused.
pub fn to_yaml(config: &JobConfig) -> Result<String, Error> {
    let words = words(config);
    // What the pod would refuse is refused here, by the same parser.
    let argv = std::iter::once("diskpour").chain(words.iter().map(String::as_str));
    config::parse(argv.map(Into::into))?;
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&manifest::job(config, &words), options)
        .map_err(|cause| Error::new(Kind::Other, cause))
}

/// What the user should know of the Job.
#[must_use]
pub fn warnings(config: &JobConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.source.contains('?') {
        let text = "the URL's query is in the Job for all to read who may read Jobs";
        warnings.push(text.to_owned());
    }
    warnings
}

/// The arguments of the program in the pod.
fn words(config: &JobConfig) -> Vec<String> {
    let target = match (config.volume_mode, config.content_type) {
        (ClaimMode::Block, _) => DEVICE.to_owned(),
        (ClaimMode::Filesystem, ContentType::Kubevirt) => format!("{DATA}/disk.img"),
        (ClaimMode::Filesystem, ContentType::Archive) => DATA.to_owned(),
    };
    let secrets = &config.secrets;
    let found = |name: &Option<String>, word: String| name.as_ref().map(|_| word);
    let mut words = vec!["import".to_owned(), config.source.to_string(), target];
    words.extend(
        [
            secrets.username.as_ref().map(|user| format!("--username={user}")),
            found(&secrets.password, format!("--password-file={PASSWORD}/password")),
            found(&secrets.headers, format!("--header-file={HEADERS}/headers")),
            found(&secrets.auth, format!("--auth-file={AUTH}/.dockerconfigjson")),
            found(&secrets.ca, format!("--ca-cert={CERTS}")),
            config.scratch.as_ref().map(|_: &Scratch| format!("--scratch-dir={SCRATCH}")),
            resumes(config).then(|| RESUME.to_owned()),
        ]
        .into_iter()
        .flatten(),
    );
    words.extend(config.options.iter().cloned());
    words
}

/// Whether a pod finds the journal of the one before it.
fn resumes(config: &JobConfig) -> bool {
    let journal =
        config.volume_mode == ClaimMode::Filesystem || matches!(config.scratch, Some(Scratch::Claim(_)));
    let asked = config.options.iter().any(|word| word == RESUME);
    config.content_type == ContentType::Kubevirt && journal && !asked
}

#[cfg(test)]
mod tests;
