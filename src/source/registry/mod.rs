//! Container images: in a registry, in a layout, in an archive. The disk is a file in one of the layers.
//!
//! What a container would see is what is read: layers from the top, whiteouts honoured. Every byte is
//! held to a digest, and the disk ends well only when the digest of its whole layer was right.
//!
//! Refuses to know: what the disk is. Names and addresses from within an image are never followed.

mod archive;
mod authfile;
mod challenge;
mod digest;
mod disk;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod layer;
mod layout;
mod local;
mod manifest;
mod media;
mod platform;
mod pull;
mod realm;
mod reference;
mod saved;
mod session;
mod store;
mod verified;
mod view;
mod words;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::error::RegistryError;
use self::layout::Layout;
use self::pull::Pulled;
use self::reference::Reference;
use self::saved::Saved;
use self::store::{Image, Store};
use super::{Context, ImageFault, Source};
use crate::error::Error;
use crate::io::Input;

/// What the user may write in front of an image.
const SCHEMES: [&str; 4] = ["docker://", "oci:", "oci-archive:", "docker-archive:"];

/// Where an image is.
enum Place {
    Registry(Reference),
    Layout(PathBuf, Option<String>),
    LayoutArchive(PathBuf, Option<String>),
    Saved(PathBuf, Option<Reference>),
}

/// A container image, not yet looked for.
pub(super) struct Registry {
    place: Place,
    context: Context,
}

/// Whether `text` names a container image.
pub(super) fn is_image(text: &str) -> bool {
    scheme(text).is_some()
}

/// The scheme in front of `text`, and what follows it.
fn scheme(text: &str) -> Option<(&'static str, &str)> {
    SCHEMES.into_iter().find_map(|scheme| {
        let (front, rest) = text.split_at_checked(scheme.len())?;
        front.eq_ignore_ascii_case(scheme).then_some((scheme, rest))
    })
}

/// The path on this machine in the name `text` of an image; none where a registry has it.
pub(super) fn path(text: &str) -> Option<PathBuf> {
    let (_, rest) = scheme(text).filter(|(scheme, _)| *scheme != "docker://")?;
    rest.split(':').next().map(PathBuf::from)
}

/// What is wrong with the image that `error` speaks of.
pub(super) fn fault(error: &Error) -> Option<ImageFault> {
    error.find::<RegistryError>()?.fault()
}

impl Registry {
    /// The image that `text` names.
    ///
    /// # Errors
    /// [`RegistryError::Reference`] when it names none.
    pub(super) fn parse(text: &str, context: Context) -> Result<Self, Error> {
        let none = |why| RegistryError::Reference { text: words::shown(text), why };
        let (scheme, rest) = scheme(text).ok_or_else(|| none("is no container image"))?;
        if scheme == "docker://" {
            // A digest, which an @ comes before too, has no slash.
            if rest.split_once('@').is_some_and(|(_, behind)| behind.contains('/')) {
                return Err(RegistryError::Credentials.into());
            }
            return Ok(Self { place: Place::Registry(Reference::parse(rest)?), context });
        }
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name)),
            None => (rest, None),
        };
        if path.is_empty() || name == Some("") {
            return Err(none("a path makes an image, or PATH:NAME").into());
        }
        let (path, named) = (PathBuf::from(path), name.map(str::to_owned));
        let place = match scheme {
            "oci:" => Place::Layout(path, named),
            "oci-archive:" => Place::LayoutArchive(path, named),
            _ => Place::Saved(path, name.map(Reference::parse).transpose()?),
        };
        Ok(Self { place, context })
    }

    fn store(&self) -> Result<Box<dyn Store>, Error> {
        let stop = Arc::clone(&self.context.stop);
        Ok(match &self.place {
            Place::Registry(reference) => Box::new(Image::new(Pulled::new(reference, &self.context)?, stop)),
            Place::Layout(path, wanted) => {
                Box::new(Image::new(Layout::directory(path, wanted.clone(), &self.context), stop))
            }
            Place::LayoutArchive(path, wanted) => {
                Box::new(Image::new(Layout::archive(path, wanted.clone(), &self.context)?, stop))
            }
            Place::Saved(path, wanted) => Box::new(Saved::open(path, wanted.clone(), &self.context)?),
        })
    }
}

impl Source for Registry {
    fn open(self: Box<Self>) -> Result<Input, Error> {
        let name = self.name();
        let store = self.store().map_err(|cause| disk::failure(&name, cause))?;
        Ok(Input::Sequential(disk::open(store, name, self.context)?))
    }

    fn name(&self) -> String {
        let named = |scheme: &str, path: &Path, name: Option<String>| match name {
            Some(name) => format!("{scheme}:{}:{}", path.display(), words::shown(name)),
            None => format!("{scheme}:{}", path.display()),
        };
        match &self.place {
            Place::Registry(reference) => format!("docker://{reference}"),
            Place::Layout(path, wanted) => named("oci", path, wanted.clone()),
            Place::LayoutArchive(path, wanted) => named("oci-archive", path, wanted.clone()),
            Place::Saved(path, wanted) => {
                named("docker-archive", path, wanted.as_ref().map(ToString::to_string))
            }
        }
    }
}
