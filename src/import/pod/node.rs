//! Node pull: the node itself has pulled the image, and a container beside ours serves the disk in it.
//!
//! The two talk by files: one says that the disk can be had and what it is called, the other that
//! it was taken. Upstream loses the labels of an import that takes more than ten minutes, as it asks
//! for them in a context that has ended by then; here they are asked for anew.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;
use url::Url;

use super::context;
use crate::config::{ImportConfig, NodePull};
use crate::error::{Classify, Error, Kind};
use crate::progress::{Progress, Stop};
use crate::report;
use crate::source;

/// How long the other container may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at the file.
const STEP: Duration = Duration::from_millis(100);

/// What the controller calls the disk, which knows no better.
const USUAL: &str = "disk.img";

/// The most bytes of the environment that is asked for, and of a name.
const MOST: u64 = 1 << 20;

/// Why the other container is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// It never said that it is ready.
    #[error("Timeout waiting for file {}", .0.display())]
    Timeout(PathBuf),
}

impl Classify for NodeError {
    fn kind(&self) -> Kind {
        Kind::Unreachable
    }
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    env: Vec<String>,
}

/// Waits until the disk can be had; the endpoint with the disk's own name.
pub(super) fn ready(node: &NodePull, endpoint: &str, stop: &Stop) -> Result<String, Error> {
    let start = Instant::now();
    let file = loop {
        stop.check()?;
        match File::open(&node.ready) {
            Ok(file) => break file,
            Err(_) if start.elapsed() < PATIENCE => sleep(STEP),
            Err(_) => return Err(NodeError::Timeout(node.ready.clone()).into()),
        }
    };
    let mut name = Vec::new();
    let read = file.take(MOST).read_to_end(&mut name);
    read.map_err(|error| Error::new(Kind::Other, format!("{}: {error}", node.ready.display())))?;
    Ok(beside(endpoint, String::from_utf8_lossy(&name).trim()))
}

/// The endpoint for `name` in place of the usual one; names have characters that URLs have not.
fn beside(endpoint: &str, name: &str) -> String {
    if name.is_empty() {
        return endpoint.to_owned();
    }
    let base = endpoint.strip_suffix(USUAL).unwrap_or(endpoint);
    let Ok(mut url) = Url::parse(base) else { return format!("{base}{name}") };
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(name);
    }
    url.into()
}

/// The labels that the image asks for; an import without them is still one.
pub(super) fn labels(config: &ImportConfig, stop: &Arc<Stop>) -> BTreeMap<String, String> {
    match info(config, stop) {
        Ok(info) => report::labels(info.env.iter().map(String::as_str)),
        Err(error) => {
            tracing::warn!("the image's labels cannot be had: {error}");
            BTreeMap::new()
        }
    }
}

fn info(config: &ImportConfig, stop: &Arc<Stop>) -> Result<Info, Error> {
    let unread = |error| Error::from_io(error, Kind::Other);
    let mut url = Url::parse(&config.source).map_err(|error| Error::new(Kind::Other, error))?;
    url.set_path("/info");
    // Its bytes are none of the image's.
    let context = context(config, &Arc::new(Progress::default()), stop);
    let stream = source::from_argument(url.as_str(), context)?.open()?.into_sequential().map_err(unread)?;
    let mut text = Vec::new();
    stream.take(MOST).read_to_end(&mut text).map_err(unread)?;
    serde_json::from_slice(&text).map_err(|error| Error::new(Kind::Other, error))
}

/// Tells the other container that the disk was taken, so that it ends. Never after a failure: our
/// container then starts again and needs it.
pub(super) fn done(node: &NodePull) {
    let Some(path) = &node.done else { return };
    if let Err(error) = touch(path) {
        tracing::warn!("{} cannot be made: {error}", path.display());
    }
}

fn touch(path: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    OpenOptions::new().write(true).create_new(true).open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_asked_for_by_its_own_name() {
        let usual = "http://localhost:8100/disk.img";
        for (name, url) in [
            ("", usual),
            ("disk.img", usual),
            ("fedora.qcow2", "http://localhost:8100/fedora.qcow2"),
            ("a b#c?.img", "http://localhost:8100/a%20b%23c%3F.img"),
            ("../x", "http://localhost:8100/..%2Fx"),
        ] {
            assert_eq!(beside(usual, name), url);
        }
        assert_eq!(beside("http://localhost:8100/", "x"), "http://localhost:8100/x");
    }
}
