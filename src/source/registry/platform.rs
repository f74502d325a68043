//! Which image of an index is for the machine that is wanted.

use super::error::RegistryError;
use super::manifest::{Entry, Platform};
use super::words::{MOST_NAMES, list, shown};

/// The architecture that is wanted, in Go's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    arch: String,
    variant: Option<String>,
    /// The user asked for it, so that a single image of another one will not do.
    asked: bool,
}

impl Wish {
    /// What the user asked for as `ARCH` or `ARCH/VARIANT`; this machine's architecture if `None`.
    pub(super) fn new(asked: Option<&str>) -> Self {
        let text = asked.unwrap_or(std::env::consts::ARCH).to_ascii_lowercase();
        let (arch, variant) = match text.split_once('/') {
            Some((arch, variant)) => (arch, Some(variant.to_owned())),
            None => (text.as_str(), None),
        };
        Self { arch: go_name(arch).to_owned(), variant, asked: asked.is_some() }
    }

    /// The entry of an index that fits: for Linux, of the architecture, the first of several.
    ///
    /// # Errors
    /// [`RegistryError::Architecture`], which names what there is.
    pub(super) fn choose<'a>(&self, entries: &'a [Entry]) -> Result<&'a Entry, RegistryError> {
        let images: Vec<&Entry> = entries.iter().filter(|entry| !entry.attestation).collect();
        let fits = |entry: &&&Entry| entry.platform.as_ref().is_some_and(|platform| self.fits(platform));
        if let Some(entry) = images.iter().find(fits) {
            return Ok(entry);
        }
        match images.as_slice() {
            // Its configuration says what it is for.
            [only] if only.platform.is_none() => Ok(only),
            [] => Err(RegistryError::shape("the index", "names no image")),
            _ => Err(RegistryError::Architecture { wanted: self.to_string(), existing: existing(&images) }),
        }
    }

    /// That an image for `found` is what the user asked for, if the user asked.
    ///
    /// # Errors
    /// [`RegistryError::OtherArchitecture`].
    pub(super) fn check(&self, found: &Platform) -> Result<(), RegistryError> {
        if !self.asked || found.architecture.is_empty() || go_name(&found.architecture) == self.arch {
            return Ok(());
        }
        Err(RegistryError::OtherArchitecture { wanted: self.to_string(), found: shown(&found.architecture) })
    }

    fn fits(&self, platform: &Platform) -> bool {
        let variant = self.variant.as_ref().is_none_or(|wanted| *wanted == platform.variant);
        variant
            && go_name(&platform.architecture) == self.arch
            && matches!(platform.os.as_str(), "linux" | "")
    }
}

impl std::fmt::Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(&self.arch))?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{}", shown(variant)))
    }
}

/// What the entries are for, each once.
fn existing(entries: &[&Entry]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut total = 0_usize;
    for platform in entries.iter().filter_map(|entry| entry.platform.as_ref()) {
        let mut name = shown(&platform.architecture);
        if !platform.variant.is_empty() {
            name = format!("{name}/{}", shown(&platform.variant));
        }
        if !matches!(platform.os.as_str(), "linux" | "") {
            name = format!("{name} ({})", shown(&platform.os));
        }
        if !names.contains(&name) {
            total = total.saturating_add(1);
            if names.len() < MOST_NAMES {
                names.push(name);
            }
        }
    }
    if names.is_empty() { "machines that the index does not name".to_owned() } else { list(&names, total) }
}

/// The name that Go, and so every registry, gives an architecture.
fn go_name(arch: &str) -> &str {
    match arch {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        "powerpc64" | "powerpc64le" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::registry::digest::Digest;
    use crate::source::registry::manifest::Descriptor;

    fn entry(platform: Option<(&str, &str, &str)>) -> Entry {
        let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        let platform = platform.map(|(architecture, variant, os)| Platform {
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            os: os.to_owned(),
        });
        let attestation = platform.as_ref().is_some_and(|platform| platform.architecture == "unknown");
        Entry {
            descriptor: Descriptor { media: String::new(), digest, size: 1 },
            platform,
            ref_name: None,
            attestation,
        }
    }

    fn chosen(wish: Option<&str>, entries: &[Entry]) -> Result<usize, String> {
        let found = Wish::new(wish).choose(entries).map_err(|error| error.to_string())?;
        Ok(entries.iter().position(|entry| std::ptr::eq(entry, found)).unwrap())
    }

    #[test]
    fn the_first_entry_that_fits_is_chosen() {
        let entries = [
            entry(Some(("unknown", "", "unknown"))),
            entry(Some(("amd64", "", "windows"))),
            entry(Some(("arm", "v6", "linux"))),
            entry(Some(("arm", "v7", "linux"))),
            entry(Some(("amd64", "", "linux"))),
        ];
        assert_eq!(chosen(Some("amd64"), &entries), Ok(4));
        assert_eq!(chosen(Some("x86_64"), &entries), Ok(4));
        assert_eq!(chosen(Some("arm"), &entries), Ok(2));
        assert_eq!(chosen(Some("arm/v7"), &entries), Ok(3));
        let words =
            "the image exists for amd64 (windows), arm/v6, arm/v7, amd64, not for s390x; --arch chooses";
        assert_eq!(chosen(Some("s390x"), &entries), Err(words.to_owned()));
        assert_eq!(chosen(Some("amd64"), &[entry(None)]), Ok(0));
        assert!(chosen(Some("amd64"), &[entry(None), entry(None)]).is_err());
        assert_eq!(chosen(None, &[]), Err("the index names no image".to_owned()));
        assert_eq!(chosen(None, &entries[..1]), Err("the index names no image".to_owned()));
    }

    #[test]
    fn a_single_image_is_held_to_what_was_asked_only() {
        let arm = Platform { architecture: "arm64".to_owned(), ..Platform::default() };
        assert!(Wish::new(None).check(&arm).is_ok());
        assert!(Wish::new(Some("aarch64")).check(&arm).is_ok());
        assert!(Wish::new(Some("amd64")).check(&Platform::default()).is_ok());
        let error = Wish::new(Some("amd64")).check(&arm).unwrap_err().to_string();
        assert_eq!(error, "the image is for arm64, --arch asks for amd64");
    }
}
