//! QCOW2 images of any layout: every route gives the disk that the image means, or says why not.

use std::fmt::Debug;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use diskpour::copy::{Forward, Pouring, Waiting, ranged};
use diskpour::error::{Error, Kind};
use diskpour::format::qcow2::{HEADER_AREA, Header};
use diskpour::image::{Image, Qcow2};
use diskpour::io::{ReadAt, Reading, Sequential};
use diskpour::progress::{Progress, Stop};
use diskpour::scratch::Scratch;
use proptest::collection;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::Index;
use proptest::test_runner::{FailurePersistence, FileFailurePersistence, TestCaseError};

use crate::common::layout::Built;
use crate::common::ledger::Ledger;
use crate::common::recipe::recipes;
use crate::common::workshop;

/// What a refusal says when an image shares bytes in a way that one pass cannot follow.
const SHARES: &str = "onto bytes that something else uses too";

/// Where failures are remembered, to be tried again first.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forward.seeds");

fn remembered() -> ProptestConfig {
    let failure_persistence: Option<Box<dyn FailurePersistence>> =
        Some(Box::new(FileFailurePersistence::Direct(SEEDS)));
    ProptestConfig { failure_persistence, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(remembered())]

    #[test]
    fn every_route_gives_the_disk_that_the_image_means(
        recipe in recipes(),
        passes in collection::vec(passes(), 3),
        reading in readings(),
    ) {
        let built = recipe.build();
        for pass in &passes {
            let (ledger, result) = pass.pour(&built.image);
            match result {
                Ok(()) => right(&ledger, &built, pass)?,
                Err(error) => prop_assert!(pass.may_refuse(&built, &error), "{pass:?}: {error:?}"),
            }
            prop_assert!(ledger.faults().is_empty(), "{pass:?}: {:?}", ledger.faults());
        }
        let place = Memory { bytes: built.image.clone(), reading };
        let (ledger, result) = pour_ranged(Arc::new(place));
        prop_assert!(result.is_ok(), "ranged: {result:?}");
        right(&ledger, &built, &"ranged")?;
        let (ledger, result) = pour_staged(&built.image);
        prop_assert!(result.is_ok(), "staged: {result:?}");
        right(&ledger, &built, &"staged")?;
    }

    #[test]
    fn with_a_byte_flipped_the_routes_agree_or_one_refuses(
        recipe in recipes(),
        pass in passes(),
        reading in readings(),
        flips in collection::vec((any::<Index>(), any::<Index>(), 0_u32..8), 1..3),
        anywhere: Index,
    ) {
        let mut built = recipe.build();
        for (table, byte, bit) in flips {
            let (at, len) = *table.get(&built.tables);
            built.image[at + byte.index(len)] ^= 1_u8 << bit;
        }
        let at = anywhere.index(built.image.len());
        built.image[at] ^= 0x20;
        let (one, forward) = pass.pour(&built.image);
        let (other, size) = pour_ranged(Arc::new(Memory { bytes: built.image.clone(), reading }));
        let (size, ranged) = (size.as_ref().ok().copied(), size.map(drop));
        for (ledger, result) in [(&one, &forward), (&other, &ranged)] {
            prop_assert!(ledger.faults().is_empty(), "{pass:?}: {:?}", ledger.faults());
            if let Err(error) = result {
                prop_assert!([Kind::Image, Kind::ScratchRequired].contains(&error.kind()), "{error:?}");
            }
        }
        if let (Ok(()), Some(size)) = (forward, size) {
            prop_assert!(one.balanced(size).is_ok(), "{:?}", one.balanced(size));
            prop_assert!(other.balanced(size).is_ok(), "{:?}", other.balanced(size));
            prop_assert!(one.sectors() == other.sectors());
        }
    }
}

