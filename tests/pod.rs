//! The program as the importer of CDI's pods: the acceptance cases of the contract, by their numbers.
//!
//! All run in one test, so that one table says what was seen in each.

mod archives;
mod bench;
mod blank;
mod device;
mod ending;
mod images;
mod memory;
mod node;
mod refusals;
mod registry;
mod sizes;
mod trust;
mod web;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use bench::Bench;
pub(crate) use bench::importer;

use crate::common::apart::apart;
use crate::common::pod::{self, Pod};
use crate::common::tally::words;
use crate::common::workshop;

/// A number of the contract, what it is about, and what shows it.
type Row = (&'static str, &'static str, Case);

/// What shows a case: the words say what was seen.
#[derive(Clone, Copy)]
enum Case {
    /// Can be tried everywhere.
    Always(fn(&Bench) -> String),
    /// Needs what not every machine has; what that is, where it is not there.
    Needs(fn(&Bench) -> Result<String, String>),
}

/// Every case that a process can show. A4 needs formats that come later.
fn rows() -> Vec<Row> {
    let parts: [&[Row]; 12] = [
        web::ROWS,
        trust::ROWS,
        images::ROWS,
        refusals::ROWS,
        sizes::ROWS,
        device::ROWS,
        ending::ROWS,
        memory::ROWS,
        archives::ROWS,
        blank::ROWS,
        registry::ROWS,
        node::ROWS,
    ];
    let mut rows = parts.concat();
    rows.sort_by_key(|(number, ..)| (number.as_bytes()[0], number[1..].parse::<u32>().unwrap()));
    rows
}

#[test]
fn a_pod_is_known_by_its_variables_and_its_programs_name() {
    let workshop = workshop();
    apart(|| {
        let pod = || Pod::new(workshop.path()).volume("/data", pod::memory(workshop.path(), "data", 1 << 20));
        // Nobody says what to do: how the program is used.
        let ended = pod().arg("worker").run();
        ended.expect(2).logs("IMPORTER_SOURCE");
        assert_eq!(ended.message, "");
        let named = || pod().called("cdi-importer").env("PREALLOCATION", "false");
        named().run().expect(1).tells("Unknown data source:");
        named().env("IMPORTER_SOURCE", "glance").run().expect(1).tells("Unknown data source: glance");
        named().env("IMPORTER_IMAGE_SIZE", "5GB").run().expect(1).tells("IMPORTER_IMAGE_SIZE");
        named().arg("-no-such-flag").run().expect(2);
        for arg in ["worker", "-alsologtostderr", "--v=1"] {
            let pod = pod().env("IMPORTER_SOURCE", "vddk").env("PREALLOCATION", "F").arg(arg);
            pod.arg("-v=3").run().expect(1).tells("Unable to connect to vddk data source: ");
        }
    });
}

#[test]
fn the_acceptance_cases_of_an_importer_pod() {
    let numbers: Vec<&str> = rows().iter().map(|(number, ..)| *number).collect();
    let mut all: Vec<String> = (1..=43).filter(|number| *number != 4).map(|n| format!("A{n}")).collect();
    all.extend((1..=5).map(|n| format!("B{n}")));
    all.extend((1..=5).map(|n| format!("C{n}")));
    all.extend((1..=16).map(|n| format!("E{n}")));
    assert_eq!(numbers, all, "each case once");
    let ran = apart(|| {
        let bench = Bench::new();
        let failed: Vec<&str> = rows().into_iter().filter_map(|row| run(&bench, row)).collect();
        assert!(failed.is_empty(), "failed: {}", failed.join(", "));
    });
    if let Some(why) = ran {
        rows().into_iter().for_each(|(number, about, _)| println!("{number:<4} not run: {why}  {about}"));
    }
}

/// Prints the row of one case; its number where it failed.
fn run(bench: &Bench, (number, about, case): Row) -> Option<&'static str> {
    let start = Instant::now();
    let seen = catch_unwind(AssertUnwindSafe(|| match case {
        Case::Always(case) => Ok(case(bench)),
        Case::Needs(case) => case(bench),
    }));
    let took = start.elapsed().as_secs_f64();
    let (verdict, text) = match &seen {
        Ok(Ok(text)) => ("passed", text.clone()),
        Ok(Err(why)) => ("not run", why.clone()),
        Err(panic) => ("FAILED", words(&**panic)),
    };
    println!("{number:<4} {verdict:<7} {took:>5.1} s  {about}: {text}");
    seen.is_err().then_some(number)
}
