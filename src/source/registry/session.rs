//! How one repository is asked: anonymously, by a password, or by tokens that are renewed.
//!
//! A token is asked for this repository only, whatever the registry says, and goes to the registry only.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::authfile::{Login, Text};
use super::challenge::{self, Challenge};
use super::realm::{self, Ask};
use crate::source::http::{Again, Authority, HttpError, Link, Remote, Renewal, basic};

/// The longest answer of a token server, in bytes.
const MOST_TOKEN: usize = 1 << 20;

/// How long a token lives when its server does not say.
const USUAL_LIFE: u64 = 60;

/// What proves to a registry who asks for one of its repositories.
pub(super) struct Session {
    /// The registry.
    registry: Url,
    scope: String,
    login: Login,
    /// What the user wants sent anyway.
    headers: HeaderMap,
    link: Arc<Link>,
    proof: Mutex<Option<Proof>>,
}

/// The value of an Authorization header.
#[derive(Clone)]
struct Proof {
    value: HeaderValue,
    until: Option<Instant>,
}

impl Session {
    /// The session for the repository `path` of `registry`.
    pub(super) fn new(registry: Url, path: &str, who: (Login, HeaderMap), link: Arc<Link>) -> Self {
        let (login, headers) = who;
        let scope = format!("repository:{path}:pull");
        Self { registry, scope, login, headers, link, proof: Mutex::default() }
    }

    /// What the registry's challenges come to.
    async fn answer(&self, challenges: Vec<Challenge>) -> Result<Again, HttpError> {
        if self.headers.contains_key(AUTHORIZATION) {
            return Ok(Again::No);
        }
        let bearer = challenges.iter().find(|one| one.scheme == "bearer" && one.param("realm").is_some());
        if let Some(bearer) = bearer {
            return self.renew_token(bearer).await;
        }
        let offered = challenges.iter().any(|one| one.scheme == "basic");
        match &self.login {
            Login::Password(credentials) if offered => {
                Ok(self.keep(Proof { value: basic(credentials), until: None }))
            }
            _ => Ok(Again::No),
        }
    }

    /// Sends `proof` from now on, which is worth a try if it is a new one.
    fn keep(&self, proof: Proof) -> Again {
        let mut kept = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        let same = kept.as_ref().is_some_and(|kept| kept.value == proof.value);
        *kept = Some(proof);
        if same { Again::No } else { Again::Yes }
    }

    async fn renew_token(&self, bearer: &Challenge) -> Result<Again, HttpError> {
        let text = bearer.param("realm").unwrap_or_default();
        let shown = || super::words::shown(text.split(['?', '#']).next().unwrap_or_default());
        let Ok(url) = Url::parse(text) else {
            return Err(HttpError::Realm(shown(), "its name is no URL"));
        };
        let verification = self.link.context.network.verification;
        let ask = realm::judge(&self.registry, &url, verification)
            .map_err(|why| HttpError::Realm(host(&url), why))?;
        let realm = format!("the token server {}", host(&url));
        let body = self.fetch(url, bearer.param("service"), ask).await;
        let token = body.and_then(|body| Token::parse(&body));
        match token {
            Ok(token) => {
                tracing::debug!("{realm} gave a token for {} s", token.life);
                Ok(self.keep(token.proof()?))
            }
            Err(stopped @ HttpError::Stopped(_)) => Err(stopped),
            Err(cause) => Err(HttpError::Token { realm, cause: Box::new(cause) }),
        }
    }

    async fn fetch(
        &self,
        mut url: Url,
        service: Option<&str>,
        ask: Ask,
    ) -> Result<Zeroizing<Vec<u8>>, HttpError> {
        let service = service.map(|service| ("service", service));
        let pairs = || service.into_iter().chain([("scope", self.scope.as_str())]);
        let login = match ask {
            Ask::Signed => &self.login,
            Ask::Anonymous => {
                if !matches!(self.login, Login::Anonymous) {
                    tracing::warn!(
                        "the token server {} is another host than the registry {}: asking without the password",
                        host(&url),
                        host(&self.registry)
                    );
                }
                &Login::Anonymous
            }
        };
        if let Login::Identity(token) = login {
            let form = form(pairs(), token.reveal());
            return Ok(self.remote(url, HeaderMap::new())?.answer_to(&form, MOST_TOKEN).await?.body.into());
        }
        url.query_pairs_mut().extend_pairs(pairs());
        let mut headers = HeaderMap::new();
        if let Login::Password(credentials) = login {
            headers.insert(AUTHORIZATION, basic(credentials));
        }
        Ok(self.remote(url, headers)?.document("application/json", MOST_TOKEN).await?.body.into())
    }

    fn remote(&self, url: Url, headers: HeaderMap) -> Result<Remote, HttpError> {
        Remote::named_by(&self.registry, url, Arc::new(Constant(headers)), Arc::clone(&self.link))
    }
}

impl Authority for Session {
    fn headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        let proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // What has expired would only be refused.
        let proof = proof.filter(|proof| proof.until.is_none_or(|until| Instant::now() < until));
        if let Some(proof) = proof {
            headers.insert(AUTHORIZATION, proof.value);
        }
        headers
    }

    fn renew<'a>(&'a self, answer: &'a HeaderMap) -> Renewal<'a> {
        let texts = answer.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges = challenge::parse(texts);
        Box::pin(self.answer(challenges))
    }
}

