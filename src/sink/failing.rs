//! A target in memory of which one call fails, for the tests of whoever pours.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;

use super::{Sink, SinkError};
use crate::format::addr::GuestOffset;

/// What a target is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Prepare,
    Write,
    Zero,
    Read,
    Sync,
    Finish,
}

pub(crate) const DEEDS: [Deed; 6] =
    [Deed::Prepare, Deed::Write, Deed::Zero, Deed::Read, Deed::Sync, Deed::Finish];

/// One call: what, where, how much.
pub(crate) type Call = (Deed, u64, u64);

/// A disk of which the call `deed` with the number `nth`, from 1 on, fails with `errno`; its clones
/// are the same disk.
#[derive(Clone)]
pub(crate) struct Failing {
    fault: (Deed, usize, Errno),
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    disk: Vec<u8>,
    /// How many calls there had been when one failed, that one included.
    failed: Option<usize>,
    finished: bool,
}

impl Failing {
    pub(crate) fn new(deed: Deed, nth: usize, errno: Errno) -> Self {
        Self { fault: (deed, nth, errno), state: Arc::default() }
    }

    /// The call that failed, and those that came after it.
    pub(crate) fn failure(&self) -> Option<(Call, Vec<Call>)> {
        let state = self.state();
        let failed = state.failed?;
        Some((state.calls[failed - 1], state.calls[failed..].to_vec()))
    }

    pub(crate) fn finished(&self) -> bool {
        self.state().finished
    }

    pub(crate) fn disk(&self) -> Vec<u8> {
        self.state().disk.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn call(&self, deed: Deed, at: u64, len: u64) -> Result<MutexGuard<'_, State>, SinkError> {
        let mut state = self.state();
        state.calls.push((deed, at, len));
        let (which, nth, errno) = self.fault;
        let number = state.calls.iter().filter(|(what, ..)| *what == which).count();
        if which != deed || number != nth {
            return Ok(state);
        }
        state.failed = Some(state.calls.len());
        let at = matches!(deed, Deed::Write | Deed::Zero | Deed::Read).then_some(at);
        Err(SinkError::failed(deed.verb(), Path::new("/target"), at, errno.into()))
    }
}

impl Deed {
    /// The word that targets use for it.
    fn verb(self) -> &'static str {
        match self {
            Self::Prepare => "set the size of",
            Self::Write => "write",
            Self::Zero => "zero",
            Self::Read => "read back",
            Self::Sync | Self::Finish => "flush",
        }
    }
}

fn range(at: u64, len: u64) -> std::ops::Range<usize> {
    usize::try_from(at).unwrap()..usize::try_from(at + len).unwrap()
}

impl Sink for Failing {
    fn capacity(&self) -> Option<u64> {
        None
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        let mut state = self.call(Deed::Prepare, 0, size.unwrap_or(0))?;
        state.disk = vec![0xa5; usize::try_from(size.unwrap_or(0)).unwrap()];
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        let len = super::len_of(buf);
        let mut state = self.call(Deed::Write, at.0, len)?;
        state.disk[range(at.0, len)].copy_from_slice(buf);
        Ok(())
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        let mut state = self.call(Deed::Zero, at.0, len)?;
        state.disk[range(at.0, len)].fill(0);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        let len = super::len_of(buf);
        let state = self.call(Deed::Read, at.0, len)?;
        buf.copy_from_slice(&state.disk[range(at.0, len)]);
        Ok(())
    }

    fn sync(&self) -> Result<(), SinkError> {
        self.call(Deed::Sync, 0, 0).map(drop)
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        let mut state = self.call(Deed::Finish, 0, virtual_size)?;
        state.finished = true;
        Ok(())
    }
}
