//! Progress on lines: for people and for programs.

use serde::Serialize;

use super::meter::{Snapshot, Speed};
use crate::format::size::human;
use crate::format::time;
use crate::progress::Phase;

/// A line for people.
pub(super) fn plain(snapshot: &Snapshot, speed: Speed) -> String {
    let phase = snapshot.phase.word();
    match snapshot.phase {
        Phase::Opening => phase.to_owned(),
        Phase::Flushing => format!("{phase}: {}", disk(snapshot)),
        Phase::Done => {
            format!("{phase}: {} fetched, {}", human(snapshot.fetched), disk(snapshot))
        }
        Phase::Staging => {
            let fetched = of(snapshot.fetched, snapshot.fetch_total);
            format!("{phase}: {fetched} fetched{}", pace(speed))
        }
        Phase::Verifying => {
            let read = of(snapshot.verified, snapshot.virtual_size);
            format!("{phase}: {read} read back{}", pace(speed))
        }
        Phase::Pouring => {
            let fetched = of(snapshot.fetched, snapshot.fetch_total);
            format!("{phase}: {fetched} fetched, {}{}", disk(snapshot), pace(speed))
        }
    }
}

/// `580 MiB written, 1.4 GiB zeros`.
fn disk(snapshot: &Snapshot) -> String {
    format!("{} written, {} zeros", human(snapshot.written), human(snapshot.zeroed))
}

/// `120 MiB of 580 MiB`, or `120 MiB` while the whole is not known.
pub(super) fn of(part: u64, whole: Option<u64>) -> String {
    whole.map_or_else(|| human(part), |whole| format!("{} of {}", human(part), human(whole)))
}

/// `, 95.0 MiB/s, 5 s left`, as far as it is known.
pub(super) fn pace(speed: Speed) -> String {
    let rate = match speed.rate {
        0 => String::new(),
        rate => format!(", {}/s", human(rate)),
    };
    let left = match speed.left {
        None => String::new(),
        // It is a guess, and tenths would only flicker.
        Some(left) if left.as_secs() < 60 => format!(", {} s left", left.as_secs()),
        Some(left) => format!(", {} left", time::human(left)),
    };
    rate + &left
}

/// A line for programs; sizes in bytes, null for what is not known.
#[derive(Serialize)]
struct Line {
    phase: &'static str,
    fetched: u64,
    fetch_total: Option<u64>,
    written: u64,
    zeroed: u64,
    virtual_size: Option<u64>,
    verified: u64,
    /// Where the way ends that the rate is measured on.
    total: Option<u64>,
    rate: u64,
    eta_seconds: Option<u64>,
}

/// An object for programs.
pub(super) fn json(snapshot: &Snapshot, speed: Speed) -> String {
    let line = Line {
        phase: snapshot.phase.word(),
        fetched: snapshot.fetched,
        fetch_total: snapshot.fetch_total,
        written: snapshot.written,
        zeroed: snapshot.zeroed,
        virtual_size: snapshot.virtual_size,
        verified: snapshot.verified,
        total: snapshot.course().map(|(.., total)| total).or(snapshot.virtual_size),
        rate: speed.rate,
        eta_seconds: speed.left.map(|left| left.as_secs()),
    };
    // Plain numbers always serialize.
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::meter::tests::pouring;
    use super::*;

    const SPEED: Speed = Speed { rate: 95 << 20, left: Some(Duration::from_secs(5)) };

    #[test]
    fn people_read_what_matters_in_each_phase() {
        let at = |phase| Snapshot { phase, ..pouring(600, 512) };
        let table = [
            (Phase::Opening, SPEED, "opening"),
            (
                Phase::Pouring,
                SPEED,
                "pouring: 600 B of 1000 B fetched, 512 B written, 0 B zeros, 95.0 MiB/s, 5 s left",
            ),
            (Phase::Staging, Speed::default(), "staging: 600 B of 1000 B fetched"),
            (Phase::Flushing, SPEED, "flushing: 512 B written, 0 B zeros"),
            (Phase::Verifying, SPEED, "verifying: 0 B of 2.0 KiB read back, 95.0 MiB/s, 5 s left"),
            (Phase::Done, SPEED, "done: 600 B fetched, 512 B written, 0 B zeros"),
        ];
        for (phase, speed, line) in table {
            assert_eq!(plain(&at(phase), speed), line);
        }
    }

    #[test]
    fn programs_read_one_object_with_null_for_the_unknown() {
        let blind = Snapshot { fetch_total: None, virtual_size: None, ..pouring(7, 3) };
        assert_eq!(
            json(&blind, Speed { rate: 9, left: None }),
            r#"{"phase":"pouring","fetched":7,"fetch_total":null,"written":3,"zeroed":0,"virtual_size":null,"verified":0,"total":null,"rate":9,"eta_seconds":null}"#
        );
        let line: serde_json::Value = serde_json::from_str(&json(&pouring(7, 3), SPEED)).unwrap();
        assert_eq!((line["fetch_total"].as_u64(), line["eta_seconds"].as_u64()), (Some(1000), Some(5)));
    }
}