/// What an identity token is exchanged by.
fn form<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, token: &str) -> Zeroizing<String> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token").append_pair("client_id", "diskpour");
    form.extend_pairs(pairs).append_pair("refresh_token", token);
    form.finish().into()
}

/// Headers that stay the same.
struct Constant(HeaderMap);

impl Authority for Constant {
    fn headers(&self) -> HeaderMap {
        self.0.clone()
    }

    fn renew<'a>(&'a self, _answer: &'a HeaderMap) -> Renewal<'a> {
        Box::pin(std::future::ready(Ok(Again::No)))
    }
}

/// What a token server gives.
struct Token {
    text: Zeroizing<String>,
    /// Seconds.
    life: u64,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<Text>,
    access_token: Option<Text>,
    expires_in: Option<u64>,
}

impl Token {
    fn parse(body: &[u8]) -> Result<Self, HttpError> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| HttpError::NoToken)?;
        let given = |text: &Text| !text.0.is_empty();
        let text = answer.token.filter(given).or(answer.access_token.filter(given));
        let life = answer.expires_in.filter(|life| *life > 0).unwrap_or(USUAL_LIFE);
        Ok(Self { text: text.ok_or(HttpError::NoToken)?.0, life })
    }

    fn proof(&self) -> Result<Proof, HttpError> {
        let text = Zeroizing::new(format!("Bearer {}", *self.text));
        let mut value = HeaderValue::from_str(&text).map_err(|_| HttpError::NoToken)?;
        value.set_sensitive(true);
        Ok(Proof { value, until: Instant::now().checked_add(Duration::from_secs(self.life)) })
    }
}

/// The host of `url`, and its port where that is a special one.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};
    use crate::source::secret::{Credentials, Secret};
    use crate::source::tests::context;

    fn session(login: Login, headers: HeaderMap) -> Session {
        let registry = Url::parse("https://reg.test/").unwrap();
        Session::new(registry, "a/b", (login, headers), Link::new(context()).unwrap())
    }

    fn password() -> Login {
        Login::Password(Credentials { user: "u".to_owned(), password: Some(Secret::new("p".to_owned())) })
    }

    fn renewed(session: &Session, challenge: &'static str) -> Result<Again, String> {
        let mut answer = HeaderMap::new();
        answer.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        session.link.wait(session.renew(&answer)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_password_is_sent_when_it_is_asked_for_and_once() {
        let session = session(password(), HeaderMap::new());
        assert!(session.headers().is_empty());
        assert_eq!(renewed(&session, "Basic realm=x"), Ok(Again::Yes));
        assert_eq!(session.headers().get(AUTHORIZATION).unwrap(), "Basic dTpw");
        assert_eq!(renewed(&session, "Basic realm=x"), Ok(Again::No));
    }

    #[test]
    fn without_an_answer_there_is_no_other_try() {
        for challenge in ["Basic realm=x", "Negotiate", "Bearer service=x", ""] {
            assert_eq!(renewed(&session(Login::Anonymous, HeaderMap::new()), challenge), Ok(Again::No));
        }
        let own = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer mine"))]);
        let session = session(Login::Anonymous, own);
        assert_eq!(renewed(&session, "Bearer realm=\"https://reg.test/t\""), Ok(Again::No));
        assert_eq!(session.headers().get(AUTHORIZATION).unwrap(), "Bearer mine");
    }

    #[test]
    fn a_token_server_where_none_should_be_is_not_asked() {
        let session = session(password(), HeaderMap::new());
        for (challenge, words) in [
            ("Bearer realm=\"http://reg.test/t\"", "plain HTTP"),
            ("Bearer realm=\"file:///etc/passwd?s3cr3t\"", "no https:// URL"),
            ("Bearer realm=\"nothing?s3cr3t\"", "no URL"),
            ("Bearer realm=\"https://169.254.169.254/t\"", "leads to 169.254.169.254"),
            ("Bearer realm=\"https://127.0.0.1:9/t\"", "leads to 127.0.0.1"),
        ] {
            let error = Error::from(
                session
                    .link
                    .wait(async {
                        let mut answer = HeaderMap::new();
                        answer.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
                        session.renew(&answer).await
                    })
                    .unwrap_err(),
            );
            assert_eq!(error.kind(), Kind::Refused);
            assert!(error.to_string().contains(words) && !error.to_string().contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn tokens_come_in_two_spellings_and_expire() {
        let life =
            |body: &str| Token::parse(body.as_bytes()).map(|token| (token.text.to_string(), token.life)).ok();
        assert_eq!(life(r#"{"token": "a", "expires_in": 300}"#), Some(("a".to_owned(), 300)));
        assert_eq!(
            life(r#"{"token": "", "access_token": "b", "expires_in": 0}"#),
            Some(("b".to_owned(), 60))
        );
        for body in ["{}", "[]", "s3cr3t", r#"{"token": 1}"#, r#"{"token": "a", "expires_in": "x"}"#] {
            assert_eq!(life(body), None, "{body}");
        }
        let broken = Token { text: "a\nb".to_owned().into(), life: 1 };
        assert!(broken.proof().is_err());
        let session = session(Login::Anonymous, HeaderMap::new());
        let value = HeaderValue::from_static("Bearer x");
        session
            .keep(Proof { value: value.clone(), until: Instant::now().checked_add(Duration::from_secs(60)) });
        assert!(session.headers().contains_key(AUTHORIZATION));
        session.keep(Proof { value, until: Some(Instant::now()) });
        assert!(!session.headers().contains_key(AUTHORIZATION));
    }
}
