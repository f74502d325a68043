//! How much of a file system a disk may take: CDI's arithmetic, to the byte.
//!
//! The controller makes volumes by the inverse of it, so every rounding counts, that of floating
//! point included.

/// Disks in a file system come in whole MiB.
const MIB: u64 = 1 << 20;

/// The part of a file system that its own tables take, as in `0.06`; always finite and not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overhead(f64);

impl Overhead {
    /// What `text` says; nothing where it says nothing that makes sense, as CDI has it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let value: f64 = text.trim().parse().unwrap_or(0.0);
        Self(if value.is_finite() && value > 0.0 { value } else { 0.0 })
    }

    /// The largest disk that fits into `available` bytes of a file system, in whole MiB.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "CDI computes in floating point, and so the result is the same"
    )]
    pub fn usable(self, available: u64) -> u64 {
        let bytes = whole((available as f64 / (1.0 + self.0)).ceil());
        bytes.saturating_sub(bytes.checked_rem(MIB).unwrap_or(0))
    }
}

/// The integer that `value`, which is one, is; a cast would say nothing about those that are not.
fn whole(value: f64) -> u64 {
    const FRACTION_BITS: u32 = 52;
    const BIAS: u64 = 1023;
    let bits = value.to_bits();
    let exponent = (bits >> FRACTION_BITS) & 0x7ff;
    let fraction = (bits & ((1 << FRACTION_BITS) - 1)) | 1 << FRACTION_BITS;
    let Some(power) = exponent.checked_sub(BIAS) else { return 0 };
    match u32::try_from(power).unwrap_or(u32::MAX) {
        power @ 0..=FRACTION_BITS => fraction >> FRACTION_BITS.saturating_sub(power),
        power @ ..64 => fraction << power.saturating_sub(FRACTION_BITS),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: u64 = 1 << 20;

    #[test]
    fn the_vectors_of_the_contract_hold_to_the_byte() {
        for (overhead, available, usable) in [
            ("0.06", 100 * MI, 94 * MI),
            ("0.06", 500 * MI, 471 * MI),
            ("0.06", 1024 * MI, 966 * MI),
            ("0.06", 5 << 30, 4830 * MI),
            ("0.06", 1_138_166_334, 1024 * MI),
            ("0.06", 1_000_000_000, 899 * MI),
            ("0.055", 1024 * MI, 970 * MI),
            ("0.1", 1024 * MI, 930 * MI),
            ("0", 1_000_000_000, 953 * MI),
        ] {
            assert_eq!(Overhead::parse(overhead).usable(available), usable, "{overhead} {available}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_no_overhead() {
        for text in ["", "x", "-1", "NaN", "inf", "-0.5"] {
            assert_eq!(Overhead::parse(text), Overhead::default(), "{text}");
        }
    }

    #[test]
    fn integers_come_out_of_floating_point_whole() {
        for value in [0_u64, 1, 2, 3, MI, MI + 1, (1 << 52) - 1, 1 << 52, (1 << 53) - 1, 1 << 53, 1 << 63] {
            #[expect(clippy::cast_precision_loss, reason = "each has an exact double")]
            let double = value as f64;
            assert_eq!(whole(double), value);
        }
        assert_eq!(whole(0.5), 0);
        assert_eq!(whole(1e30), u64::MAX);
    }
}
