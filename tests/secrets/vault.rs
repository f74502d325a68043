//! Planted secrets, and the search for them in everything that the program says.

use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use url::form_urlencoded::byte_serialize;

use crate::common::depot::Request;
use crate::common::run::Outcome;

/// The name of the user that the passwords are for.
pub(super) const USER: &str = "me";

/// Secrets by what they are, and how many texts were searched for them.
pub(super) struct Vault {
    secrets: Vec<(&'static str, String)>,
    searched: Mutex<(usize, usize)>,
}

impl Vault {
    pub(super) fn new<S: Into<String>>(secrets: impl IntoIterator<Item = (&'static str, S)>) -> Self {
        let secrets = secrets.into_iter().map(|(name, secret)| (name, secret.into())).collect();
        Self { secrets, searched: Mutex::default() }
    }

    /// The secret that is called `name`.
    pub(super) fn get(&self, name: &str) -> &str {
        &self.secrets.iter().find(|(other, _)| *other == name).unwrap().1
    }

    /// The same as it stands in a URL.
    pub(super) fn escaped(&self, name: &str) -> String {
        byte_serialize(self.get(name).as_bytes()).collect()
    }

    /// Asserts that `text`, which `what` said, has no secret in it, in no form.
    #[track_caller]
    pub(super) fn is_none_of(&self, what: &str, text: &str) {
        for (name, secret) in &self.secrets {
            for form in forms(secret) {
                assert!(!text.contains(&form), "{what} tells the secret {name} as {form:?}: {text}");
            }
        }
        let mut searched = self.searched.lock().unwrap();
        *searched = (searched.0 + 1, searched.1 + text.len());
    }

    /// Asserts the same of all that a run said; the run itself.
    #[track_caller]
    pub(super) fn kept(&self, what: &str, outcome: Outcome) -> Outcome {
        assert!(outcome.code != 0 || !outcome.stdout.is_empty(), "{what} said nothing");
        self.is_none_of(&format!("{what}, standard output"), &outcome.stdout);
        self.is_none_of(&format!("{what}, standard error"), &outcome.stderr);
        outcome
    }

    /// Asserts that the requests `seen` carried each of the secrets `names`, so that they were used.
    #[track_caller]
    pub(super) fn were_used(&self, seen: &[Request], names: &[&str]) {
        for name in names {
            let forms = forms(self.get(name));
            let carries = |text: &String| forms.iter().any(|form| text.contains(form));
            let used = seen.iter().any(|request| {
                carries(&request.path) || carries(&request.body) || request.headers.values().any(carries)
            });
            assert!(used, "no request carried the secret {name}");
        }
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let (texts, bytes) = *self.searched.lock().unwrap();
        println!("{} secrets looked for in {texts} texts of {bytes} bytes", self.secrets.len());
    }
}

/// What `secret` may look like.
fn forms(secret: &str) -> Vec<String> {
    let escape = |byte: &u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    let escaped: String = secret.as_bytes().iter().map(escape).collect();
    let pair = format!("{USER}:{secret}");
    let mut forms = vec![
        secret.to_owned(),
        byte_serialize(secret.as_bytes()).collect(),
        escaped.to_uppercase().replace(&secret.to_uppercase(), secret),
        escaped,
        STANDARD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD.encode(&pair),
        URL_SAFE_NO_PAD.encode(&pair),
        format!("{secret:?}").trim_matches('"').to_owned(),
    ];
    // Bytes as `{:?}` prints them.
    forms.push(format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).to_owned());
    forms.dedup();
    forms
}

#[test]
fn a_secret_is_found_in_every_form() {
    let vault = Vault::new([("word", "a/b+c&d")]);
    for text in [
        "x a/b+c&d",
        "a%2Fb%2Bc%26d",
        "a%2fb%2bc%26d",
        "YS9iK2MmZA==",
        "bWU6YS9iK2MmZA",
        "97, 47, 98, 43, 99, 38, 100",
    ] {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| vault.is_none_of("x", text)));
        assert!(found.is_err(), "{text}");
    }
    vault.is_none_of("x", "nothing of the kind");
}
