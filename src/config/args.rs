//! The command line as given: names, defaults, help. Doc comments here are what `--help` prints.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser, Resettable, TypedValueParser};
use clap::{Arg, CommandFactory, Parser, Subcommand, value_parser};
use clap_complete::Shell;

use super::choices::{CompressionChoice, ContentType, FormatChoice, LogLevel, OutputStyle, ProgressChoice};
use super::environment;
use super::job::JobArgs;
use super::network::NetworkArgs;
use super::pages::Page;
use super::serve::ServeArgs;
use crate::format::digest::Checksum;
use crate::format::preallocation::Preallocation;
use crate::format::{size, time};
use crate::matrix::Policy;
use crate::source::Locator;

const IMAGE: &str = "What the image is";
pub(super) const WAIT: &str = "Where bytes wait";
pub(super) const SPEED: &str = "Speed";
const TARGET: &str = "Target";
pub(super) const OUTPUT: &str = "Output";

/// Stands at the end of the help of every command that has options of its own.
pub(super) const ENVIRONMENT: &str = "\
Every option can be set in the environment too: DISKPOUR_ and its name, as in
DISKPOUR_MEMORY_BUDGET=64Mi or DISKPOUR_FORCE=yes. The command line wins.";

/// Stands at the end of the help of all commands.
const PODS: &str = "\
For pods of CDI, with the flags and the environment that its controller gives:
  worker, image-size-detection, containerimage-server";

const IMPORT_EXAMPLES: &str = "\
Examples:
  Pour a cloud image into a file:
    diskpour import https://example.org/cloud.qcow2 disk.img

  Pour a compressed image from a pipe into a block device, checked:
    curl -s https://example.org/disk.img.xz |
      diskpour import - /dev/vdb --checksum sha256:9f86d081884c...

  Unpack an archive of files into a directory:
    diskpour import https://example.org/files.tar.gz dir --content-type archive

  Pour the disk of a container image, with the passwords that docker has:
    diskpour import docker://quay.io/containerdisks/fedora:42 disk.img \\
      --auth-file ~/.docker/config.json

  Grow the disk to 20 GiB, read it back, and print the result as JSON:
    diskpour import disk.qcow2 disk.img --size 20G --verify --output json

Sizes are bytes, or have a unit: K, M, G, T (or Ki, Mi, Gi, Ti) are powers of
1024; KB, MB, GB, TB are powers of 1000. Times are such as 500ms, 90s or 1h30m.

Every option can be set in the environment too: DISKPOUR_ and its name, as in
DISKPOUR_MEMORY_BUDGET=64Mi or DISKPOUR_FORCE=yes. The command line wins.

Exit status: 0 done, 2 usage, 3 source unreachable, 4 source refuses, 5 wrong
bytes, 6 image refused, 7 no space, 42 scratch required, 130 or 143 signal.";

/// Pours a virtual machine's disk image from anywhere into a block device or a
/// file.
#[derive(Parser)]
#[command(name = "diskpour", version, max_term_width = 80, propagate_version = true)]
#[command(after_help = PODS)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: CommandArgs,

    /// How much is logged on standard error
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn", help_heading = OUTPUT)]
    #[arg(env = "DISKPOUR_LOG_LEVEL", hide_env = true)]
    pub(super) log_level: LogLevel,
}

