//! `diskpour upload-server`: its options as given, and what they mean.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser, PossibleValue};
use clap::{Parser, ValueEnum, value_parser};

use super::ImportConfig;
use super::args::{ENVIRONMENT, ImageArgs, OUTPUT, OutputArgs, SPEED, TargetArgs, WAIT, WaitArgs};
use super::choices::ProgressChoice;
use super::meaning::{Misuse, Pouring};
use crate::archive::Policy;
use crate::format::overhead::Overhead;
use crate::format::time;

const LISTEN: &str = "Clients";

/// CDI's port for uploads.
const PORT: u16 = 8443;

const EXAMPLES: &str = "\
Examples:
  Take one upload from a client whose certificate says CN=uploader:
    diskpour upload-server disk.img --tls-cert tls.crt --tls-key tls.key \\
      --client-ca ca.crt --client-name uploader
    curl --cacert server-ca.crt --cert me.crt --key me.key \\
      -T disk.qcow2 -X POST https://HOST:8443/v1beta1/upload

  Take one upload from this machine, without certificates:
    diskpour upload-server disk.img --insecure-plain-http
    curl -T disk.qcow2 -X POST http://127.0.0.1:8443/v1beta1/upload

Paths: POST /v1beta1/upload, upload-async, upload-form, upload-form-async and
upload-archive; GET /healthz. The server ends when one upload has succeeded.

Every option can be set in the environment too: DISKPOUR_ and its name, as in
DISKPOUR_MEMORY_BUDGET=64Mi or DISKPOUR_FORCE=yes. The command line wins.";

/// Receive an image over HTTPS, as CDI's upload server does
///
/// The image is decoded and poured while it arrives. After one successful
/// upload the server ends; a failed upload can be given again.
#[derive(Debug, Parser)]
#[command(after_help = ENVIRONMENT, after_long_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// A new or existing file, or a block device; a directory for archives
    target: PathBuf,

    #[command(flatten)]
    clients: ClientArgs,

    #[command(flatten)]
    image: ImageArgs,

    #[command(flatten)]
    wait: WaitArgs,

    /// Where bytes may wait on disk: a directory [default: none]
    #[arg(long, value_name = "DIR", help_heading = WAIT)]
    #[arg(env = "DISKPOUR_SCRATCH_DIR", hide_env = true)]
    scratch_dir: Option<PathBuf>,

    /// End an upload when no byte has come for this long
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time::parse)]
    #[arg(help_heading = SPEED, env = "DISKPOUR_IDLE_TIMEOUT", hide_env = true)]
    idle_timeout: Duration,

    /// Threads that decode [default: one per processor]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=256), help_heading = SPEED)]
    #[arg(env = "DISKPOUR_WORKERS", hide_env = true)]
    workers: Option<u16>,

    #[command(flatten)]
    target_options: TargetArgs,

    /// How progress is shown on standard error
    ///
    /// auto is a bar on a terminal and plain lines elsewhere; json is an object
    /// on a line every second.
    #[arg(long, value_name = "STYLE", default_value = "auto", help_heading = OUTPUT)]
    #[arg(env = "DISKPOUR_PROGRESS", hide_env = true)]
    progress: ProgressChoice,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = LISTEN)]
struct ClientArgs {
    /// Where to listen [default: 0.0.0.0:8443]
    ///
    /// Port 0 is any free one; standard error says which. Without TLS the
    /// default is 127.0.0.1:8443.
    #[arg(long, value_name = "ADDRESS:PORT", env = "DISKPOUR_LISTEN", hide_env = true)]
    listen: Option<SocketAddr>,

    /// PEM file with the server's certificate and those between it and its CA
    #[arg(long, value_name = "FILE", env = "DISKPOUR_TLS_CERT", hide_env = true)]
    tls_cert: Option<PathBuf>,

    /// PEM file with the certificate's private key
    #[arg(long, value_name = "FILE", env = "DISKPOUR_TLS_KEY", hide_env = true)]
    tls_key: Option<PathBuf>,

    /// PEM file with the CA that clients' certificates come from
    ///
    /// Without it anybody who can reach the port may upload.
    #[arg(long, value_name = "FILE", env = "DISKPOUR_CLIENT_CA", hide_env = true)]
    client_ca: Option<PathBuf>,

    /// Common name that a client's certificate must have [default: any]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    #[arg(env = "DISKPOUR_CLIENT_NAME", hide_env = true)]
    client_name: Option<String>,

    /// Least version of TLS: VersionTLS12 or 1.2, VersionTLS13 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.2", hide_possible_values = true)]
    #[arg(env = "DISKPOUR_TLS_MIN_VERSION", hide_env = true)]
    tls_min_version: TlsVersion,

