//! The program as the upload server and the clone source of CDI's pods: the acceptance cases of the
//! contract, by their numbers.
//!
//! All run in one test, so that one table says what was seen in each.

mod answers;
mod bench;
mod capture;
mod clones;
mod devices;
mod ending;
mod images;
mod source;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use bench::Bench;

use crate::common::apart::apart;
use crate::common::tally::words;

/// A number of the contract, what it is about, and what shows it: the words say what was seen.
type Row = (&'static str, &'static str, fn(&Bench) -> String);

fn rows() -> Vec<Row> {
    let parts: [&[Row]; 6] =
        [answers::ROWS, images::ROWS, ending::ROWS, devices::ROWS, clones::ROWS, source::ROWS];
    let mut rows = parts.concat();
    rows.sort_by_key(|(number, ..)| (number.as_bytes()[0], number[1..].parse::<u32>().unwrap()));
    rows
}

#[test]
fn the_acceptance_cases_of_upload_servers_and_clone_sources() {
    let numbers: Vec<&str> = rows().iter().map(|(number, ..)| *number).collect();
    let mut all: Vec<String> = (1..=23).map(|n| format!("F{n}")).collect();
    all.extend((1..=6).map(|n| format!("G{n}")));
    assert_eq!(numbers, all, "each case once");
    apart(|| {
        let bench = Bench::new();
        let failed: Vec<&str> = rows().into_iter().filter_map(|row| run(&bench, row)).collect();
        assert!(failed.is_empty(), "failed: {}", failed.join(", "));
    });
}

/// Prints the row of one case; its number where it failed.
fn run(bench: &Bench, (number, about, case): Row) -> Option<&'static str> {
    let start = Instant::now();
    let seen = catch_unwind(AssertUnwindSafe(|| case(bench)));
    let took = start.elapsed().as_secs_f64();
    // What the machine cannot show has not passed.
    if let Ok(text) = &seen
        && text.starts_with("not run: ")
    {
        println!("{number:<4} {text} ({about})");
        return None;
    }
    let (verdict, text) = match &seen {
        Ok(text) => ("passed", text.clone()),
        Err(panic) => ("FAILED", words(&**panic)),
    };
    println!("{number:<4} {verdict} {took:>5.1} s  {about}: {text}");
    seen.is_err().then_some(number)
}
