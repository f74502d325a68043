//! The .xz format: any number of streams with padding of four-byte units, blocks in parallel.
//!
//! Memory: with one thread, and for blocks that do not tell their size or are large, the dictionary
//! alone, at most [`XZ_MEMORY_LIMIT`]. Blocks that tell their size (`xz -T2` and more) are decoded
//! side by side: see [`blocks`].

mod blocks;
mod checked;
mod crew;
mod frames;
mod queue;
mod worker;

use super::XZ_MEMORY_LIMIT;
use super::decoder::{Decode, Fault, Feed, Place, Step};
use crate::sys::lzma::{Decoder, Outcome};
use blocks::Blocks;

/// More threads than fit the memory are of no use.
const THREADS_LIMIT: usize = 64;

/// A decoder of .xz data.
pub(super) struct Xz(Way);

enum Way {
    /// Everything in the thread that reads.
    Plain(Decoder),
    /// Blocks in threads of their own.
    Parallel(Box<Blocks>),
}

impl Xz {
    /// A decoder with at most `threads` threads.
    pub(super) fn new(threads: usize) -> Result<Self, Fault> {
        if threads > 1 {
            let blocks = Blocks::new(threads.min(THREADS_LIMIT))?;
            return Ok(Self(Way::Parallel(Box::new(blocks))));
        }
        let decoder = Decoder::new(XZ_MEMORY_LIMIT).map_err(fault)?;
        Ok(Self(Way::Plain(decoder)))
    }
}

impl Decode for Xz {
    fn step(&mut self, feed: Feed<'_>, output: &mut [u8]) -> Step {
        match &mut self.0 {
            Way::Plain(decoder) => plain(decoder, feed, output),
            Way::Parallel(blocks) => blocks.step(feed, output),
        }
    }
}

fn plain(decoder: &mut Decoder, feed: Feed<'_>, output: &mut [u8]) -> Step {
    let ended = feed.last && feed.bytes.is_empty();
    let step = if ended { decoder.finish(output) } else { decoder.run(feed.bytes, output) };
    let place = match step.outcome {
        Outcome::Going => Ok(Place::Inside),
        Outcome::Ended => Ok(Place::Boundary),
        Outcome::MemoryLimit => Err(over_limit(decoder.needed_memory())),
        failed => Err(fault(failed)),
    };
    Step { taken: step.taken, made: step.made, place }
}

/// What it means that liblzma did not go on.
fn fault(outcome: Outcome) -> Fault {
    match outcome {
        Outcome::Damaged => Fault::Damaged(
            "a checksum, a size, the index or the coding is wrong, or trailing bytes are no padding",
        ),
        Outcome::NotXz => Fault::Damaged("the data do not begin with the xz magic"),
        Outcome::Unsupported => Fault::Unsupported("an unknown filter, check or option"),
        // Where the need is not told, it is at least one more than the cap.
        Outcome::MemoryLimit => over_limit(XZ_MEMORY_LIMIT + 1),
        Outcome::NoMemory => Fault::Decoder("no memory left"),
        Outcome::Going | Outcome::Ended | Outcome::Misused => Fault::Decoder("liblzma refused the call"),
    }
}

