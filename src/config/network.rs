//! The options that concern the network and registries: as given, and as meant.

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser, StringValueParser, TypedValueParser};

use super::environment::text;
use crate::source::{Forwarding, NetworkOptions, ProxyOptions, RegistryOptions, Secret, Verification};

const NETWORK: &str = "Network";
const REGISTRY: &str = "Container registries";

/// What a command that reads from the network takes.
#[derive(clap::Args)]
#[command(next_help_heading = NETWORK)]
pub(super) struct NetworkArgs {
    /// User at the source's origin
    ///
    /// The password is in --password-file, or in the variable DISKPOUR_PASSWORD.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    #[arg(env = "DISKPOUR_USERNAME", hide_env = true)]
    username: Option<String>,

    /// File with the password, whose last newline does not count
    #[arg(long, value_name = "FILE", env = "DISKPOUR_PASSWORD_FILE", hide_env = true)]
    password_file: Option<PathBuf>,

    /// Header of every request; may be given again
    ///
    /// For values that are no secrets: arguments are visible to other users.
    #[arg(long, value_name = "NAME: VALUE", value_parser = StringValueParser::new().map(Secret::new))]
    #[arg(env = "DISKPOUR_HEADER", hide_env = true)]
    header: Vec<Secret>,

    /// File with a header on each line; may be given again
    #[arg(long, value_name = "FILE", env = "DISKPOUR_HEADER_FILE", hide_env = true)]
    header_file: Vec<PathBuf>,

    /// Send password and headers wherever the source redirects to
    ///
    /// Without this they go to the scheme, host and port that they were given for.
    #[arg(long, value_parser = BoolishValueParser::new())]
    #[arg(env = "DISKPOUR_LOCATION_TRUSTED", hide_env = true)]
    location_trusted: bool,

    /// PEM file or directory to trust too; may be given again
    #[arg(long, value_name = "PATH", env = "DISKPOUR_CA_CERT", hide_env = true)]
    ca_cert: Vec<PathBuf>,

    /// The same for a proxy and what it intercepts
    ///
    /// Proxies are those of http_proxy, https_proxy and no_proxy in the
    /// environment.
    #[arg(long, value_name = "PATH", env = "DISKPOUR_PROXY_CA_CERT", hide_env = true)]
    proxy_ca_cert: Vec<PathBuf>,

    /// Take any certificate, and registries without TLS
    #[arg(long, value_parser = BoolishValueParser::new(), env = "DISKPOUR_INSECURE", hide_env = true)]
    insecure: bool,

    /// A docker config.json with passwords for registries
    #[arg(long, value_name = "FILE", help_heading = REGISTRY)]
    #[arg(env = "DISKPOUR_AUTH_FILE", hide_env = true)]
    auth_file: Option<PathBuf>,

    /// Architecture, of an image that has several [default: this machine's]
    #[arg(long, value_name = "ARCH", help_heading = REGISTRY)]
    #[arg(env = "DISKPOUR_ARCH", hide_env = true)]
    arch: Option<String>,

    /// The disk in the image [default: the one file under /disk/]
    #[arg(long, value_name = "PATH", help_heading = REGISTRY)]
    #[arg(env = "DISKPOUR_IMAGE_PATH", hide_env = true)]
    image_path: Option<String>,
}

/// What `args` and the environment say of the network.
pub(super) fn options(args: NetworkArgs) -> Arc<NetworkOptions> {
    Arc::new(NetworkOptions {
        username: args.username,
        password: text("DISKPOUR_PASSWORD").map(Secret::new),
        password_file: args.password_file,
        headers: args.header,
        header_files: args.header_file,
        forwarding: if args.location_trusted { Forwarding::Trusted } else { Forwarding::OneOrigin },
        ca_certs: args.ca_cert,
        proxy_ca_certs: args.proxy_ca_cert,
        verification: if args.insecure { Verification::Insecure } else { Verification::Full },
        proxies: proxies(),
        user_agent: None,
        registry: RegistryOptions { auth_file: args.auth_file, arch: args.arch, image_path: args.image_path },
    })
}

/// The proxies of the environment; lower case wins, as it does for curl.
pub(super) fn proxies() -> ProxyOptions {
    let either = |lower: &str| text(lower).or_else(|| text(&lower.to_uppercase()));
    ProxyOptions {
        http: either("http_proxy").map(Secret::new),
        https: either("https_proxy").map(Secret::new),
        direct: either("no_proxy"),
    }
}
