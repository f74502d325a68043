//! Spans of time as users write and read them.

use std::time::Duration;

/// Why a text is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// No numbers with units.
    #[error("expected numbers with units, such as 500ms, 90s, 10m or 1h30m")]
    Form,
    /// A number alone.
    #[error("the unit is missing: {number}s, {number}m or {number}h?")]
    UnitMissing {
        /// The number.
        number: u64,
    },
    /// A unit that nobody knows.
    #[error("unknown unit `{unit}`: units are ms, s, m, h and d")]
    Unit {
        /// What stands behind the number.
        unit: String,
    },
    /// More than fits.
    #[error("the time is too long")]
    Overflow,
}

/// Reads a span of time: `500ms`, `90s`, `10m`, `1h30m`.
///
/// # Errors
/// [`TimeError`] says what was expected.
pub fn parse(text: &str) -> Result<Duration, TimeError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(TimeError::Form);
    }
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let (number, unit);
        (number, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        (unit, rest) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        if number.is_empty() {
            return Err(TimeError::Form);
        }
        let number: u64 = number.parse().map_err(|_| TimeError::Overflow)?;
        let part = number.checked_mul(unit_millis(number, unit.trim())?).ok_or(TimeError::Overflow)?;
        millis = millis.checked_add(part).ok_or(TimeError::Overflow)?;
    }
    Ok(Duration::from_millis(millis))
}

/// The milliseconds of one `unit`, which stands behind `number`.
fn unit_millis(number: u64, unit: &str) -> Result<u64, TimeError> {
    match unit {
        "ms" => Ok(1),
        "s" => Ok(1000),
        "m" => Ok(60_000),
        "h" => Ok(3_600_000),
        "d" => Ok(86_400_000),
        "" => Err(TimeError::UnitMissing { number }),
        _ => Err(TimeError::Unit { unit: unit.chars().take(16).collect() }),
    }
}

/// A span of time for people: `38 ms`, `3.2 s`, `2m05s`, `1h02m`.
#[must_use]
pub fn human(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    // Tenths matter only to short spans; rounding first keeps 59.96 s from becoming `60.0 s`.
    let tenths = time.as_millis().saturating_add(50).div_euclid(100);
    if tenths < 600 {
        return format!("{}.{} s", tenths.div_euclid(10), tenths.rem_euclid(10));
    }
    let seconds = time.as_millis().saturating_add(500).div_euclid(1000);
    let minutes = seconds.div_euclid(60);
    if minutes < 60 {
        return format!("{minutes}m{:02}s", seconds.rem_euclid(60));
    }
    format!("{}h{:02}m", minutes.div_euclid(60), minutes.rem_euclid(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        let table: [(&str, u64); 9] = [
            ("500ms", 500),
            ("3s", 3000),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1m0s5ms", 60_005),
            ("2d", 172_800_000),
            ("0s", 0),
        ];
        for (text, millis) in table {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "s", "-1s", "m10", "ten"] {
            assert_eq!(parse(text), Err(TimeError::Form), "{text}");
        }
        assert_eq!(parse("10"), Err(TimeError::UnitMissing { number: 10 }));
        assert_eq!(parse("1h30"), Err(TimeError::UnitMissing { number: 30 }));
        for text in ["10x", "1.5h", "3S", "5min"] {
            assert!(matches!(parse(text), Err(TimeError::Unit { .. })), "{text}");
        }
        for text in ["99999999999999999999s", "18446744073709551615s", "18446744073709551615ms1ms"] {
            assert_eq!(parse(text), Err(TimeError::Overflow), "{text}");
        }
    }

    #[test]
    fn people_read_short_times() {
        let table: [(u64, &str); 9] = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (3_217, "3.2 s"),
            (59_940, "59.9 s"),
            (59_960, "1m00s"),
            (125_000, "2m05s"),
            (3_599_600, "1h00m"),
            (3_725_000, "1h02m"),
        ];
        for (millis, text) in table {
            assert_eq!(human(Duration::from_millis(millis)), text, "{millis}");
        }
    }
}
