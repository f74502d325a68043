//! zstd (RFC 8878): any number of frames, skippable ones among them, then nothing.

use ::zstd::zstd_safe::{DCtx, DParameter, ErrorCode, InBuffer, OutBuffer};

use super::decoder::{Decode, Fault, Feed, Place, Step};
use super::{WINDOW_LIMIT, WINDOW_LOG_LIMIT};

/// The first bytes of a frame that is not skippable (RFC 8878, 3.1.1).
const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// The longest frame header, magic included (RFC 8878, 3.1.1.1).
const HEADER_LEN: usize = 18;

/// A decoder of zstd data.
pub(super) struct Zstd {
    context: DCtx<'static>,
    /// The first bytes of the present frame.
    header: Vec<u8>,
    /// Bytes that the present frame has come to.
    made: u64,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    First,
    /// Within a frame after the first.
    Later,
    Between,
}

impl Zstd {
    /// A decoder that expects the first frame.
    pub(super) fn new() -> Result<Self, Fault> {
        let mut context = DCtx::try_create().ok_or(NO_MEMORY)?;
        let limit = DParameter::WindowLogMax(WINDOW_LOG_LIMIT);
        context.set_parameter(limit).map_err(|_| Fault::Decoder("libzstd refuses the window limit"))?;
        Ok(Self { context, header: Vec::with_capacity(HEADER_LEN), made: 0, state: State::First })
    }

    fn remember(&mut self, bytes: &[u8]) {
        let missing = HEADER_LEN.saturating_sub(self.header.len());
        self.header.extend(bytes.iter().take(missing));
    }

    /// What the frame that has ended came to, held against its header. libzstd does so too, but not where
    /// the last block is an empty one and the frame comes in small pieces.
    fn ended(&self) -> Result<Place, Fault> {
        match content(&self.header) {
            Some(promised) if promised != self.made => {
                Err(Fault::Damaged("a frame has not the length that its header tells"))
            }
            _ => Ok(Place::Boundary),
        }
    }

    fn fault(&self, code: ErrorCode) -> Fault {
        // libzstd returns errors as small negative numbers (zstd_errors.h).
        match 0_usize.wrapping_sub(code) {
            10 if self.state == State::Later => Fault::Trailing,
            10 => Fault::Damaged("the data do not begin with the zstd magic"),
            12 | 14 => Fault::Unsupported("a frame of an unknown version"),
            16 => {
                let need = window(&self.header).unwrap_or(WINDOW_LIMIT + 1);
                Fault::OverLimit { what: "window", need, cap: WINDOW_LIMIT }
            }
            22 => Fault::Damaged("the checksum of a frame differs"),
            32 => Fault::Unsupported("a dictionary"),
            64 => NO_MEMORY,
            _ => Fault::Damaged("a frame is invalid"),
        }
    }
}

const NO_MEMORY: Fault = Fault::Decoder("no memory left");

impl Decode for Zstd {
    fn step(&mut self, feed: Feed<'_>, output: &mut [u8]) -> Step {
        if self.state == State::Between {
            if feed.bytes.is_empty() {
                return Step { taken: 0, made: 0, place: Ok(Place::Boundary) };
            }
            self.state = State::Later;
            self.header.clear();
            self.made = 0;
        }
        let (mut from, mut to) = (InBuffer::around(feed.bytes), OutBuffer::around(output));
        let result = self.context.decompress_stream(&mut to, &mut from);
        let (taken, made) = (from.pos(), to.pos());
        self.made = self.made.saturating_add(u64::try_from(made).unwrap_or(u64::MAX));
        let place = match result {
            Ok(hint) => {
                self.remember(feed.bytes.get(..taken).unwrap_or_default());
                if hint == 0 {
                    self.state = State::Between;
                    self.ended()
                } else {
                    Ok(Place::Inside)
                }
            }
            Err(code) => {
                self.remember(feed.bytes);
                Err(self.fault(code))
            }
        };
        Step { taken, made, place }
    }
}

/// The window's size in bytes as a frame header tells it (RFC 8878, 3.1.1.1.2).
fn window(header: &[u8]) -> Option<u64> {
    let descriptor = *header.get(4)?;
    if descriptor & 0x20 == 0 {
        let byte = *header.get(5)?;
        let base = 1_u64 << (10 + u32::from(byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 7));
    }
    // A single segment: the window is the content.
    content(header)
}

