//! However large or odd an archive is, its memory and its work are bounded.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::time::Duration;

use super::{Tar, Yard};

/// Far below the memory of a pod.
const PEAK_LIMIT: u64 = 96 << 20;

#[test]
fn a_hundred_thousand_entries_take_little_memory_and_go_again_on_failure() {
    let yard = Yard::new();
    let source = yard.at("beside/archive.tar");
    let mut file = BufWriter::new(File::create(&source).unwrap());
    // Piece by piece: what this process holds would count as the memory of its children.
    for index in 0..100_000 {
        let name = format!("{}/{index:060}", index % 1000);
        file.write_all(&Tar::default().file(&name, if index % 7 == 0 { "content" } else { "" }).0).unwrap();
    }
    file.write_all(&Tar::default().end()).unwrap();
    file.into_inner().unwrap();
    let run = yard.import(&source).arg("--checksum=md5:00000000000000000000000000000000");
    let outcome = run.within(Duration::from_secs(240)).run();
    outcome.expect(5);
    println!("100000 entries: at most {} MiB resident", outcome.peak >> 20);
    assert!(outcome.peak < PEAK_LIMIT, "{} bytes of memory", outcome.peak);
    assert!(!yard.dir.exists());
}

#[test]
fn names_are_bounded() {
    let pax = |name: &str| Tar::default().pax(&[("path", name)]).file("x", "x").end();
    let long = "l".repeat(255);
    // 4096 bytes in all.
    let longest = [vec![long.as_str(); 15].join("/"), "l".repeat(251), "end".to_owned()].join("/");
    let yard = Yard::new();
    // The system's own limit is for one call; each part is a call of its own.
    yard.unpack(pax(&longest[..4095])).run().expect(0);
    for (words, name) in [
        ("longer than 4096", format!("{longest}/and/more")),
        ("longer than 255", "n".repeat(256)),
        ("deeper than 256", "d/".repeat(257) + "file"),
    ] {
        let yard = Yard::new();
        yard.unpack(pax(&name)).run().expect(6).says(words);
        yard.is_clean();
    }
    let yard = Yard::new();
    yard.unpack(pax(&("d/".repeat(256) + "file"))).run().expect(0);
}

#[test]
fn an_archive_of_nothing_but_one_name_is_no_bomb() {
    let yard = Yard::new();
    let mut archive = Tar::default();
    for _ in 0..20_000 {
        archive = archive.file("same", "");
    }
    let outcome = yard.unpack(archive.end()).run();
    outcome.expect(0);
    assert_eq!(yard.tree().len(), 1);
    assert!(outcome.peak < PEAK_LIMIT, "{} bytes of memory", outcome.peak);
}

#[test]
fn zeros_of_a_bomb_take_no_space() {
    use std::os::unix::fs::MetadataExt;
    let yard = Yard::new();
    let sparse = [("GNU.sparse.map", "0,1"), ("GNU.sparse.size", "1099511627776")];
    let outcome = yard.unpack(Tar::default().pax(&sparse).file("x", "x").end()).run();
    outcome.expect(0);
    let facts = fs::metadata(yard.dir.join("x")).unwrap();
    assert_eq!(facts.len(), 1 << 40);
    assert!(facts.blocks() < 100);
}
