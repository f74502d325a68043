//! What `docker save` writes: a tar with a manifest of its own and the layers as files in it.
//!
//! Its layers are held to the hashes of their tars, which the configuration names.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::archive::Archive;
use super::digest::Digest;
use super::error::RegistryError;
use super::manifest::{MOST_DOCUMENT, json};
use super::platform::Wish;
use super::reference::Reference;
use super::store::{Layer, Store, Told, configuration};
use super::verified::{Promise, small};
use super::words::{MOST_NAMES, list, shown};
use crate::error::Error;
use crate::io::Sequential;
use crate::progress::Stop;
use crate::source::Context;

/// Layers of one image.
const MOST_LAYERS: usize = 1000;

/// An archive, and the name of an image in it.
pub(super) struct Saved {
    archive: Archive,
    wanted: Option<Reference>,
    /// The members that hold the layers.
    layers: Vec<String>,
    stop: Arc<Stop>,
}

/// One image of the archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Saved {
    /// The archive at `path`, which is read once.
    ///
    /// # Errors
    /// As for [`Archive::open`].
    pub(super) fn open(path: &Path, wanted: Option<Reference>, context: &Context) -> Result<Self, Error> {
        let archive = Archive::open(path, context)?;
        Ok(Self { archive, wanted, layers: Vec::new(), stop: Arc::clone(&context.stop) })
    }

    fn document(&self, name: &str, what: &str, digest: Option<Digest>) -> Result<Vec<u8>, Error> {
        let (stream, len) = self.archive.member(name)?;
        let promise = Promise { what: what.to_owned(), digest, size: Some(len) };
        small(stream, promise, MOST_DOCUMENT, &self.stop)
    }

    /// The image that the user named.
    fn item(&self) -> Result<Item, Error> {
        let mut items: Vec<Item> =
            json(&self.document("manifest.json", "manifest.json", None)?, "manifest.json")?;
        let tags = |items: &[Item]| {
            let tags: Vec<&String> =
                items.iter().filter_map(|item| item.repo_tags.as_ref()).flatten().collect();
            let names: Vec<String> = tags.iter().take(MOST_NAMES).map(shown).collect();
            if names.is_empty() { "none with a name".to_owned() } else { list(&names, tags.len()) }
        };
        let Some(wanted) = &self.wanted else {
            return match items.len() {
                1 => {
                    items.pop().ok_or_else(|| RegistryError::shape("manifest.json", "names no image").into())
                }
                0 => Err(RegistryError::shape("manifest.json", "names no image").into()),
                _ => {
                    let text = format!("the archive has several images: {}; add :NAME", tags(&items));
                    Err(RegistryError::Absent(text).into())
                }
            };
        };
        let name = wanted.to_string();
        let is_wanted = |tag: &String| Reference::parse(tag).is_ok_and(|tag| tag.to_string() == name);
        let at = items.iter().position(|item| item.repo_tags.iter().flatten().any(is_wanted));
        match at {
            Some(at) => Ok(items.swap_remove(at)),
            None => {
                let text = format!("the archive has no image named {wanted}; it has {}", tags(&items));
                Err(RegistryError::Absent(text).into())
            }
        }
    }
}

impl Store for Saved {
    fn image(&mut self, wish: &Wish) -> Result<(Vec<Layer>, Vec<String>), Error> {
        let item = self.item()?;
        let bytes = self.document(&item.config, "the configuration", named(&item.config))?;
        let Told { hashes, env } = configuration(&bytes, wish)?;
        if hashes.len() != item.layers.len() || item.layers.len() > MOST_LAYERS {
            let why = format!("names {} layers, the configuration {}", item.layers.len(), hashes.len());
            return Err(RegistryError::shape("manifest.json", why).into());
        }
        let mut layers = Vec::new();
        for (number, (name, hash)) in item.layers.iter().zip(&hashes).enumerate() {
            let size = self.archive.size(name)?;
            layers.push(Layer { number, size, stored: None, plain: Some(Digest::parse(hash)?) });
        }
        self.layers = item.layers;
        Ok((layers, env))
    }

    fn layer(&self, layer: &Layer) -> Result<Sequential, Error> {
        let name = self.layers.get(layer.number);
        let name = name.ok_or_else(|| RegistryError::shape("the image", "has no such layer"))?;
        Ok(self.archive.member(name)?.0)
    }
}

/// The digest that a configuration's name is, as Docker calls them: `HEX.json`, `blobs/sha256/HEX`.
fn named(config: &str) -> Option<Digest> {
    let hex = config.strip_suffix(".json").or_else(|| config.strip_prefix("blobs/sha256/"))?;
    Digest::parse(&format!("sha256:{hex}")).ok()
}
