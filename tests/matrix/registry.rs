//! The cells of registries, by docker-registry; skopeo pushes the images.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use diskpour::matrix::Endpoint;

use super::images::{Image, Images};
use super::{Poured, walk};
use crate::common::oci::{OciLayout, Packing, layer};
use crate::common::registry::Registry;
use crate::common::run;

/// A registry with every image in a layer that is packed in this way.
fn stocked(images: &Images, packing: Packing) -> Registry {
    let registry = Registry::start();
    let mut layout = OciLayout::new(images.dir());
    for image in images.all() {
        let bytes = fs::read(&image.path).unwrap();
        let disk = layer(&[(&format!("disk/{}", image.name()), &bytes)], packing);
        layout.tag(image.name(), layout.image("amd64", &[disk]));
        registry.push(&layout, image.name(), &format!("disks:{}", image.name()));
    }
    registry
}

fn walk_registry(packing: Packing) {
    let images = Images::new();
    let registry = stocked(&images, packing);
    let pour = |image: &Image, target: &Path, options: &[OsString]| -> Poured {
        let run = run::import(registry.reference(&format!("disks:{}", image.name())), target).args(options);
        let run = run.arg("--ca-cert").arg(registry.ca_cert()).arg("--auth-file").arg(registry.credentials());
        run.args(["--arch", "amd64"]).run().into()
    };
    walk(Endpoint::Registry, &images, &pour);
}

#[test]
fn a_registry_uses_scratch_where_its_cells_say_so() {
    walk_registry(Packing::Gzip);
}

#[test]
fn layers_that_are_not_packed_change_nothing() {
    walk_registry(Packing::None);
}

#[test]
fn layers_that_are_packed_by_zstd_change_nothing() {
    walk_registry(Packing::Zstd);
}
