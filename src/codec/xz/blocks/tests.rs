//! What holds for blocks in threads beside the tests of the format.

use std::io::{Cursor, Read};

use super::*;
use crate::codec::tests::sample;
use crate::codec::xz::tests::{blocks, encode, xz};
use crate::codec::{Options, decode, decoder};
use crate::error::{Error, Kind};
use crate::format::codec::Codec;
use crate::io::Sequential;
use liblzma::stream::{Check, MtStreamBuilder};

const MIB: usize = 1 << 20;

/// What comes out of `compressed` with so many threads, or of what kind the error is.
fn outcome(compressed: &[u8], threads: usize) -> (Vec<u8>, Option<Kind>) {
    let input = Sequential::new(Cursor::new(compressed.to_vec()), None);
    let mut all = Vec::new();
    let read = decode(Codec::Xz, input, &Options { threads }).unwrap().read_to_end(&mut all);
    (all, read.err().map(|error| Error::from_io(error, Kind::Other).kind()))
}

fn with_check(check: Check, bytes: &[u8], block: u64) -> Vec<u8> {
    let mut builder = MtStreamBuilder::new();
    builder.threads(1).block_size(block).preset(0).check(check);
    encode(builder.encoder().unwrap(), bytes)
}

/// Decodes in steps of `count` bytes up to the end; what came out.
fn run(decoder: &mut Blocks, mut input: &[u8], count: usize) -> Vec<u8> {
    let (mut all, mut output) = (Vec::new(), vec![0; count]);
    loop {
        let step = decoder.step(Feed { bytes: input, last: input.is_empty() }, &mut output);
        input = &input[step.taken..];
        all.extend_from_slice(&output[..step.made]);
        if step.place.unwrap() == Place::Boundary && input.is_empty() {
            return all;
        }
    }
}

#[test]
fn zeros_behind_a_dense_block_are_decoded_while_it_waits() {
    const ZEROS: usize = 8;
    let mut bytes: Vec<u8> = (0..6 * MIB).map(|at| (at % 251).to_le_bytes()[0]).collect();
    bytes.resize((1 + ZEROS) * 6 * MIB, 0);
    let compressed = blocks(&bytes, 6 * MIB as u64);
    // The dense block has more output than is held unless it is read.
    let mut decoder = Blocks::within(8 * MIB as u64, 2).unwrap();
    let (mut rest, mut made) = (&compressed[..], 0);
    while !rest.is_empty() {
        let news = decoder.crew.as_ref().map(Crew::news);
        let step = decoder.step(Feed { bytes: rest, last: false }, &mut [0]);
        assert!(step.place.is_ok());
        (rest, made) = (&rest[step.taken..], made + step.made);
        // One byte more would get it on as well; what is asked is whether the threads do.
        if let (0, Some(crew)) = (step.taken, &decoder.crew) {
            assert!(crew.wait_until(|queue| Some(queue.news) != news));
        }
    }
    let crew = decoder.crew.as_ref().unwrap();
    assert!(crew.wait_until(|queue| queue.ended_ahead() == ZEROS));
    assert!(run(&mut decoder, &[], MIB) == bytes[made..]);
}

#[test]
fn no_more_is_held_than_the_memory_allows() {
    let bytes = sample(24 * MIB);
    let compressed = blocks(&bytes, MIB as u64);
    let memory = 6 * MIB;
    let mut decoder = Blocks::within(memory as u64, 4).unwrap();
    assert!(run(&mut decoder, &compressed, 100_000) == bytes);
    let crew = decoder.crew.as_ref().unwrap();
    let dictionaries = usize::try_from(crew.memory).unwrap() * 4;
    assert!(crew.peak() * PIECE + dictionaries <= memory, "{} buffers", crew.peak());
}

