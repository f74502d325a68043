//! Digests of bytes: their names, their written form, and the sums themselves.

use std::fmt::{self, Write};
use std::str::FromStr;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// A digest's algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RFC 1321; good against accidents only.
    Md5,
    /// FIPS 180-4; good against accidents only.
    Sha1,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4.
    Sha512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    /// The name that options and results use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of a value in bytes.
    #[must_use]
    pub fn value_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is no checksum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// No colon between algorithm and value.
    #[error("expected ALGORITHM:HEX, such as sha256:9f86d0...; algorithms are md5, sha1, sha256, sha512")]
    Form,
    /// An algorithm that we do not know.
    #[error("unknown algorithm `{name}`: md5, sha1, sha256 and sha512 are known")]
    Algorithm {
        /// What stands before the colon.
        name: String,
    },
    /// Too many digits, or too few.
    #[error("{algorithm} has {expected} hexadecimal digits, here are {found}")]
    Length {
        /// The algorithm.
        algorithm: Algorithm,
        /// Digits that it has.
        expected: usize,
        /// Digits that were given.
        found: usize,
    },
    /// Not hexadecimal.
    #[error("`{digit}` is no hexadecimal digit")]
    Digit {
        /// The first character that is none.
        digit: char,
    },
}

/// An algorithm and a value, written `sha256:9f86d0…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The value, of the algorithm's length.
    pub value: Vec<u8>,
}

impl Checksum {
    /// The value in lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.value.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex())
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let (name, digits) = text.trim().split_once(':').ok_or(ChecksumError::Form)?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| ChecksumError::Algorithm { name: name.chars().take(16).collect() })?;
        if let Some(digit) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(ChecksumError::Digit { digit });
        }
        let expected = algorithm.value_len().saturating_mul(2);
        if digits.len() != expected {
            return Err(ChecksumError::Length { algorithm, expected, found: digits.len() });
        }
        let value = digits.as_bytes().chunks(2).map(byte).collect();
        Ok(Self { algorithm, value })
    }
}

/// The byte that two hexadecimal digits stand for.
fn byte(digits: &[u8]) -> u8 {
    digits.iter().fold(0, |byte, digit| {
        let nibble = char::from(*digit).to_digit(16).and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
        (byte << 4) | nibble
    })
}

/// A sum under way.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A sum over nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Md5 => State::Md5(Md5::new()),
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Md5(sum) => sum.update(bytes),
            State::Sha1(sum) => sum.update(bytes),
            State::Sha256(sum) => sum.update(bytes),
            State::Sha512(sum) => sum.update(bytes),
        }
    }

    /// The sum over everything that was taken in.
    #[must_use]
    pub fn finish(self) -> Checksum {
        let (algorithm, value) = match self.0 {
            State::Md5(sum) => (Algorithm::Md5, sum.finalize().to_vec()),
            State::Sha1(sum) => (Algorithm::Sha1, sum.finalize().to_vec()),
            State::Sha256(sum) => (Algorithm::Sha256, sum.finalize().to_vec()),
            State::Sha512(sum) => (Algorithm::Sha512, sum.finalize().to_vec()),
        };
        Checksum { algorithm, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published values for the three bytes `abc`.
    const ABC: [&str; 4] = [
        "md5:900150983cd24fb0d6963f7d28e17f72",
        "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ];

    #[test]
    fn sums_are_the_published_ones_however_the_bytes_come() {
        for (algorithm, expected) in Algorithm::ALL.into_iter().zip(ABC) {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"a");
            hasher.update(b"");
            hasher.update(b"bc");
            assert_eq!(hasher.finish().to_string(), expected);
        }
    }

    #[test]
    fn the_written_form_is_read_back_in_either_case() {
        for text in ABC {
            assert_eq!(text.parse::<Checksum>().unwrap().to_string(), text);
            assert_eq!(text.to_uppercase().parse::<Checksum>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_checksum_is_refused_with_what_was_expected() {
        let table = [
            ("900150983cd24fb0d6963f7d28e17f72", "expected ALGORITHM:HEX"),
            ("", "expected ALGORITHM:HEX"),
            ("crc32:00", "unknown algorithm `crc32`"),
            ("sha256:ab", "sha256 has 64 hexadecimal digits, here are 2"),
            ("md5:", "md5 has 32 hexadecimal digits, here are 0"),
            ("md5:g00150983cd24fb0d6963f7d28e17f72", "`g` is no hexadecimal digit"),
            ("md5:é", "`é` is no hexadecimal digit"),
        ];
        for (text, start) in table {
            let error = text.parse::<Checksum>().unwrap_err().to_string();
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }
}
