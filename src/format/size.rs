//! Byte sizes as users write and read them.

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No number with an optional unit.
    #[error("expected a number of bytes with an optional unit, such as 512, 64Mi, 1.5G or 20GB")]
    Form,
    /// A unit that nobody knows.
    #[error(
        "unknown unit `{unit}`: K, M, G, T, P, E and Ki, Mi, Gi, Ti, Pi, Ei are powers of 1024, KB, MB, GB, TB, PB, EB powers of 1000"
    )]
    Unit {
        /// What stands behind the number.
        unit: String,
    },
    /// More than 2^64 - 1 bytes.
    #[error("the size is larger than 18446744073709551615 bytes")]
    Overflow,
}

/// Letters of the units, each 1024 or 1000 times the one before.
const LETTERS: &str = "KMGTPE";

/// Digits after the point that are still exact; nobody means more.
const MAX_FRACTION_DIGITS: usize = 18;

/// Reads a size in bytes: `4096`, `64Mi`, `1.5G` (as qemu-img: powers of 1024), `20GB` (powers of 1000).
///
/// A fraction that is no whole number of bytes is rounded up.
///
/// # Errors
/// [`SizeError`] says what was expected.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(SizeError::Form);
    }
    if fraction.len() > MAX_FRACTION_DIGITS {
        return Err(SizeError::Form);
    }
    let unit = multiplier(unit.trim_start())?;
    // Only digits are left, so the one thing that can go wrong is too many of them.
    let whole: u64 = whole.parse().map_err(|_| SizeError::Overflow)?;
    let scale = fraction.bytes().fold(1_u128, |scale, _| scale.saturating_mul(10));
    let fraction: u128 = fraction.parse().map_err(|_| SizeError::Overflow)?;
    let part = fraction.saturating_mul(u128::from(unit)).div_ceil(scale);
    let part = u64::try_from(part).map_err(|_| SizeError::Overflow)?;
    whole.checked_mul(unit).and_then(|bytes| bytes.checked_add(part)).ok_or(SizeError::Overflow)
}

/// How many bytes one `unit` has.
fn multiplier(unit: &str) -> Result<u64, SizeError> {
    let unknown = || SizeError::Unit { unit: unit.chars().take(16).collect() };
    let mut letters = unit.chars();
    let Some(letter) = letters.next() else { return Ok(1) };
    if unit == "B" {
        return Ok(1);
    }
    let base: u64 = match letters.as_str() {
        "" | "i" | "iB" => 1024,
        "B" => 1000,
        _ => return Err(unknown()),
    };
    let place = LETTERS.find(letter.to_ascii_uppercase()).ok_or_else(unknown)?;
    let power = u32::try_from(place).unwrap_or(0).saturating_add(1);
    base.checked_pow(power).ok_or(SizeError::Overflow)
}

/// A size for people: `512 B`, `1.5 GiB`, `580 MiB`.
#[must_use]
pub fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 1_u128;
    let mut letters = LETTERS.chars();
    let mut letter = ' ';
    // A value that would round to 1024 of a unit is 1.0 of the next.
    while rounded(u128::from(bytes), unit) >= 1024 {
        let Some(next) = letters.next() else { break };
        letter = next;
        unit = unit.saturating_mul(1024);
    }
    let tenths = rounded(u128::from(bytes).saturating_mul(10), unit);
    if tenths < 1000 {
        let (whole, tenth) = (tenths.div_euclid(10), tenths.rem_euclid(10));
        return format!("{whole}.{tenth} {letter}iB");
    }
    format!("{} {letter}iB", rounded(u128::from(bytes), unit))
}

/// `value / unit` to the nearest whole number.
fn rounded(value: u128, unit: u128) -> u128 {
    value.saturating_add(unit.div_euclid(2)).div_euclid(unit.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let table: [(&str, u64); 20] = [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            (" 7 ", 7),
            ("64Mi", 64 << 20),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            ("64MiB", 64 << 20),
            ("64MB", 64_000_000),
            ("1k", 1024),
            ("1kB", 1000),
            ("256Ki", 256 << 10),
            ("1.5G", 3 << 29),
            ("0.5Ki", 512),
            ("1 GiB", 1 << 30),
            ("2T", 2 << 40),
            ("3P", 3 << 50),
            ("15E", 15 << 60),
            ("18EB", 18_000_000_000_000_000_000),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in table {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn fractions_are_rounded_up_to_whole_bytes() {
        for (text, bytes) in [("0.1", 1), ("0.1K", 103), ("1.3K", 1332), ("1.000000000000000001K", 1025)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "G", "-1", "+1", ".5G", "5.", "1.2.3", "1e3", "0x10", "1.0000000000000000001K", "١"]
        {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, SizeError::Form | SizeError::Unit { .. }), "{text}: {error}");
        }
        for text in ["1Z", "1b", "1Kb", "1KIB", "1Mbit", "1 2", "1GG"] {
            assert!(matches!(parse(text), Err(SizeError::Unit { .. })), "{text}");
        }
        for text in ["16E", "18446744073709551616", "18446744073709551615.1", "99999999999999999999", "19EB"]
        {
            assert_eq!(parse(text), Err(SizeError::Overflow), "{text}");
        }
    }

    #[test]
    fn people_read_short_sizes() {
        let table: [(u64, &str); 13] = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (3 << 29, "1.5 GiB"),
            (2 << 30, "2.0 GiB"),
            (580 << 20, "580 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (102_348, "99.9 KiB"),
            (102_399, "100 KiB"),
            (1_047_000, "1022 KiB"),
            (1 << 60, "1.0 EiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(human(bytes), text, "{bytes}");
        }
    }
}
