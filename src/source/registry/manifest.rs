//! Manifests and indexes: bytes in, facts out, everything that is doubtful refused.
//!
//! Refuses to know: where documents come from, and whether they are the ones that were promised.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::digest::Digest;
use super::error::RegistryError;
use super::media::MediaType;
use super::words::shown;

/// The longest manifest, index or configuration, in bytes.
pub(super) const MOST_DOCUMENT: u64 = 4 << 20;

/// Layers of one image.
const MOST_LAYERS: usize = 1000;

/// What names a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) media: String,
    pub(super) digest: Digest,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// The machine that an image is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) variant: String,
}

/// One image of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) descriptor: Descriptor,
    pub(super) platform: Option<Platform>,
    /// The name that a layout gives it.
    pub(super) ref_name: Option<String>,
    /// It speaks of another entry and is no image.
    pub(super) attestation: bool,
}

/// A document that names images or layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    Index(Vec<Entry>),
    Image { config: Descriptor, layers: Vec<Descriptor> },
}

/// Reads `bytes`, which came as `media` where anybody said so.
///
/// # Errors
/// [`RegistryError::Shape`], [`RegistryError::OverLimit`], [`RegistryError::Digest`].
pub(super) fn parse(bytes: &[u8], media: Option<&str>) -> Result<Manifest, RegistryError> {
    let wrong = |why: &str| RegistryError::shape("the manifest", why);
    let document: Document = json(bytes, "the manifest")?;
    let told = |text: Option<&str>| text.map_or(MediaType::Unknown, MediaType::parse);
    let (outside, inside) = (told(media), told(document.media_type.as_deref()));
    let schema1 = document.schema_version == Some(1) || document.fs_layers.is_some();
    if schema1 || outside == MediaType::Schema1 || inside == MediaType::Schema1 {
        return Err(wrong(
            "is of Docker's schema 1, which is not supported; push the image again with a newer tool",
        ));
    }
    if document.schema_version != Some(2) {
        return Err(wrong("has no schemaVersion 2"));
    }
    let shape = match (document.manifests, document.layers, document.config) {
        (Some(_), Some(_), _) => {
            return Err(wrong("has both `manifests` and `layers`, so that readers disagree"));
        }
        (Some(entries), None, None) => Shape::Index(entries),
        (None, Some(layers), Some(config)) => Shape::Image(layers, config),
        _ => return Err(wrong("is neither an index nor the manifest of an image")),
    };
    let expected = match shape {
        Shape::Index(_) => MediaType::Index,
        Shape::Image(..) => MediaType::Manifest,
    };
    if [outside, inside].into_iter().any(|told| told != MediaType::Unknown && told != expected) {
        return Err(wrong("has another media type than its content"));
    }
    match shape {
        Shape::Index(entries) => {
            Ok(Manifest::Index(entries.into_iter().map(RawEntry::checked).collect::<Result<_, _>>()?))
        }
        Shape::Image(layers, config) => image(layers, config),
    }
}

enum Shape {
    Index(Vec<RawEntry>),
    Image(Vec<RawEntry>, RawEntry),
}

fn image(layers: Vec<RawEntry>, config: RawEntry) -> Result<Manifest, RegistryError> {
    if layers.len() > MOST_LAYERS {
        let (found, cap) = (layers.len(), MOST_LAYERS);
        return Err(RegistryError::OverLimit {
            what: "the image".to_owned(),
            found: u64::try_from(found).unwrap_or(u64::MAX),
            unit: "layers",
            cap: u64::try_from(cap).unwrap_or(u64::MAX),
        });
    }
    let config = config.checked()?.descriptor;
    if MediaType::parse(&config.media) != MediaType::Config {
        let why = format!("is that of an artifact ({}), not of a container image", shown(&config.media));
        return Err(RegistryError::shape("the manifest", why));
    }
    let layers =
        layers.into_iter().enumerate().map(|(at, layer)| layer.layer(at)).collect::<Result<_, _>>()?;
    Ok(Manifest::Image { config, layers })
}

/// The value that `bytes` are in JSON; errors show places, not content.
///
/// # Errors
/// [`RegistryError::Shape`].
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let why = match error.classify() {
            serde_json::error::Category::Data => "does not have the shape of one",
            _ => "is no JSON, or too deep",
        };
        RegistryError::shape(what, format!("{why} (line {}, column {})", error.line(), error.column()))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<Vec<RawEntry>>,
    layers: Option<Vec<RawEntry>>,
    config: Option<RawEntry>,
    fs_layers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    urls: Option<Vec<IgnoredAny>>,
    platform: Option<Platform>,
    annotations: Option<Annotations>,
}

/// The annotations that mean something to us.
#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    ref_name: Option<String>,
    #[serde(rename = "vnd.docker.reference.type")]
    reference_type: Option<IgnoredAny>,
}

impl RawEntry {
    fn checked(self) -> Result<Entry, RegistryError> {
        let descriptor =
            Descriptor { media: self.media_type, digest: Digest::parse(&self.digest)?, size: self.size };
        let (ref_name, refers) = match self.annotations {
            Some(annotations) => (annotations.ref_name, annotations.reference_type.is_some()),
            None => (None, false),
        };
        let unknown = self.platform.as_ref().is_some_and(|platform| platform.architecture == "unknown");
        Ok(Entry { descriptor, platform: self.platform, ref_name, attestation: refers || unknown })
    }

    /// The layer with the number `at` from the bottom.
    fn layer(self, at: usize) -> Result<Descriptor, RegistryError> {
        let what = format!("layer {} of the image", at.saturating_add(1));
        let foreign = self.urls.as_ref().is_some_and(|urls| !urls.is_empty());
        let why = match MediaType::parse(&self.media_type) {
            MediaType::Layer if !foreign => return Ok(self.checked()?.descriptor),
            MediaType::Layer | MediaType::Foreign => {
                "is a foreign layer: it lies at URLs that the image names, which are never asked".to_owned()
            }
            MediaType::Encrypted => "is encrypted, which is not supported".to_owned(),
            _ => format!("is of the type `{}`, which is not supported", shown(&self.media_type)),
        };
        Err(RegistryError::shape(what, why))
    }
}

#[cfg(test)]
mod tests;
