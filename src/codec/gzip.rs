//! gzip (RFC 1952): any number of members, then nothing or zeros.
//!
//! The inflater checks the header's checksum and reserved flags, the CRC and the length. Header
//! fields are passed over, not kept.

use flate2::{Decompress, FlushDecompress, Status};

use super::decoder::{Decode, Fault, Feed, Place, Step, between};

/// The largest header that we pass over: far above the 64 KiB of an extra field, far below a flood.
const HEADER_LIMIT: u64 = 1 << 20;

/// The base-2 logarithm of deflate's window.
const WINDOW_BITS: u8 = 15;

enum State {
    Member,
    /// After a member: another one, padding or the end.
    Between,
    Padding,
}

/// A decoder of gzip data.
pub(super) struct Gzip {
    state: State,
    inflate: Decompress,
}

impl Gzip {
    /// A decoder that expects the first member.
    pub(super) fn new() -> Self {
        Self { state: State::Member, inflate: Decompress::new_gzip(WINDOW_BITS) }
    }

    fn member(&mut self, bytes: &[u8], output: &mut [u8]) -> Step {
        let (taken, made) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(bytes, output, FlushDecompress::None);
        let place = match status {
            Ok(Status::StreamEnd) => {
                self.state = State::Between;
                Ok(Place::Boundary)
            }
            Ok(Status::Ok | Status::BufError) => self.header_limit(),
            Err(error) => Err(Fault::Damaged(reason(error.message()))),
        };
        let (taken, made) =
            (between(taken, self.inflate.total_in()), between(made, self.inflate.total_out()));
        Step { taken, made, place }
    }

    /// Refuses a header that does not end; deflate itself soon gives output.
    fn header_limit(&self) -> Result<Place, Fault> {
        if self.inflate.total_in() > HEADER_LIMIT && self.inflate.total_out() == 0 {
            return Err(Fault::Unsupported("a member header of more than 1 MiB"));
        }
        Ok(Place::Inside)
    }
}

impl Decode for Gzip {
    fn step(&mut self, feed: Feed<'_>, output: &mut [u8]) -> Step {
        if let (State::Between, Some(first)) = (&self.state, feed.bytes.first()) {
            match first {
                0 => self.state = State::Padding,
                0x1f => *self = Self::new(),
                _ => return Step { taken: 0, made: 0, place: Err(Fault::Trailing) },
            }
        }
        match self.state {
            State::Member => self.member(feed.bytes, output),
            State::Between => Step { taken: 0, made: 0, place: Ok(Place::Boundary) },
            State::Padding => padding(feed.bytes),
        }
    }
}

fn padding(bytes: &[u8]) -> Step {
    match bytes.iter().position(|byte| *byte != 0) {
        None => Step { taken: bytes.len(), made: 0, place: Ok(Place::Boundary) },
        Some(taken) => Step { taken, made: 0, place: Err(Fault::Trailing) },
    }
}

/// The inflater's few words as constants, in ours.
fn reason(message: Option<&str>) -> &'static str {
    match message.unwrap_or_default() {
        "incorrect header check" => "a member does not begin with the gzip magic",
        "unknown compression method" => "the compression method is not deflate",
        "unknown header flags set" => "reserved header flags are set",
        "header crc mismatch" => "the header's checksum (CRC) differs",
        "incorrect data check" => "the checksum (CRC) of the data differs",
        "incorrect length check" => "the length of the data differs",
        _ => "the deflate data are invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_any_reads_do, assert_damage_is_noticed, kind, open, plain, sample};
    use crate::error::Kind;
    use crate::format::codec::Codec;
    use flate2::{Compression, GzBuilder, write::GzEncoder};
    use std::io::{Read, Write};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(parts: &[&[u8]]) -> Option<Vec<u8>> {
        plain(Codec::Gzip, &parts.concat()).ok()
    }

    #[test]
    fn members_follow_each_other_and_zeros_the_last() {
        let (one, two, none) = (gzip(b"one"), gzip(b"two"), gzip(b""));
        assert_eq!(decoded(&[&one]).unwrap(), b"one");
        assert_eq!(decoded(&[&one, &none, &two, &none]).unwrap(), b"onetwo");
        assert_eq!(decoded(&[&none]).unwrap(), b"");
        for zeros in [1, 2, 7, 512, 600_000] {
            assert_eq!(decoded(&[&one, &vec![0; zeros]]).unwrap(), b"one");
            assert_eq!(decoded(&[&one, &vec![0; zeros], &two]), None);
            assert_eq!(decoded(&[&one, &vec![0; zeros], b"x"]), None);
        }
        for garbage in [&b"x"[..], b"\x1f", b"\x1f\x8b", b"garbage", &one[1..]] {
            assert_eq!(kind(Codec::Gzip, &[&one, garbage].concat()), Some(Kind::Integrity));
        }
    }

    #[test]
    fn the_place_of_trailing_bytes_is_named() {
        let error = plain(Codec::Gzip, &[&gzip(b"one")[..], b"junk"].concat()).unwrap_err();
        assert_eq!(error.to_string(), "trailing bytes follow the gzip data, which end at compressed byte 23");
    }

    #[test]
    fn all_sizes_of_reads_give_the_same() {
        let bytes = sample(300_000);
        let (left, right) = bytes.split_at(123_456);
        assert_any_reads_do(Codec::Gzip, &[gzip(left), gzip(right)].concat(), &bytes);
    }

    #[test]
    fn damage_is_noticed() {
        assert_damage_is_noticed(Codec::Gzip, &gzip(&sample(100)));
        let named = GzBuilder::new().filename("disk.img").comment("c").extra(vec![1, 2, 3]);
        let mut encoder = named.write(Vec::new(), Compression::best());
        encoder.write_all(&sample(40)).unwrap();
        assert_damage_is_noticed(Codec::Gzip, &encoder.finish().unwrap());
    }

    #[test]
    fn bytes_before_the_damage_come_first() {
        let mut bad = gzip(&sample(5000));
        *bad.last_mut().unwrap() ^= 1;
        let mut stream = open(Codec::Gzip, &bad);
        let mut buf = vec![0; 10_000];
        assert_eq!(stream.read(&mut buf).unwrap(), 5000);
        let error = stream.read(&mut buf).unwrap_err();
        assert!(error.to_string().contains("the length of the data differs"), "{error}");
    }

    #[test]
    fn header_check_sums_and_reserved_flags_are_checked() {
        let mut bytes = gzip(b"one");
        bytes[3] = 0x20;
        assert_eq!(kind(Codec::Gzip, &bytes), Some(Kind::Integrity));
        bytes[3] = 2;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[..10]);
        let sum = crc.sum().to_le_bytes();
        bytes.splice(10..10, [sum[0], sum[1]]);
        assert_eq!(decoded(&[&bytes]).unwrap(), b"one");
        bytes[10] ^= 1;
        assert_eq!(kind(Codec::Gzip, &bytes), Some(Kind::Integrity));
    }

    #[test]
    fn a_long_header_is_passed_over_and_an_endless_one_refused() {
        let named = |len| {
            let mut encoder =
                GzBuilder::new().comment(vec![b'c'; len]).write(Vec::new(), Compression::best());
            encoder.write_all(b"one").unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(decoded(&[&named(1_000_000)]).unwrap(), b"one");
        assert_eq!(kind(Codec::Gzip, &named(2_000_000)), Some(Kind::Image));
    }
}
