//! Compressed streams that unpack to more than anybody has, or want more memory than they may have.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::{CAPACITY, Cage, Left, repeated, zeros};
use crate::common::digest;

/// Far more than the streams below take.
const QUICK: Duration = Duration::from_secs(8);

const CODECS: [&str; 4] = ["gzip", "xz", "zstd", "bzip2"];

fn pack(codec: &str, bytes: &[u8]) -> Vec<u8> {
    match codec {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "xz" => liblzma::encode_all(bytes, 6).unwrap(),
        "zstd" => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// A frame of zstd whose window is `window`, as its byte says, of `blocks` blocks of 128 KiB, each one byte.
fn frame(window: u8, blocks: usize) -> Vec<u8> {
    let mut frame = b"\x28\xb5\x2f\xfd\0".to_vec();
    frame.push(window);
    for block in 1..=blocks {
        let last = u32::from(block == blocks);
        frame.extend_from_slice(&(128 << 10 << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        frame.push(b'w');
    }
    frame
}

/// An .xz stream of one block whose dictionary has the size code `code`.
fn with_dictionary(code: u8) -> Vec<u8> {
    let mut xz = pack("xz", b"one");
    let len = (usize::from(xz[12]) + 1) * 4;
    let header = &mut xz[12..12 + len];
    let filter = header.windows(2).position(|pair| pair == [0x21, 1]).unwrap();
    header[filter + 2] = code;
    let mut crc = flate2::Crc::new();
    crc.update(&header[..len - 4]);
    header[len - 4..].copy_from_slice(&crc.sum().to_le_bytes());
    xz
}

#[test]
fn bombs_end_at_the_target_and_zeros_take_no_space() {
    let mut cage = Cage::of("codecs: bombs");
    let sum = zeros(cage.workshop.path(), 256 << 20);
    for codec in CODECS {
        let member = pack(codec, &vec![0; 16 << 20]);
        let bomb = cage.at("bomb");
        repeated(&bomb, &member, 16);
        let name = |way: &str| format!("{codec}, {way}");
        for (way, run) in [("a file", cage.import(&bomb)), ("a pipe", cage.import("-").fed_from(&bomb))] {
            cage.refusal(&name(way), run, (7, &CAPACITY.to_string()), Left::Emptied);
        }
        let outcome = cage.run(cage.import_within(256 << 20, &bomb));
        cage.note(&name("with room"), outcome.code == 0 && digest::disk(&cage.target()) == sum, &outcome);
        assert!(fs::metadata(cage.target()).unwrap().blocks() < 2048, "{codec}: zeros took space");
        // A bomb in a bomb.
        let outer = pack(if codec == "xz" { "zstd" } else { "xz" }, &fs::read(&bomb).unwrap());
        cage.refuses(&name("packed again"), &outer, (7, &CAPACITY.to_string()), Left::Emptied);
        fs::remove_file(bomb).unwrap();
    }
    assert!(cage.time < QUICK, "{:?}", cage.time);
    cage.finish();
}

#[test]
fn streams_of_nothing_but_empty_members_are_read_in_linear_time() {
    let mut cage = Cage::of("codecs: empty members");
    for codec in CODECS {
        let file = cage.at("empty");
        repeated(&file, &pack(codec, b""), 20_000);
        for (way, run) in [("a file", cage.import(&file)), ("a pipe", cage.import("-").fed_from(&file))] {
            cage.refusal(&format!("{codec}, {way}"), run, (6, "empty"), Left::Untouched);
        }
        fs::remove_file(file).unwrap();
    }
    let skips = b"\x50\x2a\x4d\x18\0\0\0\0".repeat(50_000);
    cage.refuses("skippable frames", &skips, (6, "empty"), Left::Untouched);
    assert!(cage.time < QUICK, "{:?}", cage.time);
    cage.finish();
}

#[test]
fn windows_and_dictionaries_above_the_limit_are_refused_and_the_largest_allowed_fit() {
    let mut cage = Cage::of("codecs: windows");
    for (name, stream) in [
        ("zstd 2 GiB", frame(0xa8, 1)),
        ("zstd 144 MiB", frame(0x89, 1)),
        ("zstd 3.75 TiB", frame(0xff, 1)),
        ("zstd single segment of 8 GiB", b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\x02\0\0\0\x03\0\0A".to_vec()),
        ("xz 1 GiB", with_dictionary(36)),
        ("xz 4 GiB", with_dictionary(40)),
    ] {
        cage.refuses(name, &stream, (6, "over the memory limit"), Left::Untouched);
        let again = pack("gzip", &stream);
        cage.refuses(&format!("{name} in gzip"), &again, (6, "over the memory limit"), Left::Untouched);
    }
    // Every byte of the largest window is used.
    let file: PathBuf = cage.at("window");
    fs::write(&file, frame(0x88, 1200)).unwrap();
    let outcome = cage.run(cage.import_within(1 << 30, "-").fed_from(&file));
    cage.note("zstd 128 MiB", outcome.code == 0, &outcome);
    fs::write(&file, pack("xz", &frame(0x88, 1200))).unwrap();
    let outcome = cage.run(cage.import_within(1 << 30, "-").fed_from(&file));
    cage.note("zstd 128 MiB in xz", outcome.code == 0, &outcome);
    cage.finish();
}

#[test]
fn streams_that_break_off_or_go_on_are_refused() {
    let mut cage = Cage::of("codecs: ends");
    let disk: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    for codec in CODECS {
        let whole = pack(codec, &disk);
        let name = |what: &str| format!("{codec}, {what}");
        let cut = &whole[..whole.len() - 5];
        cage.refuses(&name("cut"), cut, (5, codec), Left::Untouched);
        let mut bad = whole.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 0x10;
        let file = cage.at("bad");
        fs::write(&file, &bad).unwrap();
        // What was decoded before the damage may have gone to the target already.
        let outcome = cage.run(cage.import(&file));
        cage.note(&name("damaged"), outcome.code == 5, &outcome);
        fs::remove_file(file).unwrap();
        let garbage = [&whole[..], b"garbage"].concat();
        cage.refuses(&name("garbage behind"), &garbage, (5, codec), Left::Untouched);
        let twice = pack(codec, &whole);
        cage.refuses(&name("twice"), &twice, (6, "twice"), Left::Untouched);
        let magic = [&whole[..6], &[0x55; 600]].concat();
        let outcome = cage.run(cage.import("-").fed(magic));
        cage.note(&name("the magic alone"), matches!(outcome.code, 5 | 6), &outcome);
    }
    cage.finish();
}
