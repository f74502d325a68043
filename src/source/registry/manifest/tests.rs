//! Manifests as tools write them, and as attackers would.

use serde_json::{Value, json};

use super::*;
use crate::error::{Classify, Kind};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn descriptor(media: &str) -> Value {
    json!({"mediaType": media, "digest": DIGEST, "size": 7})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
        "annotations": {"x": 1},
    })
}

fn read(document: &Value, media: Option<&str>) -> Result<Manifest, RegistryError> {
    parse(&serde_json::to_vec(document).unwrap(), media)
}

#[test]
fn images_of_both_kinds_are_read() {
    let docker = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": descriptor("application/vnd.docker.container.image.v1+json"),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip")],
    });
    let mut plain = image();
    plain.as_object_mut().unwrap().remove("mediaType");
    for document in [image(), docker, plain] {
        let Manifest::Image { layers, config } = read(&document, Some("application/json")).unwrap() else {
            panic!("an index")
        };
        assert_eq!((layers.len(), layers[0].size, config.digest.to_string().as_str()), (1, 7, DIGEST));
    }
}

#[test]
fn attestations_are_marked() {
    let mut told = descriptor(MANIFEST);
    told["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let mut unknown = descriptor(MANIFEST);
    unknown["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    let mut named = descriptor(MANIFEST);
    named["annotations"] = json!({"org.opencontainers.image.ref.name": "a:b", "other": {"x": []}});
    let index = json!({"schemaVersion": 2, "manifests": [told, unknown, named]});
    let Manifest::Index(entries) = read(&index, Some(INDEX)).unwrap() else { panic!("an image") };
    let marks: Vec<bool> = entries.iter().map(|entry| entry.attestation).collect();
    assert_eq!(marks, [true, true, false]);
    assert_eq!(entries[2].ref_name.as_deref(), Some("a:b"));
}

#[test]
fn what_is_doubtful_is_refused() {
    let with = |key: &str, value: Value| {
        let mut document = image();
        document[key] = value;
        document
    };
    let layer = |media: &str| with("layers", json!([descriptor(media)]));
    let mut urls = descriptor("application/vnd.oci.image.layer.v1.tar");
    urls["urls"] = json!(["http://127.0.0.1:9/"]);
    let mut negative = descriptor("application/vnd.oci.image.layer.v1.tar");
    negative["size"] = json!(-1);
    let mut traversal = descriptor("application/vnd.oci.image.layer.v1.tar");
    traversal["digest"] = json!("sha256:../../etc/passwd");
    let many = vec![descriptor("application/vnd.oci.image.layer.v1.tar"); 1001];
    let table = [
        (with("manifests", json!([])), None, "both"),
        (image(), Some(INDEX), "another media type"),
        (with("mediaType", json!(INDEX)), None, "another media type"),
        (with("schemaVersion", json!(1)), None, "schema 1"),
        (json!({"schemaVersion": 1, "fsLayers": [{"blobSum": DIGEST}]}), None, "schema 1"),
        (with("schemaVersion", json!(3)), None, "schemaVersion"),
        (json!({"schemaVersion": 2}), None, "neither"),
        (json!({"schemaVersion": 2, "layers": []}), None, "neither"),
        (json!([1]), None, "shape"),
        (with("layers", json!([urls])), None, "foreign"),
        (layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), None, "foreign"),
        (layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), None, "encrypted"),
        (layer("application/x\u{1b}[31m"), None, "`application/x\\u{1b}[31m`"),
        (with("layers", json!([negative])), None, "shape"),
        (with("layers", json!([traversal])), None, "no digest"),
        (with("layers", json!(many)), None, "1001 layers"),
        (with("config", descriptor("application/vnd.cncf.helm.config.v1+json")), None, "artifact"),
    ];
    for (document, media, words) in table {
        let error = read(&document, media).unwrap_err();
        assert_eq!(error.kind(), Kind::Image, "{error}");
        assert!(error.to_string().contains(words), "{error}, not {words}");
    }
}

#[test]
fn json_that_is_none_is_an_error_that_shows_no_content() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_in_document = format!("{{\"schemaVersion\": 2, \"x\": {deep}}}");
    for text in ["", "{", "s3cr3t", "\"s3cr3t\"", "{\"mediaType\": [\"s3cr3t\"]}", &deep, &deep_in_document] {
        let error = parse(text.as_bytes(), None).unwrap_err();
        assert_eq!(error.kind(), Kind::Image);
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
    let twice = format!(
        "{{\"schemaVersion\": 2, \"layers\": [], \"layers\": [], \"config\": {{\"digest\": \"{DIGEST}\"}}}}"
    );
    assert!(parse(twice.as_bytes(), None).is_err());
}
