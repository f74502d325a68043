//! What registries and web servers say: documents, headers and layers that are too large, too deep or too many.

use std::fs;
use std::io::Write;

use serde_json::{Value, json};

use super::{Cage, Left};
use crate::common::depot::{Depot, Reply, shelves};
use crate::common::oci::{OciLayout, Packing, layer, odd_layer};
use crate::common::run::{self, Run};

const HERE: &str = "127.0.0.1";

fn pull(cage: &Cage, depot: &Depot) -> Run {
    let source = format!("docker://{}/disks", depot.address());
    cage.caged(run::import(source, cage.target()).args(["--force", "--insecure", "--arch", "amd64"]))
}

/// The image of a layout, where `latest` is `descriptor`.
fn held(cage: &mut Cage, descriptor: Value) -> Run {
    let mut layout = OciLayout::new(cage.workshop.path());
    layout.tag("latest", descriptor);
    let source = format!("oci:{}:latest", layout.dir().display());
    cage.caged(run::import(source, cage.target()).args(["--force", "--arch", "amd64", "--max-size", "64M"]))
}

#[test]
fn documents_that_are_too_large_or_too_deep_are_refused() {
    let mut cage = Cage::of("registry: documents");
    let digest = format!("sha256:{}", "a".repeat(64));
    let config =
        json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 7 });
    let of_layers = |count: usize| {
        let layer =
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 1 });
        json!({ "schemaVersion": 2, "config": config, "layers": vec![layer; count] }).to_string()
    };
    let small = r#"{"digest":"","size":0}"#;
    let entries = vec![small; 180_000].join(",");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a byte above 4 MiB", vec![b' '; (4 << 20) + 1], "over a limit"),
        ("20 MiB", vec![b'['; 20 << 20], "over a limit"),
        ("4 MiB of brackets", vec![b'['; 4 << 20], "does not have the shape"),
        ("4 MiB of objects", br#"{"a":"#.repeat(800_000), "no JSON, or too deep"),
        (
            "as many entries as fit",
            format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#).into(),
            "digest",
        ),
        ("5000 layers", of_layers(5000).into(), "layers"),
        ("both kinds", br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_vec(), "both"),
        ("neither", b"{}".to_vec(), "schemaVersion"),
        ("nothing", Vec::new(), "JSON"),
    ];
    for (name, body, words) in cases {
        let depot = Depot::start(HERE, move |_| Reply::text(body.clone()));
        cage.refusal(name, pull(&cage, &depot), (6, words), Left::Untouched);
    }
    cage.finish();
}

