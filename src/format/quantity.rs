//! Kubernetes quantities: `5Gi`, `1500M`, `1e9`, `0.5`, `100m`.
//!
//! Refuses to know: units that only people use (`K`, `GB`); those are in [`size`](super::size).

/// Why a text is no quantity of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not what Kubernetes reads.
    #[error("expected a Kubernetes quantity, such as 5Gi, 1500M, 1e9 or 1073741824")]
    Form,
    /// Less than nothing.
    #[error("the quantity is negative")]
    Negative,
    /// More than Kubernetes can hold.
    #[error("the quantity is larger than 9223372036854775807")]
    Overflow,
}

/// The largest quantity.
const MOST: u128 = i64::MAX.unsigned_abs() as u128;

/// Digits that matter: more are no number that anybody means.
const MAX_DIGITS: usize = 36;

/// The number of whole bytes that `text` means; a part of a byte counts as one.
///
/// # Errors
/// [`QuantityError`] says what was expected.
///
/// Source: the grammar of `resource.Quantity` in the Kubernetes API.
pub fn parse(text: &str) -> Result<u64, QuantityError> {
    let text = text.trim();
    let negative = text.starts_with('-');
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{}{}", whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(QuantityError::Form);
    }
    let scale = scale(suffix)?;
    if digits.len() > MAX_DIGITS {
        return Err(QuantityError::Overflow);
    }
    let value: u128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| QuantityError::Form)? };
    let point = i32::try_from(fraction.trim_end_matches('0').len()).map_err(|_| QuantityError::Form)?;
    let value = scaled(value, scale.binary, scale.decimal.saturating_sub(point))?;
    if negative && value > 0 {
        return Err(QuantityError::Negative);
    }
    u64::try_from(value).ok().filter(|_| value <= MOST).ok_or(QuantityError::Overflow)
}

/// What a number is multiplied by: `binary` times ten to the power of `decimal`.
struct Scale {
    binary: u128,
    decimal: i32,
}

fn scale(suffix: &str) -> Result<Scale, QuantityError> {
    let binary = |power: u32| Ok(Scale { binary: 1_u128.checked_shl(power).unwrap_or(1), decimal: 0 });
    let decimal = |decimal| Ok(Scale { binary: 1, decimal });
    match suffix {
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        _ => {
            let power = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Form)?;
            decimal(power.parse::<i16>().map_err(|_| QuantityError::Form)?.into())
        }
    }
}

/// `value * binary * 10^decimal`, rounded up.
fn scaled(value: u128, binary: u128, decimal: i32) -> Result<u128, QuantityError> {
    let value = value.checked_mul(binary).ok_or(QuantityError::Overflow)?;
    if value == 0 {
        return Ok(0);
    }
    match 10_u128.checked_pow(decimal.unsigned_abs()) {
        Some(power) if decimal >= 0 => value.checked_mul(power).ok_or(QuantityError::Overflow),
        Some(power) => Ok(value.div_ceil(power)),
        None if decimal >= 0 => Err(QuantityError::Overflow),
        // Far less than a byte, and yet not nothing.
        None => Ok(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_and_exponent_counts_as_in_kubernetes() {
        for (text, bytes) in [
            ("5Gi", 5 << 30),
            ("1G", 1_000_000_000),
            ("1500M", 1_500_000_000),
            ("1e9", 1_000_000_000),
            ("1E9", 1_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("7Ei", 7 << 60),
            ("1.5Gi", 3 << 29),
            (".5Ki", 512),
            ("5.", 5),
            ("0.1", 1),
            ("1.1Ki", 1127),
            ("100m", 1),
            ("1001m", 2),
            ("1n", 1),
            ("3k", 3000),
            ("+4", 4),
            ("-0", 0),
            ("0e99", 0),
            ("12e-1", 2),
            ("1e-300", 1),
            (" 1073741824 ", 1 << 30),
            ("0000000000000000000000000000000000000000001", 1),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (text, error) in [
            ("", QuantityError::Form),
            (".", QuantityError::Form),
            ("Gi", QuantityError::Form),
            ("1.2.3", QuantityError::Form),
            ("5 Gi", QuantityError::Form),
            ("5K", QuantityError::Form),
            ("5GB", QuantityError::Form),
            ("1e", QuantityError::Form),
            ("1e99999", QuantityError::Form),
            ("0x10", QuantityError::Form),
            ("-1", QuantityError::Negative),
            ("8Ei", QuantityError::Overflow),
            ("1e19", QuantityError::Overflow),
            ("1e300", QuantityError::Overflow),
            ("9223372036854775808", QuantityError::Overflow),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
