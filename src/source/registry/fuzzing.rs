//! What the fuzz targets ask of a registry's documents and headers.

use super::manifest::{Manifest, parse};
use super::platform::Wish;
use super::reference::Reference;
use super::{challenge, realm, store};
use crate::error::Error;
use crate::source::Verification;

/// The images or layers that a manifest names, when it came as `media`.
///
/// # Errors
/// Whatever is wrong with it.
pub fn manifest(bytes: &[u8], media: Option<&str>) -> Result<usize, Error> {
    let wish = Wish::new(Some("amd64"));
    match parse(bytes, media)? {
        Manifest::Image { layers, .. } => Ok(layers.len()),
        Manifest::Index(entries) => {
            wish.choose(&entries)?;
            Ok(entries.len())
        }
    }
}

/// The layers' hashes and the environment that a configuration names, counted.
///
/// # Errors
/// Whatever is wrong with it.
pub fn configuration(bytes: &[u8]) -> Result<(usize, usize), Error> {
    let told = store::configuration(bytes, &Wish::new(Some("amd64")))?;
    Ok((told.hashes.len(), told.env.len()))
}

/// The schemes and the realms that the `WWW-Authenticate` headers `texts` offer, and whether the
/// registry `https://a.example` would let each realm see a password.
#[must_use]
pub fn challenges<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<(String, Option<(String, bool)>)> {
    let registry = url::Url::parse("https://a.example").ok();
    let judged = |realm: &str| {
        let url = url::Url::parse(realm).ok()?;
        let ask = realm::judge(registry.as_ref()?, &url, Verification::Full).ok()?;
        Some((url.to_string(), ask == realm::Ask::Signed))
    };
    let found = challenge::parse(texts).into_iter();
    found.map(|one| (one.scheme.clone(), one.param("realm").and_then(judged))).collect()
}

/// An image's reference as it is written in full.
///
/// # Errors
/// Whatever is wrong with it.
pub fn reference(text: &str) -> Result<String, Error> {
    Ok(Reference::parse(text)?.to_string())
}