    /// Cipher suites, with commas between [default: all that are sound]
    ///
    /// Names as OpenSSL or IANA has them; unknown ones are passed over with a
    /// warning. A version of TLS that has none of them is not offered.
    #[arg(long, value_name = "NAMES", default_value = "", hide_default_value = true)]
    #[arg(env = "DISKPOUR_TLS_CIPHERS", hide_env = true)]
    tls_ciphers: String,

    /// No TLS and no certificates, on a loopback address only
    #[arg(long, value_parser = BoolishValueParser::new())]
    #[arg(env = "DISKPOUR_INSECURE_PLAIN_HTTP", hide_env = true)]
    insecure_plain_http: bool,
}

/// An upload server, as meant.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// How clients are known.
    pub security: Security,
    /// What is done with the image of an upload; its source is not used.
    pub import: ImportConfig,
    /// What holds for an upload server in a pod of CDI, and for no other.
    pub pod: Option<PodTerms>,
}

/// What the controller of an upload server's pod wants.
#[derive(Clone, Debug)]
pub struct PodTerms {
    /// The directory that takes archives of files, where the target is no device.
    pub directory: PathBuf,
    /// The requested size of the disk in bytes.
    pub image_size: Option<u64>,
    /// What the file system of the target takes for itself.
    pub overhead: Overhead,
    /// When the server ends, if no upload has succeeded or is under way.
    pub deadline: Option<SystemTime>,
    /// How the clone of a file system is unpacked.
    pub clones: Policy,
}

/// How the transport is secured.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all; on loopback only.
    Plain,
    /// By TLS.
    Tls(TlsConfig),
}

/// The server's side of TLS.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// A PEM file with the server's certificate chain, its own first.
    pub cert: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
    /// Who may upload.
    pub clients: Clients,
    /// The least version of the protocol.
    pub min_version: TlsVersion,
    /// Names of cipher suites, of OpenSSL or IANA; all suites if there are none.
    pub ciphers: Vec<String>,
}

/// Who may upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Anybody who can reach the port.
    Anyone,
    /// Who has a certificate from a CA.
    Signed {
        /// A PEM file with the CA's certificates.
        ca: PathBuf,
        /// The common name that the certificate must have; any if `None`.
        name: Option<String>,
    },
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.0, which nobody should speak.
    V10,
    /// TLS 1.1, which nobody should speak.
    V11,
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

impl ValueEnum for TlsVersion {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::V10, Self::V11, Self::V12, Self::V13]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, go) = match self {
            Self::V10 => ("1.0", "VersionTLS10"),
            Self::V11 => ("1.1", "VersionTLS11"),
            Self::V12 => ("1.2", "VersionTLS12"),
            Self::V13 => ("1.3", "VersionTLS13"),
        };
        Some(PossibleValue::new(name).alias(go))
    }
}

