//! What names an image in a registry, as Docker's programs read it.

use std::fmt;

use super::digest::Digest;
use super::error::RegistryError;
use super::words::shown;

/// The registry of names that name none.
const HUB: &str = "docker.io";

/// Where that registry really is.
const HUB_HOST: &str = "registry-1.docker.io";

/// The longest name, registry included.
const MOST_NAME: usize = 255;

/// The longest tag.
const MOST_TAG: usize = 128;

/// Which image of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Tag(String),
    Digest(Digest),
}

/// A registry, a repository in it, and an image of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`; where both are given the digest decides.
    ///
    /// # Errors
    /// [`RegistryError::Reference`], [`RegistryError::Digest`].
    pub(super) fn parse(text: &str) -> Result<Self, RegistryError> {
        let wrong = |why| RegistryError::Reference { text: shown(text), why };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let slash = name.rfind('/').map_or(0, |at| at.saturating_add(1));
        let (name, tag) = match name.get(slash..).and_then(|last| last.split_once(':')) {
            Some((last, tag)) => {
                (name.get(..slash.saturating_add(last.len())).unwrap_or_default(), Some(tag))
            }
            None => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("the tag is none: letters, digits, `_`, `.` and `-` make one, at most 128"));
        }
        let (domain, path) = split(name);
        if !is_domain(&domain) {
            return Err(wrong("the registry is none: HOST, HOST:PORT or [ADDRESS]:PORT makes one"));
        }
        if !path.split('/').all(is_component) || name.len() > MOST_NAME {
            return Err(wrong(
                "the repository is none: lower-case letters, digits and single separators make one",
            ));
        }
        Ok(Self { domain, path, tag: tag.map(str::to_owned), digest })
    }

    /// The host, and the port where one is given, that speaks for the registry.
    pub(super) fn host(&self) -> &str {
        if self.domain == HUB { HUB_HOST } else { &self.domain }
    }

    /// The registry as people name it.
    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Which image is meant: the digest, the tag, or `latest`.
    pub(super) fn target(&self) -> Target {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Target::Digest(digest.clone()),
            (None, Some(tag)) => Target::Tag(tag.clone()),
            (None, None) => Target::Tag("latest".to_owned()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        match self.target() {
            Target::Tag(tag) => write!(f, ":{tag}"),
            Target::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

/// Registry and repository; a first part without dot and colon is a part of the repository.
fn split(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (HUB, name),
    };
    match domain {
        HUB | "index.docker.io" | HUB_HOST if path.contains('/') => (HUB.to_owned(), path.to_owned()),
        HUB | "index.docker.io" | HUB_HOST => (HUB.to_owned(), format!("library/{path}")),
        other => (other.to_ascii_lowercase(), path.to_owned()),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port
        .is_some_and(|port| port.parse::<u16>().is_err() || !port.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(label)
}

/// Letters and digits with `.`, `_`, `__` or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(plain) && text.bytes().next_back().is_some_and(plain);
    let separator = |part: &str| matches!(part, "." | "_" | "__") || part.bytes().all(|byte| byte == b'-');
    ends && text.split(|c: char| u8::try_from(c).is_ok_and(plain)).all(separator)
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MOST_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("@sha256:{HEX}");
        let table = [
            ("ubuntu", "registry-1.docker.io", "docker.io/library/ubuntu:latest"),
            ("ubuntu:24.04", "registry-1.docker.io", "docker.io/library/ubuntu:24.04"),
            ("kubevirt/fedora", "registry-1.docker.io", "docker.io/kubevirt/fedora:latest"),
            ("docker.io/x", "registry-1.docker.io", "docker.io/library/x:latest"),
            ("index.docker.io/x/y", "registry-1.docker.io", "docker.io/x/y:latest"),
            ("quay.io/a/b-c__d.e/f:v1", "quay.io", "quay.io/a/b-c__d.e/f:v1"),
            ("localhost/a", "localhost", "localhost/a:latest"),
            ("localhost:5000/a", "localhost:5000", "localhost:5000/a:latest"),
            ("127.0.0.1:5000/a/b:t", "127.0.0.1:5000", "127.0.0.1:5000/a/b:t"),
            ("[::1]:5000/a", "[::1]:5000", "[::1]:5000/a:latest"),
            ("[::1]/a", "[::1]", "[::1]/a:latest"),
            ("Quay.IO/a", "quay.io", "quay.io/a:latest"),
        ];
        for (text, host, name) in table {
            let parsed = Reference::parse(text).unwrap();
            assert_eq!((parsed.host(), parsed.to_string().as_str()), (host, name), "{text}");
        }
        for text in [format!("a.b/c{digest}"), format!("a.b/c:tag{digest}")] {
            let parsed = Reference::parse(&text).unwrap();
            assert_eq!(parsed.to_string(), format!("a.b/c{digest}"), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("a.b/{}", "x".repeat(260));
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "A",
            "a.b/C",
            "a//b",
            "a b",
            "a.b/../c",
            "a_/b",
            "a___b",
            "a..b",
            "-a",
            "a:",
            "a:-x",
            "a:b:c",
            "a:b/c",
            "a.b:x/c",
            "a.b:99999/c",
            "a.b:+1/c",
            "user@a.b/c",
            "u:p@a.b/c",
            "a@b",
            "a?b",
            "a#b",
            "a.b/c%2f",
            "[::1/a",
            "[x]/a",
            ".a/b",
            "a\n",
            "ä",
            long.as_str(),
        ] {
            let error = Reference::parse(text).map(|parsed| parsed.to_string());
            assert!(error.is_err(), "{text} is {error:?}");
        }
    }
}
