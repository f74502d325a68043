//! Layouts and archives that tools do not write.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::testing::Tar;
use super::{Context, Error, Registry, Source};
use crate::error::Kind;
use crate::source::tests::context;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blob(dir: &Path, media: &str, bytes: &[u8]) -> Value {
    let hex = hex(bytes);
    fs::write(dir.join("blobs/sha256").join(&hex), bytes).unwrap();
    json!({"mediaType": media, "digest": format!("sha256:{hex}"), "size": bytes.len()})
}

fn index(entries: &[Value]) -> String {
    json!({"schemaVersion": 2, "manifests": entries}).to_string()
}

fn tar(text: &str) -> Vec<u8> {
    Tar::default().file("disk/a", text.as_bytes()).end()
}

/// An empty layout.
fn layout() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
    dir
}

/// An image whose disk has the bytes `text`.
fn image(dir: &Path, config: &Value, text: &str) -> Value {
    let config = blob(dir, CONFIG, config.to_string().as_bytes());
    let layers = [blob(dir, LAYER, &tar(text))];
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
    blob(dir, MANIFEST, manifest.to_string().as_bytes())
}

fn named(mut entry: Value, name: &str) -> Value {
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    entry
}

fn poured(source: &str, context: Context) -> Result<String, Error> {
    let mut text = String::new();
    let unread = |error| Error::from_io(error, Kind::Other);
    let mut stream = Box::new(Registry::parse(source, context)?).open()?.into_sequential().map_err(unread)?;
    stream.read_to_string(&mut text).map_err(unread)?;
    Ok(text)
}

#[track_caller]
fn refused(source: &str, kind: Kind, words: &str) {
    let error = poured(source, context()).unwrap_err();
    assert!(error.to_string().contains(words), "{error}, not {words}");
    assert_eq!(error.kind(), kind, "{error}");
}

#[test]
fn a_layout_gives_the_image_that_is_named_or_its_only_one() {
    let dir = layout();
    let path = format!("oci:{}", dir.path().display());
    let images =
        [("one", "a"), ("two", "b:c/d")].map(|(text, name)| named(image(dir.path(), &json!({}), text), name));
    fs::write(dir.path().join("index.json"), index(&images)).unwrap();
    assert_eq!(poured(&format!("{path}:a"), context()).unwrap(), "one");
    assert_eq!(poured(&format!("{path}:b:c/d"), context()).unwrap(), "two");
    refused(&path, Kind::Refused, "several images: a, b:c/d; add :NAME");
    refused(&format!("{path}:c"), Kind::Refused, "no image named c; it has a, b:c/d");
    fs::write(dir.path().join("index.json"), index(&images[..1])).unwrap();
    assert_eq!(poured(&path, context()).unwrap(), "one");
    refused("oci:/nowhere", Kind::Refused, "/nowhere/index.json cannot be opened");
}

#[test]
fn indexes_may_be_flat_or_one_deep_and_no_deeper() {
    let dir = layout();
    let path = format!("oci:{}", dir.path().display());
    let mut images = ["amd64", "arm64", "s390x"].map(|arch| {
        let mut entry = image(dir.path(), &json!({"architecture": arch}), arch);
        entry["platform"] = json!({"architecture": arch, "os": "linux"});
        entry
    });
    let wish = || {
        let mut options = crate::source::NetworkOptions::default();
        options.registry.arch = Some("s390x".to_owned());
        Context { network: options.into(), ..context() }
    };
    fs::write(dir.path().join("index.json"), index(&images)).unwrap();
    assert_eq!(poured(&path, wish()).unwrap(), "s390x");
    let inner = blob(dir.path(), INDEX, index(&images).as_bytes());
    fs::write(dir.path().join("index.json"), index(std::slice::from_ref(&inner))).unwrap();
    assert_eq!(poured(&path, wish()).unwrap(), "s390x");
    let mut deep = inner;
    deep["platform"] = images[2]["platform"].take();
    let outer = blob(dir.path(), INDEX, index(&[deep]).as_bytes());
    fs::write(dir.path().join("index.json"), index(&[outer])).unwrap();
    let error = poured(&path, wish()).unwrap_err();
    assert!(error.to_string().contains("an index within an index"), "{error}");
}

#[test]
fn what_cannot_be_an_image_is_refused() {
    let dir = layout();
    let path = format!("oci:{}", dir.path().display());
    let bootc = image(dir.path(), &json!({"config": {"Labels": {"containers.bootc": "1"}}}), "x");
    let mut tall = bootc.clone();
    tall["size"] = json!(5 << 20);
    let mut absent = bootc.clone();
    absent["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    let table = [
        (index(&[bootc]), Kind::Image, "bootc image detected"),
        (index(&[tall]), Kind::Image, "the cap is 4194304"),
        (index(&[absent]), Kind::Refused, "cannot be opened"),
        (index(&[]), Kind::Image, "names no image"),
        (json!({"schemaVersion": 2}).to_string(), Kind::Image, "neither"),
        (" ".repeat((4 << 20) + 1), Kind::Image, "index.json is over a limit"),
    ];
    for (text, kind, words) in table {
        fs::write(dir.path().join("index.json"), text).unwrap();
        refused(&path, kind, words);
    }
}

#[test]
fn a_saved_image_is_held_to_the_hashes_of_its_configuration() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = format!("docker-archive:{}", file.path().display());
    let (layer, other) = (tar("one"), tar("two"));
    let save = |ids: &[&[u8]], layers: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|tar| format!("sha256:{}", hex(tar))).collect();
        let config = json!({"rootfs": {"diff_ids": ids}}).to_string();
        let name = format!("{}.json", hex(config.as_bytes()));
        let manifest = json!([{"Config": name, "RepoTags": ["disks:v1"], "Layers": layers}]).to_string();
        let tar = Tar::default().file("a/layer.tar", &layer).entry("b/layer.tar", b'2', "../a/layer.tar");
        // Names of 69 bytes fit into a header.
        let tar = tar.file(&name, config.as_bytes()).file("manifest.json", manifest.as_bytes()).end();
        fs::write(file.path(), tar).unwrap();
    };
    save(&[&layer], &["a/layer.tar"]);
    assert_eq!(poured(&path, context()).unwrap(), "one");
    assert_eq!(poured(&format!("{path}:disks:v1"), context()).unwrap(), "one");
    refused(
        &format!("{path}:disks"),
        Kind::Refused,
        "no image named docker.io/library/disks:latest; it has disks:v1",
    );
    save(&[&layer, &layer], &["a/layer.tar", "b/layer.tar"]);
    assert_eq!(poured(&path, context()).unwrap(), "one");
    save(&[&other], &["a/layer.tar"]);
    refused(&path, Kind::Integrity, "the tar in layer 1 of 1");
    save(&[&layer, &layer], &["a/layer.tar"]);
    refused(&path, Kind::Image, "names 1 layers, the configuration 2");
    save(&[&layer], &["../../etc/passwd"]);
    refused(&path, Kind::Image, "has no member ../../etc/passwd");
    fs::write(file.path(), tar("x")).unwrap();
    refused(&path, Kind::Image, "has no member manifest.json");
}
