//! From what the user named to the layers of one image.
//!
//! Refuses to know: files and networks. A store hands out documents and blobs; whether they are the
//! ones that were promised is seen to here and in `layer`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::digest::Digest;
use super::error::RegistryError;
use super::manifest::{Descriptor, MOST_DOCUMENT, Manifest, Platform, json, parse};
use super::platform::Wish;
use super::verified::{Promise, small, too_large};
use crate::error::Error;
use crate::io::Sequential;
use crate::progress::Stop;

/// One layer of an image, and what it is held to.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Its number from the bottom, from 0 on.
    pub(super) number: usize,
    /// Its length as it is stored, in bytes.
    pub(super) size: u64,
    /// What it hashes to as it is stored.
    pub(super) stored: Option<Digest>,
    /// What its tar hashes to.
    pub(super) plain: Option<Digest>,
}

/// A place that holds an image's layers.
pub(super) trait Store: Send {
    /// The layers of the image that the user named, the lowest first, and its environment.
    ///
    /// # Errors
    /// Whatever keeps the documents from being read, or is wrong with them.
    fn image(&mut self, wish: &Wish) -> Result<(Vec<Layer>, Vec<String>), Error>;

    /// The bytes of `layer` as they are stored, not verified.
    ///
    /// # Errors
    /// Whatever keeps them from being read.
    fn layer(&self, layer: &Layer) -> Result<Sequential, Error>;
}

/// A place that holds blobs under their digests; none of what it gives is verified.
pub(super) trait Blobs: Send {
    /// The document that the user named.
    ///
    /// # Errors
    /// Whatever keeps it from being read, or is wrong with it.
    fn root(&self) -> Result<Manifest, Error>;

    /// A manifest that an index names.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Sequential, Error>;

    /// A configuration or a layer.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn blob(&self, descriptor: &Descriptor) -> Result<Sequential, Error>;
}

/// An image whose layers lie under their digests.
pub(super) struct Image<B> {
    blobs: B,
    layers: Vec<Descriptor>,
    stop: Arc<Stop>,
}

impl<B: Blobs> Image<B> {
    /// The image that `blobs` names; nothing is read yet.
    pub(super) fn new(blobs: B, stop: Arc<Stop>) -> Self {
        Self { blobs, layers: Vec::new(), stop }
    }

    /// The configuration and the layers of the image that fits `wish`.
    fn chosen(&self, wish: &Wish) -> Result<(Descriptor, Vec<Descriptor>), Error> {
        let entries = match self.blobs.root()? {
            Manifest::Image { config, layers } => return Ok((config, layers)),
            Manifest::Index(entries) => entries,
        };
        let descriptor = &wish.choose(&entries)?.descriptor;
        let bytes = document(descriptor, "the manifest", &self.stop, |it| self.blobs.manifest(it))?;
        match parse(&bytes, Some(&descriptor.media))? {
            Manifest::Image { config, layers } => Ok((config, layers)),
            Manifest::Index(_) => {
                Err(RegistryError::shape("the manifest", "is an index within an index, not an image").into())
            }
        }
    }
}

impl<B: Blobs> Store for Image<B> {
    fn image(&mut self, wish: &Wish) -> Result<(Vec<Layer>, Vec<String>), Error> {
        let (config, layers) = self.chosen(wish)?;
        let bytes = document(&config, "the configuration", &self.stop, |it| self.blobs.blob(it))?;
        let env = configuration(&bytes, wish)?.env;
        self.layers = layers;
        let layer = |(number, layer): (usize, &Descriptor)| Layer {
            number,
            size: layer.size,
            stored: Some(layer.digest.clone()),
            plain: None,
        };
        Ok((self.layers.iter().enumerate().map(layer).collect(), env))
    }

    fn layer(&self, layer: &Layer) -> Result<Sequential, Error> {
        let descriptor = self.layers.get(layer.number);
        self.blobs.blob(descriptor.ok_or_else(|| RegistryError::shape("the image", "has no such layer"))?)
    }
}

