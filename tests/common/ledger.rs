//! A target in memory that keeps account: every byte of the disk is written or zeroed exactly once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use diskpour::format::addr::GuestOffset;
use diskpour::sink::{Sink, SinkError};

/// The target. What breaks the sink's rules is written down and told at the end.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    size: Option<u64>,
    /// What was written (`Some`) or zeroed, by where it begins: the end, and the bytes.
    entries: BTreeMap<u64, (u64, Option<Vec<u8>>)>,
    faults: Vec<String>,
}

impl Ledger {
    /// That the disk has `size` bytes, that each was written or zeroed once, and no rule was broken.
    pub(crate) fn balanced(&self, size: u64) -> Result<(), String> {
        let book = self.book();
        if !book.faults.is_empty() {
            return Err(book.faults.join("; "));
        }
        if book.size != Some(size) {
            return Err(format!("prepared for {:?}, the disk has {size}", book.size));
        }
        let mut next = 0;
        for (at, (end, _)) in &book.entries {
            if *at != next {
                return Err(format!("nothing was put at {next}..{at}"));
            }
            next = *end;
        }
        if next == size { Ok(()) } else { Err(format!("nothing was put at {next}..{size}")) }
    }

    /// The rules that were broken, whether the pour ended well or not.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.book().faults.clone()
    }

    /// The disk without its zeros: sectors that hold anything else, by where they begin.
    pub(crate) fn sectors(&self) -> BTreeMap<u64, Vec<u8>> {
        let mut found = BTreeMap::new();
        for (at, (_, bytes)) in &self.book().entries {
            note_sectors(*at, bytes.as_deref().unwrap_or_default(), &mut found);
        }
        found
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, at: u64, len: u64, bytes: Option<Vec<u8>>) {
        let mut book = self.book();
        let end = at.saturating_add(len);
        match book.size {
            None => book.faults.push(format!("{at}..{end} before prepare")),
            Some(size) if end > size => book.faults.push(format!("{at}..{end} past the disk of {size}")),
            Some(_) if len == 0 => book.faults.push(format!("nothing put at {at}")),
            Some(_) => {}
        }
        if let Some((other, (until, _))) = book.entries.range(..end).next_back()
            && *until > at
        {
            let twice = format!("{at}..{end} again after {other}..{until}");
            book.faults.push(twice);
        }
        book.entries.insert(at, (end, bytes));
    }
}

/// Adds the 512-byte sectors of `bytes`, which begin at `at`, that are not all zero.
pub(crate) fn note_sectors(at: u64, bytes: &[u8], found: &mut BTreeMap<u64, Vec<u8>>) {
    let (mut at, mut rest) = (at, bytes);
    while !rest.is_empty() {
        let skip = usize::try_from(at % 512).unwrap();
        let (here, next) = rest.split_at(rest.len().min(512 - skip));
        if here.iter().any(|byte| *byte != 0) {
            let sector = found.entry(at - at % 512).or_insert_with(|| vec![0; 512]);
            sector[skip..skip + here.len()].copy_from_slice(here);
        }
        (at, rest) = (at + here.len() as u64, next);
    }
}

impl Sink for Ledger {
    fn capacity(&self) -> Option<u64> {
        None
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        let mut book = self.book();
        if size.is_none() || book.size.is_some() {
            let fault = format!("prepared for {:?}, then for {size:?}", book.size);
            book.faults.push(fault);
        }
        book.size = size;
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        self.put(at.0, buf.len() as u64, Some(buf.to_vec()));
        Ok(())
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        self.put(at.0, len, None);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        let mut book = self.book();
        let mut done = 0;
        while done < buf.len() {
            let here = at.0 + done as u64;
            let Some((start, (end, bytes))) = book.entries.range(..=here).next_back() else { break };
            if *end <= here {
                break;
            }
            let (skip, rest) = (usize::try_from(here - start).unwrap(), &mut buf[done..]);
            let count = rest.len().min(usize::try_from(end - here).unwrap());
            match bytes {
                Some(bytes) => rest[..count].copy_from_slice(&bytes[skip..skip + count]),
                None => rest[..count].fill(0),
            }
            done += count;
        }
        if done < buf.len() {
            book.faults.push(format!("read at {at} before anything was put there"));
            buf[done..].fill(0);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&self, _: u64) -> Result<(), SinkError> {
        Ok(())
    }
}