#[test]
fn every_check_is_verified_with_and_without_zeros() {
    for check in [Check::None, Check::Crc32, Check::Crc64, Check::Sha256] {
        for bytes in [sample(90_000), vec![0; 90_000]] {
            let good = with_check(check, &bytes, 20_000);
            assert!(outcome(&good, 3) == (bytes.clone(), None), "{check:?}");
            if matches!(check, Check::None) {
                continue;
            }
            for threads in [1, 3] {
                let mut bad = good.clone();
                // The last byte of the last block is one of its check.
                bad[index_of(&good) - 1] ^= 1;
                let (all, kind) = outcome(&bad, threads);
                assert_eq!(kind, Some(Kind::Integrity), "{check:?}");
                assert!(bytes.starts_with(&all));
            }
        }
    }
}

/// Where the index of a single stream begins, by its footer.
fn index_of(stream: &[u8]) -> usize {
    let at = stream.len() - 8;
    let units = u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
    stream.len() - 12 - (units as usize + 1) * 4
}

#[test]
fn one_thread_and_several_agree_about_every_damaged_byte() {
    let zeros = vec![0; 300];
    for good in [blocks(&sample(200), 64), [blocks(&zeros, 100), vec![0; 4], xz(b"one")].concat()] {
        for at in 0..good.len() {
            for mask in [1, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= mask;
                assert!(outcome(&bad, 1) == outcome(&bad, 2), "byte {at} mask {mask}");
            }
            assert!(outcome(&good[..at], 1) == outcome(&good[..at], 2), "cut to {at}");
        }
    }
}

#[test]
fn streams_may_need_more_memory_than_those_before_or_tell_no_sizes() {
    let bytes = sample(900_000);
    let larger = |bytes: &[u8]| {
        let mut builder = MtStreamBuilder::new();
        builder.threads(1).block_size(100_000).preset(6).check(Check::Crc64);
        encode(builder.encoder().unwrap(), bytes)
    };
    let (one, two, three) = (&bytes[..300_000], &bytes[300_000..600_000], &bytes[600_000..]);
    let all = [blocks(one, 50_000), larger(two), xz(three), blocks(one, 50_000)].concat();
    assert!(outcome(&all, 4) == ([&bytes[..], one].concat(), None));
}

#[test]
fn sizes_that_a_header_invents_cost_nothing_and_are_found_out() {
    let good = xz(b"one");
    for claim in [1_u64 << 20, 1 << 24, 1 << 40, 1 << 61] {
        // Both sizes (format 3.1), LZMA2 with the smallest dictionary, in a header of 32 bytes.
        let mut header = vec![7, 0xc0];
        for _ in 0..2 {
            let mut rest = claim;
            while rest >= 0x80 {
                header.push(rest.to_le_bytes()[0] | 0x80);
                rest >>= 7;
            }
            header.push(rest.to_le_bytes()[0]);
        }
        header.extend([0x21, 1, 0]);
        header.resize(28, 0);
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        header.extend(crc.sum().to_le_bytes());
        let body = &good[12 + (usize::from(good[12]) + 1) * 4..];
        let lie = [&good[..12], &header, body].concat();
        for threads in [1, 2] {
            assert_eq!(outcome(&lie, threads).1, Some(Kind::Integrity), "{claim} {threads}");
        }
    }
}

#[test]
fn many_tiny_blocks_and_empty_ones_do() {
    let bytes = sample(40_000);
    let all = [blocks(&bytes, 10), xz(b""), blocks(&bytes, 7)].concat();
    assert!(outcome(&all, 3) == (bytes.repeat(2), None));
}

#[test]
fn an_error_in_a_block_comes_after_all_bytes_before_it() {
    let bytes = sample(100_000);
    let mut compressed = blocks(&bytes, 10_000);
    let index = index_of(&compressed);
    compressed[index] = 1;
    let input = Sequential::new(Cursor::new(compressed), None);
    let mut stream = decoder::stream(Codec::Xz, input, Blocks::new(2).unwrap());
    let mut all = vec![0; bytes.len()];
    stream.read_exact(&mut all).unwrap();
    assert!(all == bytes);
    assert!(stream.read(&mut [0]).is_err());
}
