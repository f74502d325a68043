//! The options of `diskpour job` as given. Doc comments here are what `--help` prints.

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::{Parser, value_parser};

use super::ClaimMode;
use super::passed::Passed;
use crate::config::args::{ENVIRONMENT, WAIT};
use crate::source::Locator;

const KUBERNETES: &str = "Job";
const SECRETS: &str = "Secrets and certificates, by name";

const EXAMPLES: &str = "\
Examples:
  Import a cloud image into the claim vm-1, grown to 20 GiB:
    diskpour job https://example.org/cloud.qcow2 --pvc vm-1 --size 20G \\
      --image registry.example/diskpour | kubectl apply -f -

  From a registry, into a block device, with the password of a Secret:
    diskpour job docker://registry.example/vm:1 --pvc vm-2 \\
      --volume-mode block --auth-secret pull --image registry.example/diskpour

The claim must be there, and the secrets in the same namespace. A disk in a file
system is the file disk.img; it grows to --size, not to the claim's size.

Every option can be set in the environment too: DISKPOUR_ and its name, as in
DISKPOUR_MEMORY_BUDGET=64Mi or DISKPOUR_FORCE=yes. The command line wins.";

/// Print a Kubernetes Job that imports into a volume claim, without CDI
///
/// The Job runs diskpour import with the options given here. It is printed as
/// YAML on standard output, and nothing is sent anywhere.
#[derive(Debug, Parser)]
#[command(after_help = ENVIRONMENT, after_long_help = EXAMPLES)]
pub(in crate::config) struct JobArgs {
    /// http:// or https:// URL, or docker://HOST/REPOSITORY:TAG
    #[arg(value_parser = NonEmptyStringValueParser::new().map(Locator::from))]
    pub(super) source: Locator,

    #[command(flatten)]
    pub(super) place: PlaceArgs,

    #[command(flatten)]
    pub(super) resources: ResourceArgs,

    #[command(flatten)]
    pub(super) secrets: SecretArgs,

    /// Claim with a file system where bytes may wait [default: none]
    #[arg(long, value_name = "NAME", help_heading = WAIT, conflicts_with = "scratch_size")]
    #[arg(env = "DISKPOUR_SCRATCH_PVC", hide_env = true)]
    pub(super) scratch_pvc: Option<String>,

    /// Let bytes wait on the node's disk, up to this: 10Gi
    #[arg(long, value_name = "QUANTITY", help_heading = WAIT)]
    #[arg(env = "DISKPOUR_SCRATCH_SIZE", hide_env = true)]
    pub(super) scratch_size: Option<String>,

    #[command(flatten)]
    pub(super) passed: Passed,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = KUBERNETES)]
pub(super) struct PlaceArgs {
    /// The persistent volume claim that takes the disk
    #[arg(long, value_name = "NAME", env = "DISKPOUR_PVC", hide_env = true)]
    pub(super) pvc: String,

    /// Whether the claim is a block device or a file system
    #[arg(long, value_name = "MODE", default_value = "filesystem")]
    #[arg(env = "DISKPOUR_VOLUME_MODE", hide_env = true)]
    pub(super) volume_mode: ClaimMode,

    /// The container image with diskpour, where the cluster finds it
    #[arg(long, value_name = "IMAGE", env = "DISKPOUR_IMAGE", hide_env = true)]
    pub(super) image: String,

    /// Name of the Job [default: import- and the claim's name]
    #[arg(long, value_name = "NAME", env = "DISKPOUR_NAME", hide_env = true)]
    pub(super) name: Option<String>,

    /// Namespace of the Job [default: that of kubectl]
    #[arg(long, value_name = "NAME", env = "DISKPOUR_NAMESPACE", hide_env = true)]
    pub(super) namespace: Option<String>,

    /// How often a pod that failed is replaced
    ///
    /// Where the same import cannot help, as for an image that is refused, no pod
    /// is replaced.
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u16))]
    #[arg(env = "DISKPOUR_BACKOFF_LIMIT", hide_env = true)]
    pub(super) backoff_limit: u16,
}

// The defaults are those of CDI's pods.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = KUBERNETES)]
pub(super) struct ResourceArgs {
    /// Processor time that is set aside; 100m is a tenth of a processor
    #[arg(long, value_name = "QUANTITY", default_value = "100m")]
    #[arg(env = "DISKPOUR_CPU_REQUEST", hide_env = true)]
    pub(super) cpu_request: String,

    /// The most processor time
    #[arg(long, value_name = "QUANTITY", default_value = "750m")]
    #[arg(env = "DISKPOUR_CPU_LIMIT", hide_env = true)]
    pub(super) cpu_limit: String,

    /// Memory that is set aside
    #[arg(long, value_name = "QUANTITY", default_value = "60M")]
    #[arg(env = "DISKPOUR_MEMORY_REQUEST", hide_env = true)]
    pub(super) memory_request: String,

    /// The most memory, data on its way to disk included
    #[arg(long, value_name = "QUANTITY", default_value = "600M")]
    #[arg(env = "DISKPOUR_MEMORY_LIMIT", hide_env = true)]
    pub(super) memory_limit: String,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = SECRETS)]
pub(super) struct SecretArgs {
    /// User at the source [default: username in --password-secret, if there]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    #[arg(env = "DISKPOUR_USERNAME", hide_env = true)]
    pub(super) username: Option<String>,

    /// Secret whose key password is the password at the source
    ///
    /// As in a Secret of the type kubernetes.io/basic-auth.
    #[arg(long, value_name = "NAME", env = "DISKPOUR_PASSWORD_SECRET", hide_env = true)]
    pub(super) password_secret: Option<String>,

    /// Secret whose key headers has a header on each line
    #[arg(long, value_name = "NAME", env = "DISKPOUR_HEADER_SECRET", hide_env = true)]
    pub(super) header_secret: Option<String>,

    /// Secret of the type kubernetes.io/dockerconfigjson, for registries
    #[arg(long, value_name = "NAME", env = "DISKPOUR_AUTH_SECRET", hide_env = true)]
    pub(super) auth_secret: Option<String>,

    /// Config map with certificates to trust too, one or more in each key
    #[arg(long, value_name = "NAME", env = "DISKPOUR_CA_CONFIG_MAP", hide_env = true)]
    pub(super) ca_config_map: Option<String>,
}
