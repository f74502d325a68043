"""A disk image as a container image: an OCI layout, and the same as files at the paths of a registry."""

import hashlib
import json

from . import measure

KIND = "application/vnd.oci.image."


def described(name, data, folder):
    """Puts `data` among the blobs in `folder`; its descriptor of the kind `name`."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / digest).write_bytes(data)
    return {"mediaType": KIND + name, "digest": f"sha256:{digest}", "size": len(data)}


def write(layer, layout, served):
    """An image of one gzip `layer`, in the folder `layout` and, to be served, in the folder `served`."""
    blobs, manifests = layout / "blobs/sha256", served / "v2/disk/manifests"
    for folder in (blobs, manifests):
        folder.mkdir(parents=True, exist_ok=True)
    digest = measure.sha256(layer)
    (blobs / digest).unlink(missing_ok=True)
    (blobs / digest).hardlink_to(layer)
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    parts = {"mediaType": KIND + "layer.v1.tar+gzip", "digest": f"sha256:{digest}", "size": layer.stat().st_size}
    manifest = {
        "schemaVersion": 2, "mediaType": KIND + "manifest.v1+json", "layers": [parts],
        "config": described("config.v1+json", json.dumps(config).encode(), blobs),
    }
    text = json.dumps(manifest).encode()
    index = {"schemaVersion": 2, "manifests": [described("manifest.v1+json", text, blobs) | {
        "annotations": {"org.opencontainers.image.ref.name": "latest"},
    }]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (manifests / "latest").write_bytes(text)
    for blob in blobs.iterdir():
        served_as = served / "v2/disk/blobs" / f"sha256:{blob.name}"
        served_as.parent.mkdir(exist_ok=True)
        served_as.unlink(missing_ok=True)
        served_as.hardlink_to(blob)
