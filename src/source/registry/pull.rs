//! An image in a registry: documents and blobs by the distribution interface.
//!
//! Refuses to know: redirects, retries and ranges, which are the HTTP layer's.

use std::io::Cursor;
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use url::Url;

use super::authfile::{self, Login};
use super::error::RegistryError;
use super::manifest::{Descriptor, MOST_DOCUMENT, Manifest, parse};
use super::media::ACCEPT;
use super::reference::{Reference, Target};
use super::session::Session;
use super::store::Blobs;
use super::verified::too_large;
use crate::error::{Classify, Error, Kind};
use crate::io::Sequential;
use crate::source::http::{Document, Failure, HttpError, Link, Remote};
use crate::source::setting::{self, SettingError};
use crate::source::{Context, Verification};

/// The limit for documents in the type of lengths in memory.
const LIMIT: usize = 4 << 20;

/// A repository that is being asked.
pub(super) struct Pull {
    /// The registry's own URL.
    registry: Url,
    reference: Reference,
    session: Arc<Session>,
    link: Arc<Link>,
}

/// Why one kind of document or another did not come.
enum Missing {
    Http(Box<Failure>),
    Other(Error),
}

/// An image in a registry, and the document that its reference names.
pub(super) struct Pulled {
    pull: Pull,
    root: Document,
}

impl Pulled {
    /// Asks for the image `reference`.
    ///
    /// # Errors
    /// Settings that cannot be used; whatever the registry or the way there fails with.
    pub(super) fn new(reference: &Reference, context: &Context) -> Result<Self, Error> {
        let link = Link::new(context.clone())?;
        let who = who(reference, context)?;
        let failed = match Self::over("https", reference, who.clone(), &link) {
            Ok(pulled) => return Ok(pulled),
            Err(failed) => failed,
        };
        if context.network.verification == Verification::Insecure && failed.may_be_plain() {
            tracing::warn!(
                "{} speaks no TLS; going on over plain HTTP, as --insecure allows",
                reference.host()
            );
            match Self::over("http", reference, who, &link) {
                // Nobody was there either: the first failure says more.
                Err(Missing::Http(second)) if second.kind() == Kind::Unreachable => {}
                other => return other.map_err(Error::from),
            }
        }
        Err(failed.into())
    }

    fn over(
        scheme: &str,
        reference: &Reference,
        who: (Login, HeaderMap),
        link: &Arc<Link>,
    ) -> Result<Self, Missing> {
        let registry = Url::parse(&format!("{scheme}://{}/", reference.host()));
        let registry = registry.map_err(|_| RegistryError::Reference {
            text: reference.to_string(),
            why: "the registry's name makes no URL",
        })?;
        let session = Arc::new(Session::new(registry.clone(), reference.path(), who, Arc::clone(link)));
        let pull = Pull { registry, reference: reference.clone(), session, link: Arc::clone(link) };
        let root = pull.document(&match reference.target() {
            Target::Tag(tag) => tag,
            Target::Digest(digest) => digest.to_string(),
        })?;
        Ok(Self { pull, root })
    }
}

impl Pull {
    fn remote(&self, kind: &str, name: &str) -> Result<Remote, Error> {
        let path = format!("v2/{}/{kind}/{name}", self.reference.path());
        let url = self
            .registry
            .join(&path)
            .map_err(|_| RegistryError::shape("the name of a blob", "makes no URL"))?;
        Ok(Remote::new(url, self.session.clone(), Arc::clone(&self.link)))
    }

    /// The manifest or index that `name`, a tag or a digest, names.
    fn document(&self, name: &str) -> Result<Document, Missing> {
        let remote = self.remote("manifests", name)?;
        self.link.wait(remote.document(ACCEPT, LIMIT)).map_err(|cause| match cause {
            HttpError::TooLarge { .. } => Missing::from(too_large(
                "the manifest".to_owned(),
                MOST_DOCUMENT.saturating_add(1),
                MOST_DOCUMENT,
            )),
            cause => Missing::Http(Box::new(remote.failure(0, cause))),
        })
    }
}

impl Blobs for Pulled {
    fn root(&self) -> Result<Manifest, Error> {
        let body = &self.root.body;
        if let Target::Digest(expected) = self.pull.reference.target() {
            let found = expected.of(body);
            if found != expected {
                return Err(
                    RegistryError::Mismatch { what: "the manifest".to_owned(), expected, found }.into()
                );
            }
        }
        let media = self.root.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(parse(body, media)?)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Sequential, Error> {
        let document = self.pull.document(&descriptor.digest.to_string())?;
        Ok(Sequential::new(Cursor::new(document.body), None))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Sequential, Error> {
        let remote = self.pull.remote("blobs", &descriptor.digest.to_string())?;
        Ok(Arc::new(remote).blob(descriptor.size))
    }
}

/// Who the user is at the registry of `reference`, and the headers that the user wants sent.
fn who(reference: &Reference, context: &Context) -> Result<(Login, HeaderMap), Error> {
    let network = &context.network;
    let headers = setting::headers(network)?;
    let login = match (setting::credentials(network, None)?, &network.registry.auth_file) {
        (Some(_), _) if headers.contains_key(AUTHORIZATION) => return Err(SettingError::TwoProofs.into()),
        (Some(credentials), _) => Login::Password(credentials),
        (None, Some(path)) => authfile::login(path, reference)?,
        (None, None) => Login::Anonymous,
    };
    Ok((login, headers))
}

impl Missing {
    /// Whether a server that speaks plain HTTP fails like that.
    fn may_be_plain(&self) -> bool {
        match self {
            Self::Http(failure) => {
                matches!(failure.cause, HttpError::Tls(_)) || failure.kind() == Kind::Unreachable
            }
            Self::Other(_) => false,
        }
    }
}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Http(failure) => (*failure).into(),
            Missing::Other(error) => error,
        }
    }
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<RegistryError> for Missing {
    fn from(error: RegistryError) -> Self {
        Self::Other(error.into())
    }
}
