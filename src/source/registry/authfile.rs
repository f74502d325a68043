//! Docker's config.json: who the user is at which registry.
//!
//! Helpers that it names are programs, and are not run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::reference::Reference;
use crate::error::{Classify, Kind};
use crate::source::Secret;
use crate::source::secret::Credentials;

/// The longest file, in bytes.
const MOST: u64 = 1 << 20;

/// Base64 with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a user shows to a registry.
#[derive(Clone)]
pub(super) enum Login {
    /// Nothing.
    Anonymous,
    /// A name and a password.
    Password(Credentials),
    /// A token that a token server gives other tokens for.
    Identity(Secret),
}

/// Why the file cannot be used; never what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthFileError {
    #[error("--auth-file {path} cannot be read")]
    Read {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error("--auth-file {path} is no docker config.json: {why}")]
    Shape { path: String, why: String },
}

impl Classify for AuthFileError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, Value>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<Text>,
    username: Option<String>,
    password: Option<Text>,
    identitytoken: Option<Text>,
}

/// A text that may be a secret.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct Text(pub(super) Zeroizing<String>);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// What the file at `path` says for the image `reference`.
///
/// # Errors
/// [`AuthFileError`].
pub(super) fn login(path: &Path, reference: &Reference) -> Result<Login, AuthFileError> {
    let shown = path.display().to_string();
    let failed = |cause| AuthFileError::Read { path: shown.clone(), cause };
    let mut text = Zeroizing::new(Vec::new());
    File::open(path).map_err(failed)?.take(MOST.saturating_add(1)).read_to_end(&mut text).map_err(failed)?;
    let wrong = |why: String| AuthFileError::Shape { path: shown.clone(), why };
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MOST {
        return Err(wrong(format!("it has more than {MOST} bytes")));
    }
    let config: Config = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("line {}, column {}", error.line(), error.column())))?;
    chosen(&config, reference).map_err(|key| wrong(format!("the entry {key} is damaged")))
}

/// The login in `config`; the key of an entry that cannot be read as error.
fn chosen(config: &Config, reference: &Reference) -> Result<Login, String> {
    let wanted = names(reference);
    for name in &wanted {
        let Some((key, entry)) = config.auths.iter().find(|(key, _)| normal(key) == *name) else { continue };
        match entry.login() {
            Some(Login::Anonymous) => {}
            Some(login) => return Ok(login),
            None => return Err(super::words::shown(key)),
        }
    }
    let helper = config.cred_helpers.keys().any(|key| wanted.contains(&normal(key)));
    if helper || config.creds_store.as_ref().is_some_and(|store| !store.is_empty()) {
        tracing::warn!(
            "--auth-file leaves the password for {} to a credential helper, which is not run; asking without one",
            reference.domain()
        );
    }
    Ok(Login::Anonymous)
}

impl Entry {
    fn login(&self) -> Option<Login> {
        let secret = |text: &Text| Secret::new(text.0.to_string());
        let given = |text: &&Text| !text.0.is_empty();
        if let Some(token) = self.identitytoken.as_ref().filter(given) {
            return Some(Login::Identity(secret(token)));
        }
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            return Some(Login::Password(Credentials {
                user: user.clone(),
                password: Some(secret(password)),
            }));
        }
        let Some(auth) = self.auth.as_ref().filter(given) else { return Some(Login::Anonymous) };
        let bytes = Zeroizing::new(BASE64.decode(auth.0.as_bytes()).ok()?);
        let text = std::str::from_utf8(&bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        let password = Secret::new(password.trim_end_matches('\0').to_owned());
        Some(Login::Password(Credentials { user: user.to_owned(), password: Some(password) }))
    }
}

/// What an entry for `reference` may be called, the closest first: `HOST/A/B`, `HOST/A`, `HOST`.
fn names(reference: &Reference) -> Vec<String> {
    let whole = format!("{}/{}", reference.domain(), reference.path());
    let mut names = vec![whole.clone()];
    names.extend(whole.rmatch_indices('/').filter_map(|(at, _)| whole.get(..at)).map(str::to_owned));
    names
}

/// A key without what older programs put around a registry's name.
fn normal(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let (host, path) = bare.split_once('/').map_or((bare, None), |(host, path)| (host, Some(path)));
    let host = match host.to_ascii_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    };
    path.map_or(host.clone(), |path| format!("{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(config: &str, reference: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        match login(file.path(), &Reference::parse(reference).unwrap()) {
            Ok(Login::Anonymous) => "nobody".to_owned(),
            Ok(Login::Password(login)) => {
                format!("{}:{}", login.user, login.password.as_ref().map_or("", Secret::reveal))
            }
            Ok(Login::Identity(token)) => format!("token {}", token.reveal()),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Usage);
                error.to_string()
            }
        }
    }

    #[test]
    fn the_closest_entry_of_the_registry_counts() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "reg.test:5000": {"username": "host", "password": "p:w"},
            "reg.test:5000/team": {"auth": "dGVhbTpwdw"},
            "https://old.test/v2/": {"auth": "b2xkOnB3AAA="},
            "empty.test": {},
            "id.test": {"identitytoken": "abc", "auth": "PHRva2VuPjo="}
        }, "HttpHeaders": {}, "credsStore": ""}"#;
        let table = [
            ("ubuntu", "hub:pw"),
            ("docker.io/a/b", "hub:pw"),
            ("reg.test:5000/x", "host:p:w"),
            ("reg.test:5000/team/x/y", "team:pw"),
            ("reg.test:5000/teamwork", "host:p:w"),
            ("reg.test/x", "nobody"),
            ("old.test/x", "old:pw"),
            ("empty.test/x", "nobody"),
            ("id.test/x", "token abc"),
        ];
        for (reference, login) in table {
            assert_eq!(found(config, reference), login, "{reference}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_that_shows_no_secret() {
        for config in [
            r#"{"auths": {"a.b": {"auth": "s3cr3t!"}}}"#,
            r#"{"auths": {"a.b": {"auth": "czNjcjN0"}}}"#,
            r#"{"auths": {"a.b": "s3cr3t"}}"#,
            "s3cr3t",
        ] {
            let words = found(config, "a.b/c");
            assert!(words.contains("is no docker config.json") && !words.contains("s3cr3t"), "{words}");
        }
        assert_eq!(found(r#"{"credHelpers": {"a.b": "x"}, "credsStore": "y"}"#, "a.b/c"), "nobody");
        assert!(matches!(
            login(Path::new("/nowhere"), &Reference::parse("a").unwrap()),
            Err(AuthFileError::Read { .. })
        ));
    }
}
