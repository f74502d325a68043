//! Says of every result whether it is right.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diskpour::error::Error;

use super::memory::{SHAPES, Shape, may_fail, pour};
use crate::common::map::{Map, parse};
use crate::common::{qemu, tally};

/// Thousands of times what a pour takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of the results that need `qemu-img`'s word, one in so many gets it.
const ASKED: usize = 97;

/// Enough failures to see what is wrong.
const ENOUGH: usize = 20;

/// What was done to an image.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// These bits of the byte at an offset were changed.
    Flip { at: usize, bits: u8 },
    /// The image ends here.
    Cut { at: usize },
}

impl Damage {
    fn apply(self, image: &[u8]) -> Vec<u8> {
        match self {
            Self::Cut { at } => image[..at].to_vec(),
            Self::Flip { at, bits } => {
                let mut damaged = image.to_vec();
                damaged[at] ^= bits;
                damaged
            }
        }
    }
}

/// An image, its disk, and what came of its damages.
pub(crate) struct Judge<'a> {
    name: &'a str,
    dir: &'a Path,
    image: Vec<u8>,
    disk: Vec<u8>,
    map: Map,
    refused: usize,
    same: usize,
    follows: usize,
    unknown: usize,
    asked: usize,
    disagreed: usize,
    failures: Vec<String>,
}

impl<'a> Judge<'a> {
    /// The sound image must pour in every shape as `qemu-img` reads it.
    pub(crate) fn of(name: &'a str, path: &Path, dir: &'a Path) -> Self {
        let image = fs::read(path).unwrap();
        let disk = qemu::try_raw(path, &dir.join("sound.raw")).unwrap();
        let map = parse(&image);
        let (refused, same, follows, unknown, asked, disagreed) = (0, 0, 0, 0, 0, 0);
        let failures = Vec::new();
        for shape in SHAPES {
            assert!(pour(&image.clone().into(), shape).unwrap() == disk, "{name} {shape:?}, undamaged");
        }
        Self { name, dir, image, disk, map, refused, same, follows, unknown, asked, disagreed, failures }
    }

    /// Every damage of the first 64 KiB and of every table.
    pub(crate) fn damages(&self) -> Vec<Damage> {
        let mut harmed = vec![false; self.image.len()];
        let tables = self.map.tables.iter().cloned().chain(std::iter::once(0..64 << 10));
        for range in tables {
            let end = usize::try_from(range.end).unwrap().min(harmed.len());
            harmed[usize::try_from(range.start).unwrap()..end].fill(true);
        }
        let places = harmed.iter().enumerate().filter(|(_, harmed)| **harmed).map(|(at, _)| at);
        let mut all = Vec::new();
        for at in places {
            // Of the header every bit, elsewhere one of each byte.
            let bits = if at < 112 { 0..8 } else { at % 8..at % 8 + 1 };
            all.extend(bits.map(|bit| Damage::Flip { at, bits: 1 << bit }));
            all.push(Damage::Flip { at, bits: 0xff });
            all.push(Damage::Cut { at });
        }
        all
    }

    /// Pours the damaged image in every shape and judges the results.
    pub(crate) fn try_damage(&mut self, damage: Damage) {
        let damaged: Arc<[u8]> = damage.apply(&self.image).into();
        let mut poured: Option<Vec<u8>> = None;
        let mut refusals = 0;
        // A known length bounds what tables name; it says nothing about data.
        let known = !matches!(damage, Damage::Flip { at, .. } if self.plain_data(at).is_some());
        for shape in SHAPES.into_iter().filter(|shape| known || *shape != Shape::Forward) {
            let Some(disk) = self.guarded(&damaged, shape, damage) else {
                refusals += 1;
                continue;
            };
            match &poured {
                Some(other) if *other != disk => {
                    self.fail(format!("{damage:?}: {shape:?} differs from others"))
                }
                Some(_) => {}
                None => poured = Some(disk),
            }
        }
        if let Some(disk) = poured {
            self.disagreed += usize::from(refusals > 0);
            self.judge(damage, &damaged, &disk);
        } else {
            self.refused += 1;
        }
    }

