//! The disk in an image: found from the top layer down, and read while its layer streams by.
//!
//! The disk ends well only when the rest of its layer was read too, and held nothing against it.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::atomic::Ordering::Relaxed;

use super::digest::Digest;
use super::error::RegistryError;
use super::layer::Opened;
use super::platform::Wish;
use super::store::{Layer, Store};
use super::view::{Look, View};
use crate::archive::MemberKind;
use crate::error::{Classify, Error, Kind};
use crate::io::Sequential;
use crate::source::{Context, RegistryOptions};

/// An error, and the image where it was met.
#[derive(Debug, thiserror::Error)]
#[error("{name}")]
struct Failure {
    name: String,
    #[source]
    cause: Error,
}

impl Classify for Failure {
    fn kind(&self) -> Kind {
        self.cause.kind()
    }
}

/// `cause`, met with the image `name`.
pub(super) fn failure(name: &str, cause: Error) -> Error {
    Failure { name: name.to_owned(), cause }.into()
}

/// The disk of the image that `store` holds; messages call the image `name`.
///
/// # Errors
/// Whatever is wrong with the image, as far as it shows before the disk's first byte.
pub(super) fn open(store: Box<dyn Store>, name: String, context: Context) -> Result<Sequential, Error> {
    match found(store, &context) {
        Ok((disk, len)) => Ok(Sequential::new(Reader { disk, name, state: State::Reading }, Some(len))),
        Err(cause) => Err(failure(&name, cause)),
    }
}

/// The disk at its first byte, and its length.
fn found(mut store: Box<dyn Store>, context: &Context) -> Result<(Disk, u64), Error> {
    let RegistryOptions { arch, image_path, .. } = &context.network.registry;
    let mut view = View::new(image_path.as_deref())?;
    let (layers, env) = store.image(&Wish::new(arch.as_deref()))?;
    context.notes.set_image_env(env);
    let mut seen = BTreeSet::new();
    for layer in layers.iter().rev() {
        // The same layer again shows nothing that it did not show before.
        let digest = layer.stored.as_ref().or(layer.plain.as_ref());
        if digest.is_some_and(|digest| !seen.insert(digest.clone())) {
            continue;
        }
        let what = words(layer, layers.len());
        tracing::debug!("looking into {what}");
        let mut opened = opened(&*store, layer, &what, context)?;
        if let Some(len) = search(&mut opened, &mut view)? {
            tracing::debug!("the disk is in {what}, of {len} bytes");
            if let Some(digest) = digest {
                // The same layer under the same layers: what a container would see is the same disk.
                let above = layers.len().saturating_sub(layer.number);
                let path = image_path.as_deref().unwrap_or_default();
                context.notes.set_version(path, format!("{digest}, {above} from the top, {len} bytes"));
            }
            if let Some(digest) = layer.stored.as_ref().and_then(Digest::checksum) {
                context.notes.set_digest(digest);
            }
            return Ok((Disk { layer: opened, view, _store: store }, len));
        }
        opened.finish()?;
        if view.decides() || !view.descend() {
            break;
        }
    }
    match view.judge() {
        Err(error) => Err(error.into()),
        Ok(()) => Err(Error::new(Kind::Other, "a disk was seen and not read; this is a defect")),
    }
}

fn opened(store: &dyn Store, layer: &Layer, what: &str, context: &Context) -> Result<Opened, Error> {
    let progress = &context.progress;
    let stored = store.layer(layer)?;
    progress.fetch_total.store(progress.fetched.load(Relaxed).saturating_add(layer.size), Relaxed);
    Opened::new(stored, layer, what, &context.stop)
}

/// Reads up to the disk, whose length it returns, or to the end of the layer.
fn search(layer: &mut Opened, view: &mut View) -> Result<Option<u64>, Error> {
    while let Some(member) = layer.next_member()? {
        if view.look(&member)? == Look::Candidate
            && let MemberKind::File { size, .. } = member.kind
        {
            return Ok(Some(size));
        }
    }
    Ok(None)
}

fn words(layer: &Layer, of: usize) -> String {
    let digest = layer.stored.as_ref().or(layer.plain.as_ref());
    let digest = digest.map(|digest| format!(" ({})", digest.short())).unwrap_or_default();
    format!("layer {} of {of}{digest}", layer.number.saturating_add(1))
}

/// A disk whose layer is being read.
struct Disk {
    layer: Opened,
    view: View,
    /// What the layer's bytes come from.
    _store: Box<dyn Store>,
}

impl Disk {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        match self.layer.read_data(buf)? {
            0 => self.finish().map(|()| 0),
            count => Ok(count),
        }
    }

    /// What must hold before the disk may end.
    fn finish(&mut self) -> Result<(), Error> {
        search(&mut self.layer, &mut self.view)?;
        self.layer.finish()?;
        Ok(self.view.judge()?)
    }
}

enum State {
    Reading,
    Ended,
    Failed,
}

/// A disk as a stream that fails for good.
struct Reader {
    disk: Disk,
    name: String,
    state: State,
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.state {
            _ if buf.is_empty() => return Ok(0),
            State::Reading => {}
            State::Ended => return Ok(0),
            State::Failed => {
                let error = RegistryError::shape(&self.name, "was read again after it had failed");
                return Err(Error::from(error).into());
            }
        }
        match self.disk.read(buf) {
            Ok(0) => self.state = State::Ended,
            Ok(count) => return Ok(count),
            Err(cause) => {
                self.state = State::Failed;
                return Err(failure(&self.name, cause).into());
            }
        }
        Ok(0)
    }
}