/// Options of the upload server that make no sense together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServeMisuse {
    #[error("the target must be a file, a block device or a directory")]
    Target,
    #[error(
        "--{missing} is missing: give the server's certificate and key with --tls-cert and --tls-key, \
         or --insecure-plain-http to listen on a loopback address without TLS"
    )]
    NoCertificate { missing: &'static str },
    #[error("--client-name needs --client-ca: a name alone proves nothing")]
    NameWithoutCa,
    #[error("--insecure-plain-http listens on a loopback address only, such as 127.0.0.1:{}", .0.port())]
    PlainAbroad(SocketAddr),
    #[error("--{0} has no meaning together with --insecure-plain-http")]
    PlainWith(&'static str),
}

/// What `args` mean.
pub(super) fn meaning(args: ServeArgs) -> Result<ServeConfig, Misuse> {
    check_target(&args.target)?;
    let (listen, security) = security(args.clients)?;
    let pouring = Pouring {
        image: args.image,
        wait: args.wait,
        scratch_dir: args.scratch_dir,
        workers: args.workers,
        idle_timeout: args.idle_timeout,
        target: args.target_options,
        progress: args.progress,
        output: args.output,
    };
    let import = ImportConfig { source: "the upload".into(), target: args.target, ..pouring.meaning()? };
    Ok(ServeConfig { listen, security, import, pod: None })
}

fn check_target(target: &Path) -> Result<(), ServeMisuse> {
    let text = target.to_string_lossy();
    if text == "-" || text.contains("://") { Err(ServeMisuse::Target) } else { Ok(()) }
}

fn security(args: ClientArgs) -> Result<(SocketAddr, Security), ServeMisuse> {
    let ciphers = args.tls_ciphers.split(',').map(str::trim).filter(|name| !name.is_empty());
    if args.insecure_plain_http {
        return plain(&args).map(|listen| (listen, Security::Plain));
    }
    let missing = |missing| ServeMisuse::NoCertificate { missing };
    let tls = TlsConfig {
        ciphers: ciphers.map(str::to_owned).collect(),
        cert: args.tls_cert.ok_or(missing("tls-cert"))?,
        key: args.tls_key.ok_or(missing("tls-key"))?,
        clients: match (args.client_ca, args.client_name) {
            (Some(ca), name) => Clients::Signed { ca, name },
            (None, Some(_)) => return Err(ServeMisuse::NameWithoutCa),
            (None, None) => Clients::Anyone,
        },
        min_version: args.tls_min_version,
    };
    let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
    Ok((args.listen.unwrap_or(everywhere), Security::Tls(tls)))
}

/// Where to listen without TLS, which nothing of TLS may be said of.
fn plain(args: &ClientArgs) -> Result<SocketAddr, ServeMisuse> {
    let said = [
        ("tls-cert", args.tls_cert.is_some()),
        ("tls-key", args.tls_key.is_some()),
        ("client-ca", args.client_ca.is_some()),
        ("client-name", args.client_name.is_some()),
    ];
    if let Some((option, _)) = said.into_iter().find(|(_, said)| *said) {
        return Err(ServeMisuse::PlainWith(option));
    }
    let listen = args.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT));
    if listen.ip().to_canonical().is_loopback() { Ok(listen) } else { Err(ServeMisuse::PlainAbroad(listen)) }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Parsed, parse};
    use super::*;

    fn said(line: &str) -> Result<ServeConfig, String> {
        let argv = format!("diskpour upload-server {line}");
        match parse(argv.split_whitespace().map(Into::into)) {
            Ok(Parsed::Run(config)) => match config.command {
                Command::UploadServer(config) => Ok(*config),
                other => panic!("{other:?}"),
            },
            Ok(Parsed::Say(text)) => panic!("{text}"),
            Err(error) => Err(error.to_string()),
        }
    }

    fn tls(line: &str) -> TlsConfig {
        match said(&format!("disk.img --tls-cert c --tls-key k {line}")).unwrap().security {
            Security::Tls(tls) => tls,
            Security::Plain => panic!("{line}"),
        }
    }

    #[test]
    fn certificates_are_the_rule() {
        let config = said("disk.img --tls-cert c --tls-key k --client-ca a --client-name me").unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:8443");
        assert_eq!(config.import.target, Path::new("disk.img"));
        let named = Clients::Signed { ca: "a".into(), name: Some("me".to_owned()) };
        assert_eq!(tls("--client-ca a --client-name me").clients, named);
        assert_eq!(tls("--client-ca a").clients, Clients::Signed { ca: "a".into(), name: None });
        assert_eq!(tls("").clients, Clients::Anyone);
        assert_eq!((tls("").min_version, tls("").ciphers.len()), (TlsVersion::V12, 0));
        assert_eq!(tls("--tls-min-version VersionTLS13").min_version, TlsVersion::V13);
        assert_eq!(tls("--tls-min-version 1.0").min_version, TlsVersion::V10);
        assert_eq!(tls("--tls-ciphers A,,B,").ciphers, ["A", "B"]);
    }

    #[test]
    fn without_tls_it_stays_on_this_machine() {
        let listen =
            |line: &str| said(&format!("x --insecure-plain-http {line}")).map(|it| it.listen.to_string());
        assert_eq!(listen("").unwrap(), "127.0.0.1:8443");
        assert_eq!(listen("--listen [::1]:0").unwrap(), "[::1]:0");
        assert_eq!(listen("--listen 127.9.9.9:1").unwrap(), "127.9.9.9:1");
        assert!(listen("--listen 0.0.0.0:1").unwrap_err().contains("such as 127.0.0.1:1"));
        assert!(listen("--listen [::]:1").unwrap_err().contains("loopback"));
        assert!(listen("--client-name a").unwrap_err().contains("--client-name has no meaning"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_words() {
        for (line, words) in [
            ("", "<TARGET>"),
            ("x", "--tls-cert is missing: give the server's certificate and key"),
            ("x --tls-cert c", "--tls-key is missing"),
            ("x --tls-cert c --tls-key k --client-name n", "--client-name needs --client-ca"),
            ("x --insecure-plain-http --listen here", "invalid value 'here'"),
            ("x --tls-cert c --tls-key k --tls-min-version 1.4", "possible values: 1.0, 1.1, 1.2, 1.3"),
            ("- --insecure-plain-http", "must be a file"),
            ("x --insecure-plain-http --idle-timeout 0s", "would end every import at once"),
            ("x --insecure-plain-http --size 1000", "the next is 1024"),
        ] {
            let error = said(line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
