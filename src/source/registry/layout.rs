//! An OCI image layout: a directory or a tar with an index and blobs under their digests.
//!
//! Names come from parsed digests only; a path from the content is never opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::digest::Digest;
use super::error::RegistryError;
use super::local::LocalFile;
use super::manifest::{Descriptor, Entry, MOST_DOCUMENT, Manifest, parse};
use super::media::MediaType;
use super::store::{Blobs, document};
use super::verified::{Promise, small, too_large};
use super::words::{list, shown};
use crate::error::Error;
use crate::io::Sequential;
use crate::progress::Stop;
use crate::source::Context;

/// A place with names.
enum Shelf {
    Directory(PathBuf, Context),
    Archive(Archive),
}

impl Shelf {
    /// The file called `name`, which is ours and no content, and its length.
    fn file(&self, name: &str) -> Result<(Sequential, u64), Error> {
        match self {
            Self::Archive(archive) => archive.member(name),
            Self::Directory(path, context) => {
                let file = LocalFile::open(&path.join(name), context)?;
                Ok((file.whole().into_stream(), file.len()))
            }
        }
    }
}

/// A layout, and the name of an image in it.
pub(super) struct Layout {
    shelf: Shelf,
    wanted: Option<String>,
    stop: Arc<Stop>,
}

impl Layout {
    /// The layout in the directory `path`.
    pub(super) fn directory(path: &Path, wanted: Option<String>, context: &Context) -> Self {
        let stop = Arc::clone(&context.stop);
        Self { shelf: Shelf::Directory(path.to_owned(), context.clone()), wanted, stop }
    }

    /// The layout in the tar at `path`, which is read once.
    ///
    /// # Errors
    /// As for [`Archive::open`].
    pub(super) fn archive(path: &Path, wanted: Option<String>, context: &Context) -> Result<Self, Error> {
        let stop = Arc::clone(&context.stop);
        Ok(Self { shelf: Shelf::Archive(Archive::open(path, context)?), wanted, stop })
    }

    /// The entries of the layout's index that have the name that is wanted.
    fn entries(&self) -> Result<Vec<Entry>, Error> {
        let (stream, len) = self.shelf.file("index.json")?;
        if len > MOST_DOCUMENT {
            return Err(too_large("index.json".to_owned(), len, MOST_DOCUMENT).into());
        }
        let promise = Promise { what: "index.json".to_owned(), digest: None, size: Some(len) };
        let bytes = small(stream, promise, MOST_DOCUMENT, &self.stop)?;
        let Manifest::Index(entries) = parse(&bytes, None)? else {
            return Err(RegistryError::shape("index.json", "is no index").into());
        };
        let all: Vec<Entry> = entries.into_iter().filter(|entry| !entry.attestation).collect();
        let Some(wanted) = &self.wanted else { return Ok(all) };
        let named = |entry: &&Entry| entry.ref_name.as_ref() == Some(wanted);
        let some: Vec<Entry> = all.iter().filter(named).cloned().collect();
        if some.is_empty() {
            let text = format!("the layout has no image named {}; it has {}", shown(wanted), names(&all));
            return Err(RegistryError::Absent(text).into());
        }
        Ok(some)
    }
}

/// The names of `entries`.
fn names(entries: &[Entry]) -> String {
    let named: Vec<String> = entries.iter().filter_map(|entry| entry.ref_name.as_ref().map(shown)).collect();
    match (named.len(), entries.len()) {
        (_, 0) => "no image".to_owned(),
        (0, total) => format!("{total} without a name"),
        (total, _) => list(&named, total),
    }
}

impl Blobs for Layout {
    fn root(&self) -> Result<Manifest, Error> {
        let entries = self.entries()?;
        match entries.as_slice() {
            [only] => {
                let descriptor = &only.descriptor;
                let what = match MediaType::parse(&descriptor.media) {
                    MediaType::Index => "the index",
                    _ => "the manifest",
                };
                let bytes = document(descriptor, what, &self.stop, |it| self.manifest(it))?;
                Ok(parse(&bytes, Some(&descriptor.media))?)
            }
            [] => Err(RegistryError::shape("index.json", "names no image").into()),
            // One image for several machines, its index flattened.
            several if several.iter().all(|entry| entry.platform.is_some()) && same_name(several) => {
                Ok(Manifest::Index(entries))
            }
            several => {
                let text = format!("the layout has several images: {}; add :NAME", names(several));
                Err(RegistryError::Absent(text).into())
            }
        }
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Sequential, Error> {
        self.blob(descriptor)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Sequential, Error> {
        let digest = &descriptor.digest;
        let (stream, found) = self.shelf.file(&blob_name(digest))?;
        if found != descriptor.size {
            let what = format!("the blob {}", digest.short());
            return Err(RegistryError::Size { what, expected: descriptor.size, found }.into());
        }
        Ok(stream)
    }
}

/// Whether all entries are called the same.
fn same_name(entries: &[Entry]) -> bool {
    entries.windows(2).all(|pair| matches!(pair, [a, b] if a.ref_name == b.ref_name))
}

/// Where a layout keeps the blob of a digest.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
