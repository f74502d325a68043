//! Media types: what a document or a blob says that it is.

/// What a media type means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    /// An OCI index or a Docker manifest list.
    Index,
    /// An OCI or Docker manifest of one image.
    Manifest,
    /// A Docker manifest of the first schema.
    Schema1,
    /// The configuration of an image.
    Config,
    /// A layer; how it is compressed is seen in its bytes.
    Layer,
    /// A layer that lies elsewhere.
    Foreign,
    /// A layer for those who have a key.
    Encrypted,
    /// Something else.
    Unknown,
}

/// Every media type of an index or a manifest that we read, for `Accept`.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

impl MediaType {
    /// What `text`, which may have parameters, means.
    pub(super) fn parse(text: &str) -> Self {
        let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Self::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Self::Manifest,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::Schema1,
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
                Self::Config
            }
            layer => Self::of_layer(layer),
        }
    }

    fn of_layer(name: &str) -> Self {
        if name.ends_with("+encrypted") || name.ends_with(".encrypted") {
            return Self::Encrypted;
        }
        let known = [
            ("application/vnd.oci.image.layer.v1.tar", '+', Self::Layer),
            ("application/vnd.docker.image.rootfs.diff.tar", '.', Self::Layer),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", '+', Self::Foreign),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar", '.', Self::Foreign),
        ];
        for (prefix, separator, means) in known {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            let codec = rest.strip_prefix(separator);
            if rest.is_empty() || codec.is_some_and(|codec| matches!(codec, "gzip" | "zstd" | "xz")) {
                return means;
            }
        }
        Self::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_apart() {
        for name in ACCEPT.split(',') {
            assert!(matches!(MediaType::parse(name), MediaType::Index | MediaType::Manifest), "{name}");
        }
        let table = [
            ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", MediaType::Manifest),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", MediaType::Schema1),
            ("application/vnd.docker.container.image.v1+json", MediaType::Config),
            ("application/vnd.oci.image.layer.v1.tar", MediaType::Layer),
            ("application/vnd.oci.image.layer.v1.tar+zstd", MediaType::Layer),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", MediaType::Layer),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MediaType::Foreign),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MediaType::Foreign),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", MediaType::Encrypted),
            ("application/vnd.oci.image.layer.v1.tar+brotli", MediaType::Unknown),
            ("application/vnd.oci.image.layer.v1.tarball", MediaType::Unknown),
            ("application/json", MediaType::Unknown),
            ("", MediaType::Unknown),
        ];
        for (text, means) in table {
            assert_eq!(MediaType::parse(text), means, "{text}");
        }
    }
}
