//! What a user says of the network and of registries, as given: plain data.
//!
//! Refuses to know: files. Passwords, headers and certificates are read by who needs them.

use std::fmt;
use std::path::PathBuf;

use super::secret::Secret;

/// What a user says of the network.
#[derive(Clone, Default)]
pub struct NetworkOptions {
    /// The name of a user at the source's origin.
    pub username: Option<String>,
    /// The password, from the environment.
    pub password: Option<Secret>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// `Name: value` headers, which are no secrets where arguments bring them, and may be in pods.
    pub headers: Vec<Secret>,
    /// Files of `Name: value` lines.
    pub header_files: Vec<PathBuf>,
    /// Where credentials and headers may go.
    pub forwarding: Forwarding,
    /// PEM files, or directories of them, that are trusted beside the system's certificates.
    pub ca_certs: Vec<PathBuf>,
    /// The same for proxies and what they intercept.
    pub proxy_ca_certs: Vec<PathBuf>,
    /// Whether servers have to prove who they are.
    pub verification: Verification,
    /// The proxies of the environment.
    pub proxies: ProxyOptions,
    /// What requests call their sender; diskpour and its version if `None`.
    pub user_agent: Option<String>,
    /// What concerns container registries only.
    pub registry: RegistryOptions,
}

/// The proxies that the environment names: URLs, which may hold passwords, and exceptions.
#[derive(Clone, Default)]
pub struct ProxyOptions {
    /// The proxy for http:// sources.
    pub http: Option<Secret>,
    /// The proxy for https:// sources.
    pub https: Option<Secret>,
    /// Hosts, suffixes and networks that are asked directly, with commas between them.
    pub direct: Option<String>,
}

/// What concerns container registries only.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    /// A docker config.json with credentials.
    pub auth_file: Option<PathBuf>,
    /// The architecture wanted of an image that has several, as in `amd64`; this machine's if `None`.
    pub arch: Option<String>,
    /// The disk's path in the image, in place of the one file under `/disk/`.
    pub image_path: Option<String>,
}

/// Where credentials and headers may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// To the origin (scheme, host, port) that they were given for.
    #[default]
    OneOrigin,
    /// Wherever that origin redirects to.
    Trusted,
}

/// Whether servers have to prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// By a certificate that is trusted, for the host, and in its time.
    #[default]
    Full,
    /// Not at all; registries may also speak plain HTTP.
    Insecure,
}

// A derived Debug would need one of secrets. Names of users can be tokens.
impl fmt::Debug for NetworkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkOptions").field("forwarding", &self.forwarding).finish_non_exhaustive()
    }
}
