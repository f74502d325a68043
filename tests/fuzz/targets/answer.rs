//! The head of an HTTP answer: what it proves is within what was asked and what it says itself.
#![no_main]

use diskpour::fuzzing::{Answer, content_range, http_date, part_end};
use libfuzzer_sys::fuzz_target;

const TOTAL: u64 = 1000;

fuzz_target!(|bytes: &[u8]| {
    if let Some((start, end, total)) = content_range(bytes) {
        assert!(start < end && total.is_none_or(|total| end <= total));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = http_date(text);
    }
    // A byte for the status, two for the length of the body, then headers.
    let [status, high, low, lines @ ..] = bytes else { return };
    let status = [200, 206, 416, 200 + u16::from(*status)][usize::from(status % 4)];
    let len = u64::from(u16::from_be_bytes([*high, *low]));
    let headers: Vec<(&[u8], &[u8])> = lines.split(|byte| *byte == b'\n').filter_map(split).collect();
    for body_len in [None, Some(len)] {
        let answer = Answer { status, headers: &headers, body_len };
        if let Some((end, total)) = answer.proved() {
            assert!(status == 206 && end > 0 && end <= total && body_len == Some(end));
        }
        if let Some(end) = part_end(&answer, TOTAL, 10..500) {
            assert!(status == 206 && (11..=500).contains(&end) && body_len == Some(end - 10));
        }
    }
});

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..at], line[at + 1..].trim_ascii()))
}