    pub(crate) fn has_enough(&self) -> bool {
        self.failures.len() >= ENOUGH
    }

    pub(crate) fn finish(self, damages: usize) {
        println!(
            "{}: {damages} damages: refused {}, same disk {}, the damaged byte alone {}, other {} (qemu-img asked {}); \
             {} poured in some shapes and were refused in others",
            self.name, self.refused, self.same, self.follows, self.unknown, self.asked, self.disagreed
        );
        assert!(self.failures.is_empty(), "{}:\n{}", self.name, self.failures.join("\n"));
    }

    /// The disk, or `None` when the image was refused; panics and delays are failures.
    fn guarded(&mut self, damaged: &Arc<[u8]>, shape: Shape, damage: Damage) -> Option<Vec<u8>> {
        let start = Instant::now();
        let result: Result<Result<Vec<u8>, Error>, _> =
            catch_unwind(AssertUnwindSafe(|| pour(damaged, shape)));
        if start.elapsed() > PATIENCE {
            self.fail(format!("{damage:?} {shape:?}: took {:?}", start.elapsed()));
        }
        match result {
            Ok(Ok(disk)) => return Some(disk),
            Ok(Err(error)) if may_fail(error.kind()) => {}
            Ok(Err(error)) => self.fail(format!("{damage:?} {shape:?}: a strange error, {error:?}")),
            Err(panic) => self.fail(format!("{damage:?} {shape:?}: panicked, {}", tally::words(&*panic))),
        }
        None
    }

    fn judge(&mut self, damage: Damage, damaged: &[u8], disk: &[u8]) {
        if disk == self.disk {
            self.same += 1;
            return;
        }
        let follows = self.follows_from(damage, disk);
        let count = if follows { &mut self.follows } else { &mut self.unknown };
        *count += 1;
        // What follows from the map needs less of a second opinion.
        let due = *count % if follows { ASKED * 31 } else { ASKED } == 1;
        if due {
            self.ask(damage, damaged, disk);
        }
    }

    /// Whether the damage changed one byte of plain data and nothing else.
    fn follows_from(&self, damage: Damage, disk: &[u8]) -> bool {
        let Damage::Flip { at, bits } = damage else { return false };
        let Some(guest) = self.plain_data(at) else { return false };
        let mut due = self.disk.clone();
        if let Some(byte) = due.get_mut(guest) {
            *byte ^= bits;
        }
        due == disk
    }

    /// The guest offset of a byte of the image that is data of one cluster that is not compressed.
    fn plain_data(&self, at: usize) -> Option<usize> {
        let host = at as u64;
        if self.map.tables.iter().any(|table| table.contains(&host)) {
            return None;
        }
        let mut found = self.map.mappings.iter().filter(|mapping| mapping.host.contains(&host));
        let (Some(mapping), None) = (found.next().filter(|mapping| !mapping.compressed), found.next()) else {
            return None;
        };
        usize::try_from(mapping.guest + (host - mapping.host.start)).ok()
    }

    fn ask(&mut self, damage: Damage, damaged: &[u8], disk: &[u8]) {
        self.asked += 1;
        let path = self.dir.join("damaged.qcow2");
        fs::write(&path, damaged).unwrap();
        match qemu::try_raw(&path, &self.dir.join("damaged.raw")) {
            Some(judged) if judged == disk => {}
            Some(_) => self.fail(format!("{damage:?}: neither the disk nor what qemu-img reads")),
            None => self.fail(format!("{damage:?}: poured, but qemu-img refuses the image")),
        }
    }

    fn fail(&mut self, words: String) {
        if !self.has_enough() {
            self.failures.push(words);
        }
    }
}
