//! The cells of HTTP and HTTPS, by nginx.

use std::ffi::OsString;
use std::path::Path;

use diskpour::matrix::Endpoint;

use super::images::{Image, Images};
use super::{Poured, footnote, walk, walk_as};
use crate::common::certificates::Authority;
use crate::common::nginx::{Nginx, PASSWORD, Site, USER};
use crate::common::run::{self, Run};

/// Pours from the only site of `nginx`, with what `dress` adds to the command.
fn from(nginx: &Nginx, dress: impl Fn(Run) -> Run) -> impl Fn(&Image, &Path, &[OsString]) -> Poured {
    move |image, target, options| {
        let run = run::import(nginx.url(0, image.name()), target).args(options);
        dress(run).run().into()
    }
}

#[test]
fn http_uses_scratch_where_its_cells_say_so() {
    let images = Images::new();
    let nginx = Nginx::start(images.dir(), &[Site::plain()]);
    walk(Endpoint::Http, &images, &from(&nginx, |run| run));
    let seen = nginx.requests();
    assert!(seen.iter().any(|seen| seen.status == 206), "no range was served");
}

#[test]
fn http_without_ranges_follows_the_footnote() {
    let images = Images::new();
    let nginx = Nginx::start(images.dir(), &[Site::plain().without_ranges()]);
    let expected = |image: &Image| match (image.format, image.compression) {
        ("qcow2", "none") => footnote(),
        _ => super::expected("http", image),
    };
    walk_as("http without ranges", &images, &from(&nginx, |run| run), expected);
    let seen = nginx.requests();
    assert!(seen.iter().all(|seen| seen.status == 200), "{seen:?}");
}

#[test]
fn https_uses_scratch_where_its_cells_say_so() {
    let images = Images::new();
    let authority = Authority::new("the system's");
    // What this variable names stands in for the system's store.
    let store = authority.save(images.dir(), "store.pem");
    let nginx = Nginx::start(images.dir(), &[Site::tls(&authority.loopback())]);
    let system = |run: Run| run.env("SSL_CERT_FILE", &store);
    walk(Endpoint::Https, &images, &from(&nginx, system));
    assert!(nginx.requests().iter().all(|seen| seen.protocol.starts_with("TLS")));
}

#[test]
fn https_with_a_custom_ca_uses_scratch_where_its_cells_say_so() {
    let images = Images::new();
    let authority = Authority::new("the user's");
    let ca = authority.save(images.dir(), "ca.pem");
    let site = Site::tls(&authority.loopback());
    let nginx = Nginx::start(images.dir(), std::slice::from_ref(&site));
    let own = |run: Run| run.arg("--ca-cert").arg(&ca);
    walk(Endpoint::HttpsCustomCa, &images, &from(&nginx, own));
    // Basic authentication together with a custom CA is the same row.
    let nginx = Nginx::start(images.dir(), &[site.guarded()]);
    walk(Endpoint::HttpsCustomCa, &images, &from(&nginx, |run| login(own(run))));
}

#[test]
fn basic_auth_uses_scratch_where_its_cells_say_so() {
    let images = Images::new();
    let nginx = Nginx::start(images.dir(), &[Site::plain().guarded()]);
    walk(Endpoint::BasicAuth, &images, &from(&nginx, login));
    assert!(nginx.requests().iter().all(|seen| seen.status < 300 && !seen.authorization.is_empty()));
}

fn login(run: Run) -> Run {
    run.args(["--username", USER]).env("DISKPOUR_PASSWORD", PASSWORD)
}
