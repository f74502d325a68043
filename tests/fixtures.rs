//! The committed images pour as `fixtures/index.tsv` says.

use std::collections::BTreeSet;
use std::fs;

use crate::common::tally::Tally;
use crate::common::{digest, project, run, workshop};

/// A line of the index.
struct Fixture {
    file: String,
    size: u64,
    digest: String,
}

fn index() -> Vec<Fixture> {
    let text = fs::read_to_string(project("fixtures/index.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    fields
        .map(|fields| Fixture {
            file: fields[0].to_owned(),
            size: fields[1].parse().unwrap(),
            digest: fields[2].to_owned(),
        })
        .collect()
}

#[test]
fn every_fixture_pours_by_file_and_by_pipe() {
    let workshop = workshop();
    let mut tally = Tally::of("fixtures");
    for fixture in index() {
        let source = project("fixtures").join(&fixture.file);
        let target = workshop.path().join("target");
        for (way, run) in
            [("file", run::import(&source, &target)), ("pipe", run::import_piped(&source, &target))]
        {
            tally.case(format!("{} by {way}", fixture.file), || {
                let outcome = run.run();
                outcome.expect(0);
                assert_eq!(outcome.number("virtual_size"), fixture.size);
                assert_eq!(outcome.number("scratch_bytes"), 0);
                assert_eq!(fs::metadata(&target).unwrap().len(), fixture.size);
                assert_eq!(digest::disk(&target), fixture.digest);
            });
            fs::remove_file(&target).ok();
        }
    }
    tally.finish();
}

#[test]
fn every_fixture_is_small_and_in_the_index() {
    let listed: BTreeSet<String> = index().into_iter().map(|fixture| fixture.file).collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(project("fixtures")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if ["index.tsv", "make.sh", ".work"].contains(&name.as_str()) {
            continue;
        }
        let most = if name.starts_with("demo.") { 2 << 20 } else { 64 << 10 };
        assert!(entry.metadata().unwrap().len() <= most, "{name} is larger than {most} bytes");
        found.insert(name);
    }
    assert_eq!(found, listed);
}