#[test]
fn indexes_and_configurations_that_are_bombs_are_refused() {
    let mut cage = Cage::of("registry: layouts");
    let layout = OciLayout::new(cage.workshop.path());
    let mut deep = layout.image("amd64", &[layer(&[("disk/a.img", b"x")], Packing::None)]);
    for _ in 0..30 {
        deep = layout.index(&[deep]);
    }
    let run = held(&mut cage, deep);
    cage.refusal("30 indexes deep", run, (6, "an index within an index"), Left::Untouched);
    // What is unknown in a configuration is read over, however much of it there is.
    let plain = layer(&[("disk/a.img", b"x")], Packing::None);
    for (name, noise) in [("numbers", "0"), ("lists", "[]"), ("objects", r#"{"a":0}"#)] {
        let noise = vec![noise; (4 << 20) / (noise.len() + 1) - 100].join(",");
        let config = format!(r#"{{"architecture":"arm64","os":"linux","history":[{noise}]}}"#);
        let image = layout.image_of(&config, std::slice::from_ref(&plain));
        let run = held(&mut cage, image);
        cage.refusal(name, run, (6, "arm64"), Left::Untouched);
    }
    cage.finish();
}

#[test]
fn a_million_entries_in_a_layer_or_an_archive_are_too_many() {
    let mut cage = Cage::of("tar: a million entries and one");
    let member = {
        let mut header = tar::Header::new_ustar();
        header.set_path("d/").unwrap();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        header.set_cksum();
        header.as_bytes().repeat(1024)
    };
    let file = cage.at("members.zst");
    let mut encoder = zstd::stream::write::Encoder::new(fs::File::create(&file).unwrap(), 1).unwrap();
    for _ in 0..1024 {
        encoder.write_all(&member).unwrap();
    }
    encoder.write_all(&member[..512]).unwrap();
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap();
    let layout = OciLayout::new(cage.workshop.path());
    let image = layout.image("amd64", &[odd_layer(fs::read(&file).unwrap())]);
    let run = held(&mut cage, image);
    cage.refusal("a layer", run, (6, "more entries than we take"), Left::Untouched);
    let dir = cage.at("dir");
    let run = run::import(&file, &dir).args(["--content-type", "archive"]);
    let outcome = cage.run(cage.caged(run));
    let right = outcome.code == 6 && outcome.stderr.contains("more entries than we take") && !dir.exists();
    cage.note("an archive", right, &outcome);
    cage.finish();
}

#[test]
fn layers_that_are_bombs_end_at_the_target() {
    let mut cage = Cage::of("registry: layers");
    let layout = OciLayout::new(cage.workshop.path());
    let zeros = vec![0; 80 << 20];
    for packing in [Packing::Gzip, Packing::Zstd, Packing::Xz] {
        let image = layout.image("amd64", &[layer(&[("disk/a.img", &zeros)], packing)]);
        let run = held(&mut cage, image);
        cage.refusal(&format!("{packing:?}"), run, (7, "83886080"), Left::Untouched);
    }
    cage.finish();
}

#[test]
fn headers_and_tokens_are_bounded() {
    let mut cage = Cage::of("http: headers and tokens");
    let long = |len: usize| Depot::start(HERE, move |_| Reply::text("x").with("X-Long", "x".repeat(len)));
    let many = Depot::start(HERE, |_| {
        let mut reply = Reply::text("x");
        reply.headers = vec![("X-Many", "x".to_owned()); 300];
        reply
    });
    for (name, depot, (code, words)) in [
        ("a header of 64 KiB", &long(64 << 10), (4, "more than 65536 bytes, which is the limit")),
        ("a header of 600 KB", &long(600_000), (3, "")),
        ("300 headers", &many, (3, "")),
    ] {
        let run = run::import(format!("http://{}/x", depot.address()), cage.target());
        let run = cage.caged(run.args(["--force", "--idle-timeout", "2s"]));
        cage.refusal(name, run, (code, words), Left::Untouched);
    }
    let layout = OciLayout::new(cage.workshop.path());
    drop(held(&mut cage, layout.image("amd64", &[layer(&[("disk/a.img", b"x")], Packing::None)])));
    for (name, token) in [
        ("a token of 2 MiB", format!(r#"{{"token":"{}"}}"#, "t".repeat(2 << 20))),
        ("an endless list", "[".repeat(2 << 20)),
    ] {
        let shelf = shelves(&layout);
        let depot = Depot::start(HERE, move |request| match request.path.starts_with("/token") {
            true => Reply::text(token.clone()),
            false if request.header("authorization").is_empty() => {
                let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host"));
                Reply::status(401).with("WWW-Authenticate", realm)
            }
            false => shelf(request),
        });
        cage.refusal(name, pull(&cage, &depot), (4, "which is the limit"), Left::Untouched);
    }
    for (name, noise, code) in [("60 parts of challenges", 20, 0), ("60 KB of challenges", 1900, 4)] {
        let shelf = shelves(&layout);
        let depot = Depot::start(HERE, move |request| match request.path.starts_with("/token") {
            true => Reply::text(r#"{"token":"t"}"#),
            false if request.header("authorization").is_empty() => {
                // The only one that can be answered comes last.
                let noise = "Odd a=\"b\\\",\", , Negotiate, ".repeat(noise);
                let realm = format!("{noise}Bearer realm=\"http://{}/token\"", request.header("host"));
                Reply::status(401).with("WWW-Authenticate", realm)
            }
            false => shelf(request),
        });
        match code {
            0 => {
                let outcome = cage.run(pull(&cage, &depot));
                cage.note(name, outcome.code == 0, &outcome);
            }
            _ => cage.refusal(name, pull(&cage, &depot), (code, "401"), Left::Untouched),
        }
    }
    cage.finish();
}