fn over_limit(need: u64) -> Fault {
    Fault::OverLimit { what: "dictionary", need, cap: XZ_MEMORY_LIMIT }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_any_reads_do, assert_damage_is_noticed, kind, plain, sample};
    use super::super::{Options, decode};
    use crate::error::{Error, Kind};
    use crate::format::codec::Codec;
    use crate::io::Sequential;
    use liblzma::stream::{Check, Filters, LzmaOptions, MtStreamBuilder, Stream};
    use liblzma::write::XzEncoder;
    use std::io::{Cursor, Read, Write};

    pub(super) fn encode(stream: Stream, bytes: &[u8]) -> Vec<u8> {
        let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
        encode(Stream::new_easy_encoder(0, Check::Crc64).unwrap(), bytes)
    }

    /// Several blocks that tell their sizes.
    pub(super) fn blocks(bytes: &[u8], block: u64) -> Vec<u8> {
        let mut builder = MtStreamBuilder::new();
        builder.threads(2).block_size(block).preset(0).check(Check::Crc32);
        encode(builder.encoder().unwrap(), bytes)
    }

    /// `xz` with the dictionary of its first block set to the size code `dict`, header made good again.
    fn with_dictionary(mut xz: Vec<u8>, dict: u8) -> Vec<u8> {
        let len = (usize::from(xz[12]) + 1) * 4;
        let header = &mut xz[12..12 + len];
        let at = header.windows(2).position(|pair| pair == [0x21, 1]).unwrap();
        header[at + 2] = dict;
        let mut crc = flate2::Crc::new();
        crc.update(&header[..len - 4]);
        header[len - 4..].copy_from_slice(&crc.sum().to_le_bytes());
        xz
    }

    #[test]
    fn streams_follow_each_other_with_padding_of_four_bytes() {
        let (one, two, none) = (xz(b"one"), xz(b"two"), xz(b""));
        let all = [&one[..], &none, &[0; 8], &two, &[0; 4]].concat();
        assert_eq!(plain(Codec::Xz, &all).unwrap(), b"onetwo");
        for garbage in [&[0][..], &[0; 3], &[0; 5], b"x", b"garbage", b"\xfd7zXZ", &one[..20]] {
            assert_eq!(kind(Codec::Xz, &[&one, garbage].concat()), Some(Kind::Integrity), "{garbage:?}");
        }
        assert_eq!(kind(Codec::Xz, &[&[0; 4][..], &one].concat()), Some(Kind::Integrity));
    }

    #[test]
    fn lzma_alone_is_not_xz() {
        let options = LzmaOptions::new_preset(0).unwrap();
        let alone = encode(Stream::new_lzma_encoder(&options).unwrap(), b"one");
        assert_eq!(kind(Codec::Xz, &alone), Some(Kind::Integrity));
    }

    #[test]
    fn all_sizes_of_reads_and_numbers_of_threads_give_the_same() {
        let bytes = sample(300_000);
        let (left, right) = bytes.split_at(123_456);
        let mixed = [blocks(left, 20_000), xz(right)].concat();
        assert_any_reads_do(Codec::Xz, &mixed, &bytes);
        for threads in [0, 1, 3, usize::MAX] {
            let input = Sequential::new(Cursor::new(mixed.clone()), None);
            let mut all = Vec::new();
            decode(Codec::Xz, input, &Options { threads }).unwrap().read_to_end(&mut all).unwrap();
            assert!(all == bytes, "{threads}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        assert_damage_is_noticed(Codec::Xz, &xz(&sample(40)));
        assert_damage_is_noticed(Codec::Xz, &blocks(&sample(60), 40));
    }

    #[test]
    fn a_decoder_dropped_in_the_middle_ends_its_threads() {
        let compressed = blocks(&sample(3_000_000), 500_000);
        let input = Sequential::new(Cursor::new(compressed), None);
        let mut stream = decode(Codec::Xz, input, &Options { threads: 4 }).unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
    }

    #[test]
    fn a_dictionary_above_the_limit_is_refused_with_need_and_cap() {
        let mut options = LzmaOptions::new_preset(0).unwrap();
        let mut filters = Filters::new();
        filters.lzma2(options.dict_size(64 << 20));
        let largest = encode(Stream::new_stream_encoder(&filters, Check::Crc32).unwrap(), b"one");
        assert_eq!(plain(Codec::Xz, &largest).unwrap(), b"one");
        // Size codes of the .xz format, 5.3.1: 1 GiB and 4 GiB less one byte.
        for (code, dictionary) in [(36, 1_u64 << 30), (40, (4 << 30) - 1)] {
            for (bytes, threads) in [(xz(b"one"), 1), (xz(b"one"), 2), (blocks(&[7; 90], 40), 2)] {
                let input = Sequential::new(Cursor::new(with_dictionary(bytes, code)), None);
                let mut stream = decode(Codec::Xz, input, &Options { threads }).unwrap();
                let error = Error::from_io(stream.read_to_end(&mut Vec::new()).unwrap_err(), Kind::Other);
                assert_eq!(error.kind(), Kind::Image, "{error}");
                let words = error.to_string();
                let need = words.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap();
                assert!((dictionary..dictionary + (1 << 20)).contains(&need), "{words}");
                assert!(words.contains("the cap is 134217728"), "{words}");
            }
        }
    }

    #[test]
    fn an_unknown_check_is_not_supported() {
        let mut bytes = xz(b"one");
        bytes[7] = 2;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[6..8]);
        bytes[8..12].copy_from_slice(&crc.sum().to_le_bytes());
        assert_eq!(kind(Codec::Xz, &bytes), Some(Kind::Image));
    }
}