/// The bytes of `descriptor`, which `open` opens, verified.
///
/// # Errors
/// [`RegistryError::OverLimit`] before anything is read; whatever `open` and the digest say.
pub(super) fn document(
    descriptor: &Descriptor,
    what: &str,
    stop: &Arc<Stop>,
    open: impl FnOnce(&Descriptor) -> Result<Sequential, Error>,
) -> Result<Vec<u8>, Error> {
    if descriptor.size > MOST_DOCUMENT {
        return Err(too_large(what.to_owned(), descriptor.size, MOST_DOCUMENT).into());
    }
    let promise = Promise {
        what: format!("{what} {}", descriptor.digest.short()),
        digest: Some(descriptor.digest.clone()),
        size: Some(descriptor.size),
    };
    small(open(descriptor)?, promise, MOST_DOCUMENT, stop)
}

/// What a configuration says that concerns us.
#[derive(Debug)]
pub(super) struct Told {
    /// The hashes of the layers' tars, the lowest first.
    pub(super) hashes: Vec<String>,
    /// The environment of containers, as `NAME=value`.
    pub(super) env: Vec<String>,
}

/// Reads a configuration.
///
/// # Errors
/// [`RegistryError`] when the image is not what was asked for, or not for us.
pub(super) fn configuration(bytes: &[u8], wish: &Wish) -> Result<Told, RegistryError> {
    let config: Configuration = json(bytes, "the configuration")?;
    let inner = config.config.unwrap_or_default();
    let labels = inner.labels;
    if labels.is_some_and(|labels| labels.bootc.is_some_and(set) || labels.bootable.is_some_and(set)) {
        return Err(RegistryError::Bootc);
    }
    wish.check(&config.platform)?;
    let hashes = config.rootfs.and_then(|rootfs| rootfs.diff_ids).unwrap_or_default();
    Ok(Told { hashes, env: inner.env.unwrap_or_default() })
}

/// Whether a label is switched on.
fn set(label: Value) -> bool {
    label.as_str().is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true"))
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(flatten)]
    platform: Platform,
    config: Option<Inner>,
    rootfs: Option<Rootfs>,
}

#[derive(Default, Deserialize)]
struct Inner {
    #[serde(rename = "Labels")]
    labels: Option<Labels>,
    #[serde(rename = "Env")]
    env: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(rename = "containers.bootc")]
    bootc: Option<Value>,
    #[serde(rename = "ostree.bootable")]
    bootable: Option<Value>,
}

#[derive(Deserialize)]
struct Rootfs {
    diff_ids: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootc_images_and_other_architectures_are_refused_by_name() {
        let amd64 = Wish::new(Some("amd64"));
        let table = [
            (r#"{"config": {"Labels": {"containers.bootc": "1"}}}"#, "bootc image detected"),
            (r#"{"config": {"Labels": {"ostree.bootable": "true"}}}"#, "bootc image detected"),
            (r#"{"architecture": "arm64"}"#, "for arm64"),
            (r#"{"config": []}"#, "shape"),
            ("nothing", "no JSON"),
        ];
        for (text, words) in table {
            let error = configuration(text.as_bytes(), &amd64).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        for text in [
            r#"{"architecture": "amd64", "config": {"Labels": {"containers.bootc": "0"}}}"#,
            r#"{"config": {"Labels": null, "Env": null}, "history": []}"#,
            r#"{"config": null, "rootfs": {"type": "layers"}}"#,
        ] {
            let told = configuration(text.as_bytes(), &amd64).unwrap();
            assert!(told.hashes.is_empty() && told.env.is_empty(), "{text}");
        }
        let text = br#"{"rootfs": {"diff_ids": ["a", "b"]}, "config": {"Env": ["A=b"]}}"#;
        let told = configuration(text, &amd64).unwrap();
        assert_eq!((told.hashes, told.env), (vec!["a".to_owned(), "b".to_owned()], vec!["A=b".to_owned()]));
    }
}