#[derive(Subcommand)]
pub(super) enum CommandArgs {
    Import(Box<ImportArgs>),
    Inspect(InspectArgs),
    UploadServer(Box<ServeArgs>),
    Job(Box<JobArgs>),
    Matrix(MatrixArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Pour an image into a file or a block device
///
/// The image is decoded while it arrives, and every byte goes straight to its
/// place. The first MiB of the disk is written last, after every check.
#[derive(Parser)]
#[command(after_help = ENVIRONMENT, after_long_help = IMPORT_EXAMPLES)]
pub(super) struct ImportArgs {
    /// https:// or docker:// URL, path, or - for standard input
    ///
    /// Also http:// and file://; for container images on this machine oci:DIR,
    /// oci-archive:FILE and docker-archive:FILE, with :REF behind if need be.
    #[arg(value_parser = NonEmptyStringValueParser::new().map(Locator::from))]
    pub(super) source: Locator,

    /// A new or existing file, or a block device; a directory for an archive
    ///
    /// /dev/null takes the image for a check and keeps nothing.
    pub(super) target: PathBuf,

    /// What the source holds: kubevirt is a disk image, archive a tar of files
    ///
    /// An archive, compressed or not, is unpacked into the directory TARGET,
    /// which is made if need be, and must be empty (lost+found aside) unless
    /// --force is given. Nothing outside it is ever touched. Owners are ignored;
    /// devices, pipes and links that lead out are refused. If the import fails,
    /// what it made is removed, and nothing else.
    #[arg(long, value_name = "TYPE", default_value = "kubevirt", help_heading = IMAGE)]
    #[arg(env = "DISKPOUR_CONTENT_TYPE", hide_env = true)]
    pub(super) content_type: ContentType,

    #[command(flatten)]
    pub(super) image: ImageArgs,

    #[command(flatten)]
    pub(super) network: Box<NetworkArgs>,

    #[command(flatten)]
    pub(super) wait: WaitArgs,

    /// Where bytes may wait on disk: a directory [default: none]
    #[arg(long, value_name = "DIR", help_heading = WAIT)]
    #[arg(env = "DISKPOUR_SCRATCH_DIR", hide_env = true)]
    pub(super) scratch_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(super) speed: SpeedArgs,

    /// Threads that decode [default: one per processor]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=256), help_heading = SPEED)]
    #[arg(env = "DISKPOUR_WORKERS", hide_env = true)]
    pub(super) workers: Option<u16>,

    #[command(flatten)]
    pub(super) target_options: TargetArgs,

    /// Go on where the same command was killed
    ///
    /// A journal of what is durable lies beside a file while it is written, or in
    /// the scratch directory for a block device. What it lists is read back and
    /// compared, then neither written nor, where the server has ranges, fetched
    /// again. An import that a signal or the network ended can be gone on with
    /// too. The source must say what tells one version of the image from the
    /// next: an ETag, an old enough date, a digest; a local file has its own.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "DISKPOUR_RESUME", hide_env = true)]
    #[arg(help_heading = TARGET)]
    pub(super) resume: bool,

    /// How progress is shown on standard error
    ///
    /// auto is a bar on a terminal and plain lines elsewhere; json is an object
    /// on a line every second.
    #[arg(long, value_name = "STYLE", default_value = "auto", help_heading = OUTPUT)]
    #[arg(env = "DISKPOUR_PROGRESS", hide_env = true)]
    pub(super) progress: ProgressChoice,

    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = IMAGE)]
pub(super) struct ImageArgs {
    /// Format of the disk image; auto looks at its first bytes
    ///
    /// A format that is given wins over what the first bytes say.
    #[arg(long, default_value = "auto", env = "DISKPOUR_FORMAT", hide_env = true)]
    pub(super) format: FormatChoice,

    /// Compression around it; auto looks at its first bytes
    #[arg(long, value_name = "CODEC", default_value = "auto")]
    #[arg(env = "DISKPOUR_COMPRESSION", hide_env = true)]
    pub(super) compression: CompressionChoice,

    /// Sum of the bytes as received: md5, sha1, sha256 or sha512
    ///
    /// Checked before the disk becomes usable. The image is then read in one
    /// stream, from the first byte to the last.
    #[arg(long, value_name = "ALG:HEX", env = "DISKPOUR_CHECKSUM", hide_env = true)]
    pub(super) checksum: Option<Checksum>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = WAIT)]
pub(super) struct WaitArgs {
    /// Bytes held in memory while their place is not known
    #[arg(long, value_name = "SIZE", default_value = "64Mi", value_parser = size::parse)]
    #[arg(env = "DISKPOUR_MEMORY_BUDGET", hide_env = true)]
    pub(super) memory_budget: u64,

    /// When scratch is used; see diskpour matrix
    ///
    /// lean uses scratch only for bytes that exceed the memory budget. strict
    /// uses it wherever CDI documents it, and refuses what CDI does not support.
    #[arg(long, value_name = "POLICY", default_value = "lean")]
    #[arg(env = "DISKPOUR_SCRATCH_POLICY", hide_env = true)]
    pub(super) scratch_policy: Policy,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = SPEED)]
pub(super) struct SpeedArgs {
    /// Ranges fetched at the same time, 1 to 64
    #[arg(long, value_name = "N", default_value = "4", value_parser = value_parser!(u16).range(1..=64))]
    #[arg(env = "DISKPOUR_CONNECTIONS", hide_env = true)]
    pub(super) connections: u16,

