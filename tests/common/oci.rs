//! Container images as OCI layouts, built in code.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Every way in which a layer is packed.
pub(crate) const PACKINGS: [Packing; 4] = [Packing::None, Packing::Gzip, Packing::Zstd, Packing::Xz];

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
    Xz,
}

/// A layer as it is stored.
pub(crate) struct Layer {
    media_type: String,
    bytes: Vec<u8>,
    /// The sha256 of the tar file within.
    diff: String,
}

impl Layer {
    /// The sha256 of the layer as it is stored.
    pub(crate) fn digest(&self) -> String {
        digest::bytes(&self.bytes)
    }
}

/// A directory in the form of the OCI image layout.
pub(crate) struct OciLayout {
    dir: PathBuf,
    tagged: Vec<Value>,
}

/// A layer that holds these files, and each directory on the way to them.
pub(crate) fn layer(files: &[(&str, &[u8])], packing: Packing) -> Layer {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        if let Some((dir, _)) = path.rsplit_once('/') {
            entry(&mut tar, tar::EntryType::Directory, dir, &[]);
        }
        entry(&mut tar, tar::EntryType::Regular, path, bytes);
    }
    let tar = tar.into_inner().unwrap();
    let diff = digest::bytes(&tar);
    let (bytes, ending) = match packing {
        Packing::None => (tar, ""),
        Packing::Gzip => (gzip(&tar), "+gzip"),
        Packing::Zstd => (zstd::encode_all(&tar[..], 1).unwrap(), "+zstd"),
        // No media type is made for it; what counts is the bytes.
        Packing::Xz => (liblzma::encode_all(&tar[..], 1).unwrap(), ""),
    };
    Layer { media_type: format!("{LAYER}{ending}"), bytes, diff }
}

/// A layer of bytes that are no tar.
pub(crate) fn odd_layer(bytes: Vec<u8>) -> Layer {
    let diff = digest::bytes(&bytes);
    Layer { media_type: LAYER.to_owned(), bytes, diff }
}

fn entry(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, path: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o555);
    // The user that disks in container images belong to.
    header.set_uid(107);
    header.set_gid(107);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

impl OciLayout {
    /// An empty layout below `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        let dir = dir.join("layout");
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { dir, tagged: Vec::new() }
    }

    /// The layout's directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stores an image for `arch`, layers from the bottom; its descriptor.
    pub(crate) fn image(&self, arch: &str, layers: &[Layer]) -> Value {
        self.image_with(arch, layers, &json!({}))
    }

    /// As [`OciLayout::image`], with what its configuration says of containers.
    pub(crate) fn image_with(&self, arch: &str, layers: &[Layer], inner: &Value) -> Value {
        let diffs: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", layer.diff)).collect();
        let config = json!({
            "architecture": arch, "os": "linux", "config": inner,
            "rootfs": { "type": "layers", "diff_ids": diffs },
        });
        let mut descriptor = self.image_of(&config.to_string(), layers);
        descriptor["platform"] = json!({ "architecture": arch, "os": "linux" });
        descriptor
    }

    /// Stores an image with the configuration `config`; its descriptor, which names no platform.
    pub(crate) fn image_of(&self, config: &str, layers: &[Layer]) -> Value {
        let config = self.blob(CONFIG, config.as_bytes());
        let layers: Vec<Value> =
            layers.iter().map(|layer| self.blob(&layer.media_type, &layer.bytes)).collect();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Stores an index of images; its descriptor.
    pub(crate) fn index(&self, images: &[Value]) -> Value {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": images });
        self.blob(INDEX, index.to_string().as_bytes())
    }

    /// Gives `descriptor` a name within the layout.
    pub(crate) fn tag(&mut self, name: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        self.tagged.push(descriptor);
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.tagged });
        fs::write(self.dir.join("index.json"), index.to_string()).unwrap();
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest::bytes(bytes);
        fs::write(self.dir.join("blobs/sha256").join(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    /// Stores an image whose only layer's descriptor is changed by `change`; its descriptor.
    pub(crate) fn odd_image(&self, layer: &Layer, change: impl FnOnce(&mut Value)) -> Value {
        let mut layer = self.blob(&layer.media_type, &layer.bytes);
        change(&mut layer);
        let config = self.blob(CONFIG, br#"{"architecture":"amd64","os":"linux"}"#);
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// The file of a blob.
    pub(crate) fn blob_file(&self, digest: &Value) -> PathBuf {
        self.dir.join("blobs").join(digest.as_str().unwrap().replace(':', "/"))
    }

    /// What is stored under the digest of `descriptor`, as JSON.
    pub(crate) fn document(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&fs::read(self.blob_file(&descriptor["digest"])).unwrap()).unwrap()
    }
}