#[test]
fn an_l1_table_past_the_end_is_refused_before_anything_waits_for_it() {
    let mut image = vec![1; 1 << 20];
    image[..512].fill(0);
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x02\0\0\0\0");
    put(20, &16_u32.to_be_bytes());
    put(24, &(1_u64 << 20).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &(1_u64 << 20).to_be_bytes());
    put(48, &(1_u64 << 16).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    let pass =
        Pass { budget: 1, scratch: false, known_len: true, workers: 1, mappings: 1, reads: vec![100_000] };
    let error = pass.pour(&image).1.unwrap_err();
    assert_eq!(error.kind(), Kind::Image, "{error}");
}

fn right(ledger: &Ledger, built: &Built, route: &dyn Debug) -> Result<(), TestCaseError> {
    let balanced = ledger.balanced(built.size);
    prop_assert!(balanced.is_ok(), "{route:?}: {balanced:?}");
    let (found, meant) = (ledger.sectors(), &built.disk);
    let wrong = meant.keys().chain(found.keys()).find(|at| meant.get(at) != found.get(at));
    prop_assert!(wrong.is_none(), "{route:?}: the disk is wrong at byte {wrong:?}");
    Ok(())
}

/// One way to pour forward.
#[derive(Clone, Debug)]
struct Pass {
    budget: u64,
    scratch: bool,
    known_len: bool,
    workers: usize,
    mappings: usize,
    /// Bytes of each read, over and over.
    reads: Vec<usize>,
}

fn passes() -> impl Strategy<Value = Pass> {
    let budget = prop_oneof![Just(1), Just(4096), Just(100 << 10), Just(64 << 20)];
    let reads = collection::vec(prop_oneof![1_usize..100, 1000_usize..200_000], 1..4);
    let mappings = prop_oneof![Just(1 << 20), 0_usize..100];
    let pass = (budget, any::<bool>(), any::<bool>(), 1_usize..4, mappings, reads);
    pass.prop_map(|(budget, scratch, known_len, workers, mappings, reads)| Pass {
        budget,
        scratch,
        known_len,
        workers,
        mappings,
        reads,
    })
}

fn readings() -> impl Strategy<Value = Reading> {
    let piece = prop_oneof![512_usize..5000, Just(64 << 10), Just(1 << 20)];
    let gap = prop_oneof![Just(0), 1_u64..100_000];
    (1_usize..4, piece, gap).prop_map(|(lanes, piece, gap)| Reading { lanes, piece, gap })
}

impl Pass {
    fn pour(&self, image: &[u8]) -> (Ledger, Result<(), Error>) {
        let dir = workshop();
        let scratch_dir: Option<PathBuf> = self.scratch.then(|| dir.path().into());
        let waiting = Waiting { memory_budget: self.budget, scratch_dir };
        let len = self.known_len.then_some(image.len() as u64);
        let dribble = Dribble { bytes: image.to_vec(), at: 0, reads: self.reads.clone() };
        pour_to_ledger(self.workers, |to| {
            let header = Header::parse(&image[..image.len().min(HEADER_AREA)])?;
            let forward = Forward::new(header, len, &waiting, to).with_mappings(self.mappings);
            forward.run(Sequential::new(dribble, len))
        })
    }

    fn may_refuse(&self, built: &Built, error: &Error) -> bool {
        match error.kind() {
            Kind::ScratchRequired => !self.scratch && self.budget < 64 << 20,
            Kind::Image => built.awkward && error.to_string().contains(SHARES),
            _ => false,
        }
    }
}

fn pour_ranged(place: Arc<Memory>) -> (Ledger, Result<u64, Error>) {
    pour_to_ledger(2, |to| {
        let image = Qcow2::open(place)?;
        ranged(&image, to)?;
        Ok(image.virtual_size())
    })
}

fn pour_staged(image: &[u8]) -> (Ledger, Result<(), Error>) {
    let dir = workshop();
    let stream = Sequential::new(io::Cursor::new(image.to_vec()), None);
    pour_to_ledger(2, |to| {
        let scratch = Scratch::create(dir.path(), Arc::clone(to.progress))?;
        ranged(&Qcow2::open(scratch.stage(stream, to.stop)?)?, to)
    })
}

fn pour_to_ledger<T>(
    workers: usize,
    pour: impl FnOnce(Pouring<'_>) -> Result<T, Error>,
) -> (Ledger, Result<T, Error>) {
    let (ledger, progress, stop) = (Ledger::default(), Arc::<Progress>::default(), Stop::default());
    let result = pour(Pouring { sink: &ledger, progress: &progress, stop: &stop, workers });
    (ledger, result)
}

/// A stream that comes in reads of odd lengths.
struct Dribble {
    bytes: Vec<u8>,
    at: usize,
    reads: Vec<usize>,
}

impl Read for Dribble {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads.rotate_left(1);
        let rest = &self.bytes[self.at..];
        let count = self.reads[0].min(buf.len()).min(rest.len());
        buf[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// An image in memory.
struct Memory {
    bytes: Vec<u8>,
    reading: Reading,
}

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        let found = self.bytes.get(from..from + buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(found);
        Ok(())
    }

    fn reading(&self) -> Reading {
        self.reading
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        Ok(Sequential::new(io::Cursor::new(self.bytes.clone()), Some(self.len())))
    }
}
