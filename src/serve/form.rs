//! The file in a form: the first part named `file`, as it arrives.
//!
//! Refuses to know: what the file is. What comes before it is passed over, within bounds.

use bytes::Bytes;
use http_body_util::BodyDataStream;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use multer::{Field, Multipart};

use super::body::{Allowance, BodyError, Metered};
use crate::error::{Error, Kind};

/// The name of the part that is taken.
const NAME: &str = "file";

/// Why a form brings no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    /// The body is not a form as RFC 7578 has it.
    #[error("the form cannot be read")]
    Malformed(#[source] multer::Error),
    /// It has parts, and none of the right name.
    #[error("the form has no part named \"{NAME}\"")]
    NoFile,
    /// The body did not arrive.
    #[error(transparent)]
    Body(Error),
}

/// A part of a form whose bytes arrive.
pub(super) struct FilePart {
    form: Multipart<'static>,
    part: Option<Field<'static>>,
    allowance: Allowance,
}

/// The boundary that `headers` name.
pub(super) fn boundary(headers: &HeaderMap) -> Result<String, FormError> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    multer::parse_boundary(value.unwrap_or_default()).map_err(FormError::Malformed)
}

impl FilePart {
    /// The file in the form that `body` is.
    pub(super) async fn find(body: Metered, boundary: String) -> Result<Self, FormError> {
        let allowance = body.allowance();
        allowance.aside();
        let mut form = Multipart::new(BodyDataStream::new(body), boundary);
        loop {
            let part = form.next_field().await.map_err(broken)?.ok_or(FormError::NoFile)?;
            if part.name() == Some(NAME) {
                allowance.image();
                return Ok(Self { form, part: Some(part), allowance });
            }
        }
    }

    /// The next bytes of the file; none when the form has ended after it.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(part) = &mut self.part {
            if let Some(bytes) = part.chunk().await.map_err(cut)? {
                return Ok(Some(bytes));
            }
            self.part = None;
            self.allowance.aside();
            self.finish().await?;
        }
        Ok(None)
    }

    /// Reads the form to its end, so that a file that a cut made short never looks whole.
    async fn finish(&mut self) -> Result<(), Error> {
        loop {
            match self.form.next_field().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                // The file's end was seen; what the client adds to it is its own matter.
                Err(multer::Error::StreamReadFailed(cause)) if is_aside(&*cause) => return Ok(()),
                Err(error) => return Err(cut(error)),
            }
        }
    }
}

fn is_aside(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(BodyError::Aside))
}

/// What went wrong before the file began.
fn broken(error: multer::Error) -> FormError {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<BodyError>() {
            Ok(cause) if !matches!(*cause, BodyError::Aside) => FormError::Body(Error::from(*cause)),
            Ok(cause) => FormError::Malformed(multer::Error::StreamReadFailed(cause)),
            Err(cause) => FormError::Malformed(multer::Error::StreamReadFailed(cause)),
        },
        error => FormError::Malformed(error),
    }
}

/// What went wrong within the file or after it.
fn cut(error: multer::Error) -> Error {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<BodyError>() {
            Ok(cause) => Error::from(*cause),
            Err(cause) => Error::new(Kind::Other, cause),
        },
        error => Error::new(Kind::Integrity, FormError::Malformed(error)),
    }
}