/// The length of the content in bytes, where a frame header tells it (RFC 8878, 3.1.1.1.4); skippable
/// frames have none.
fn content(header: &[u8]) -> Option<u64> {
    let descriptor = *header.strip_prefix(MAGIC)?.first()?;
    let single = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let (len, add) = match descriptor >> 6 {
        0 if single => (1, 0),
        0 => return None,
        1 => (2, 256),
        2 => (4, 0),
        _ => (8, 0),
    };
    let size = header.get(5 + usize::from(!single) + dictionary..)?.get(..len)?;
    let value = size.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    Some(value.saturating_add(add))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{
        assert_any_reads_do, assert_any_reads_fail, assert_damage_is_noticed, kind, plain, sample,
    };
    use crate::error::Kind;
    use crate::format::codec::Codec;
    use ::zstd::stream::write::Encoder;
    use std::io::Write;

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn skippable(len: u8) -> Vec<u8> {
        let mut frame = vec![0x50, 0x2a, 0x4d, 0x18, len, 0, 0, 0];
        frame.resize(8 + usize::from(len), 7);
        frame
    }

    #[test]
    fn frames_follow_each_other_skippable_ones_too_and_nothing_the_last() {
        let (one, two, none, skip) = (zstd(b"one"), zstd(b"two"), zstd(b""), skippable(9));
        let all = [&skip[..], &one, &none, &skip, &two, &skippable(0)].concat();
        assert_eq!(plain(Codec::Zstd, &all).unwrap(), b"onetwo");
        assert_eq!(plain(Codec::Zstd, &skip).unwrap(), b"");
        for garbage in [&b"x"[..], b"\0", &[0; 512], b"\x28\xb5\x2f\xfd", b"garbage", &skip[..10]] {
            assert_eq!(kind(Codec::Zstd, &[&one, garbage].concat()), Some(Kind::Integrity), "{garbage:?}");
        }
        let error = plain(Codec::Zstd, &[&one[..], b"junk"].concat()).unwrap_err().to_string();
        assert!(error.contains("trailing bytes"), "{error}");
    }

    #[test]
    fn all_sizes_of_reads_give_the_same() {
        let bytes = sample(300_000);
        let (left, right) = bytes.split_at(123_456);
        assert_any_reads_do(Codec::Zstd, &[zstd(left), zstd(right), zstd(b"")].concat(), &bytes);
    }

    #[test]
    fn damage_is_noticed() {
        assert_damage_is_noticed(Codec::Zstd, &zstd(&sample(100)));
        assert_damage_is_noticed(Codec::Zstd, &zstd(b""));
    }

    #[test]
    fn a_window_above_the_limit_is_refused_with_need_and_cap() {
        let refused = |header: &[u8], need: u64| {
            let error = plain(Codec::Zstd, &[header, &[1, 0, 0]].concat()).unwrap_err();
            assert_eq!(error.kind(), Kind::Image);
            let words = format!("needs {need} bytes, the cap is 134217728");
            assert!(error.to_string().contains(&words), "{error}");
        };
        refused(b"\x28\xb5\x2f\xfd\0\xa8", 2 << 30);
        refused(b"\x28\xb5\x2f\xfd\0\x89", (128 << 20) + (16 << 20));
        refused(b"\x28\xb5\x2f\xfd\0\xff", 15 << 38);
        refused(b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\x02\0\0\0", 8 << 30);
        // 128 MiB exactly.
        assert_eq!(plain(Codec::Zstd, b"\x28\xb5\x2f\xfd\0\x88\x01\0\0").unwrap(), b"");
        let second = [&zstd(b"one")[..], b"\x28\xb5\x2f\xfd\0\xa8\x01\0\0"].concat();
        assert_eq!(kind(Codec::Zstd, &second), Some(Kind::Image));
    }

    #[test]
    fn a_frame_is_as_long_as_its_header_tells() {
        // A content of 40068 bytes, and one last block of none; found by fuzzing.
        let empty = b"\x28\xb5\x2f\xfd\x40\0\x84\x9b\x05\0\0";
        assert_eq!(kind(Codec::Zstd, empty), Some(Kind::Integrity));
        assert_any_reads_fail(Codec::Zstd, empty);
        for (descriptor, len) in [(0x20, &[3][..]), (0x40, &[0, 0]), (0x80, &[3, 0, 0, 0]), (0xc0, &[3; 8])] {
            let window = (descriptor != 0x20).then_some(0);
            let head = [&[0x28, 0xb5, 0x2f, 0xfd, descriptor][..], window.as_slice(), len].concat();
            // A raw block of two bytes, and an empty one.
            let frame = [&head[..], &[0x11, 0, 0, 1, 2]].concat();
            assert_any_reads_fail(Codec::Zstd, &frame);
            assert_any_reads_fail(Codec::Zstd, &[&head[..], &[0x05, 0, 0]].concat());
        }
        assert_any_reads_do(Codec::Zstd, b"\x28\xb5\x2f\xfd\x20\x02\x11\0\0\x01\x02", &[1, 2]);
    }

    #[test]
    fn a_dictionary_is_not_supported() {
        assert_eq!(kind(Codec::Zstd, b"\x28\xb5\x2f\xfd\x21\x09\0\x01\0\0"), Some(Kind::Image));
    }
}