    /// End when no byte has come for this long
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time::parse)]
    #[arg(env = "DISKPOUR_IDLE_TIMEOUT", hide_env = true)]
    pub(super) idle_timeout: Duration,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = TARGET)]
pub(super) struct TargetArgs {
    /// Grow the disk to this size; it never shrinks
    #[arg(long, value_name = "SIZE", value_parser = size::parse, env = "DISKPOUR_SIZE", hide_env = true)]
    pub(super) size: Option<u64>,

    /// Refuse a disk that is larger than this
    ///
    /// For files, which have no capacity of their own. Of an archive, the files
    /// together, holes included.
    #[arg(long, value_name = "SIZE", value_parser = size::parse, env = "DISKPOUR_MAX_SIZE", hide_env = true)]
    pub(super) max_size: Option<u64>,

    /// Claim the space first, or write all of it
    #[arg(long, value_name = "HOW", default_value = "off")]
    #[arg(env = "DISKPOUR_PREALLOCATION", hide_env = true)]
    pub(super) preallocation: Preallocation,

    /// Write to an existing file that is not empty
    ///
    /// Or to a directory that is not: what is in the way of an archive's members
    /// is replaced and, should the import fail, does not come back.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "DISKPOUR_FORCE", hide_env = true)]
    pub(super) force: bool,

    /// Read the target back and compare
    ///
    /// A digest of each MiB is kept while writing.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "DISKPOUR_VERIFY", hide_env = true)]
    pub(super) verify: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = OUTPUT)]
pub(super) struct OutputArgs {
    /// How the result is printed on standard output
    #[arg(long, value_name = "STYLE", default_value = "text")]
    #[arg(env = "DISKPOUR_OUTPUT", hide_env = true)]
    pub(super) output: OutputStyle,
}

/// Say what an image is and what an import would do; writes nothing
#[derive(Parser)]
#[command(after_help = ENVIRONMENT)]
pub(super) struct InspectArgs {
    /// https:// or docker:// URL, path, or - for standard input
    ///
    /// Also http:// and file://; for container images on this machine oci:DIR,
    /// oci-archive:FILE and docker-archive:FILE, with :REF behind if need be.
    #[arg(value_parser = NonEmptyStringValueParser::new().map(Locator::from))]
    pub(super) source: Locator,

    #[command(flatten)]
    pub(super) image: ImageArgs,

    #[command(flatten)]
    pub(super) network: Box<NetworkArgs>,

    #[command(flatten)]
    pub(super) wait: WaitArgs,

    #[command(flatten)]
    pub(super) speed: SpeedArgs,

    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Print what is supported from where, and what needs scratch space
#[derive(Debug, Parser)]
pub(super) struct MatrixArgs {
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Print a completion script for a shell
#[derive(Debug, Parser)]
pub(super) struct CompletionsArgs {
    pub(super) shell: Shell,
}

/// Print the manual page, or that of one command
#[derive(Debug, Parser)]
pub(super) struct ManArgs {
    /// The command whose page is wanted [default: all, one after the other]
    #[arg(value_name = "COMMAND", hide_default_value = true, default_value = "all")]
    pub(super) page: Page,
}

/// The command line, without the variables that are set to nothing.
pub(super) fn command() -> clap::Command {
    Args::command().mut_args(without_empty).mut_subcommands(|sub| sub.mut_args(without_empty))
}

fn without_empty(arg: Arg) -> Arg {
    let name: Option<OsString> = arg.get_env().map(ToOwned::to_owned);
    if name.is_some_and(environment::is_empty) { arg.env(Resettable::Reset) } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_help_fits_80_columns() {
        let mut command = command();
        command.build();
        let mut commands: Vec<clap::Command> = command.get_subcommands().cloned().collect();
        commands.push(command);
        for mut command in commands {
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
        }
    }

    #[test]
    fn every_option_has_its_variable() {
        for sub in command().get_subcommands().filter(|sub| sub.get_name() != "man") {
            for arg in sub.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg))) {
                let name = format!("DISKPOUR_{}", arg.0.to_uppercase().replace('-', "_"));
                assert_eq!(arg.1.get_env().unwrap().to_str(), Some(name.as_str()));
            }
        }
    }
}
