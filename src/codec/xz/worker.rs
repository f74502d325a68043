//! A thread of a crew: takes one block after the other and decodes it piece by piece.
//!
//! Disks are full of blocks of zeros that look the same: one of them is decoded, the others are
//! compared with it. Refuses to know: the order of blocks, and who reads the plain bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::checked::Checked;
use super::crew::Shared;
use super::fault;
use super::frames::Found;
use super::queue::{End, Fed, Input, Known, Piece, Plain, Queue};
use crate::codec::decoder::Fault;
use crate::io::is_zero;
use crate::sys::lzma::{Outcome, Step};

/// Blocks of zeros with longer bodies are not kept; 24 MiB of zeros take 4 KiB.
const KNOWN_LIMIT: usize = 64 << 10;

/// Decodes until the crew is dismissed.
pub(super) fn work(shared: &Shared) {
    let mut decoder = Checked::new();
    while let Some((number, found)) = shared.wait(Queue::task) {
        let end = guarded(|| decode(shared, &mut decoder, number, found));
        shared.change(|queue| queue.end(number, end));
    }
}

/// The end that `work` comes to, also when it panics: nobody must wait for a block in vain.
fn guarded(work: impl FnOnce() -> End) -> End {
    let ended = catch_unwind(AssertUnwindSafe(work));
    ended.unwrap_or(End::Failed(Fault::Decoder("a decoding thread panicked; this is a defect")))
}

fn decode(shared: &Shared, decoder: &mut Checked, number: u64, found: Found) -> End {
    let mut hands =
        Hands { shared, number, input: None, taken: 0, sole: false, output: None, zeros: Some(0) };
    let end = hands.decode(decoder, found).err().unwrap_or(End::Good);
    hands.flush();
    hands.put_down();
    end
}

/// What a thread holds while it decodes a block.
struct Hands<'a> {
    shared: &'a Shared,
    number: u64,
    input: Option<Piece>,
    /// Bytes of the input that were decoded.
    taken: usize,
    /// Whether the input is the whole block.
    sole: bool,
    output: Option<Piece>,
    /// The length of the zeros that came out, as long as nothing else did.
    zeros: Option<u64>,
}

impl Hands<'_> {
    /// Decodes a block up to its good end.
    fn decode(&mut self, decoder: &mut Checked, found: Found) -> Result<(), End> {
        self.next_input()?;
        if let Some(known) = self.known(&found) {
            self.shared.change(|queue| queue.put(self.number, Plain::Zeros(known.plain)));
            return Ok(());
        }
        decoder.begin(found.block).map_err(failed)?;
        loop {
            let step = self.step(decoder)?;
            match step.outcome {
                Outcome::Going if self.is_full() => self.flush(),
                Outcome::Going if self.is_spent() => self.next_input()?,
                Outcome::Going if step.taken > 0 || step.made > 0 => {}
                Outcome::Going => return Err(End::Failed(Fault::Decoder("it makes no progress"))),
                Outcome::Ended if self.is_spent() => break,
                Outcome::Ended => return Err(failed(Outcome::Damaged)),
                other => return Err(failed(other)),
            }
        }
        self.flush();
        self.remember(found.header);
        Ok(())
    }

    fn step(&mut self, decoder: &mut Checked) -> Result<Step, End> {
        if self.output.is_none() {
            let buffer = self.shared.wait(|queue| queue.output_buffer(self.number)).ok_or(End::Cut)?;
            self.output = Some(Piece { buffer, len: 0 });
        }
        let input = self.input.as_ref().and_then(|piece| piece.buffer.get(self.taken..piece.len));
        let Some(output) = self.output.as_mut() else { return Err(End::Cut) };
        let room = output.buffer.get_mut(output.len..).unwrap_or_default();
        let step = decoder.run(input.unwrap_or_default(), room);
        self.taken = self.taken.saturating_add(step.taken);
        output.len = output.len.saturating_add(step.made);
        Ok(step)
    }

    fn is_full(&self) -> bool {
        self.output.as_ref().is_some_and(|piece| piece.len == piece.buffer.len())
    }

    fn is_spent(&self) -> bool {
        self.input.as_ref().is_none_or(|piece| piece.len == self.taken)
    }

    fn next_input(&mut self) -> Result<(), End> {
        if let Some(old) = self.input.take() {
            self.shared.change(|queue| queue.give_back(old.buffer));
        }
        match self.shared.wait(|queue| queue.input(self.number)) {
            Some(Input::Piece { piece, sole }) => {
                (self.input, self.taken, self.sole) = (Some(piece), 0, sole);
                Ok(())
            }
            Some(Input::None(Fed::Wholly)) => Err(failed(Outcome::Damaged)),
            Some(Input::None(_)) | None => Err(End::Cut),
        }
    }

    /// Hands on what was decoded; a buffer full of zeros is used again.
    fn flush(&mut self) {
        let Some(mut piece) = self.output.take_if(|piece| piece.len > 0) else { return };
        if !piece.buffer.get(..piece.len).is_some_and(is_zero) {
            self.zeros = None;
            self.shared.change(|queue| queue.put(self.number, Plain::Bytes(piece)));
            return;
        }
        let len = std::mem::take(&mut piece.len) as u64;
        self.zeros = self.zeros.map(|zeros| zeros.saturating_add(len));
        self.output = Some(piece);
        self.shared.change(|queue| queue.put(self.number, Plain::Zeros(len)));
    }

    /// The block of zeros that has the same bytes, if any.
    fn known(&self, found: &Found) -> Option<Arc<Known>> {
        let body = self.body()?;
        let known = self.shared.change(|queue| queue.known.clone())?;
        (known.header == found.header && known.body == body).then_some(known)
    }

    /// Keeps the block for comparison if it held zeros only.
    fn remember(&self, header: (u32, Box<[u8]>)) {
        if let (Some(body), Some(plain)) = (self.body(), self.zeros) {
            let known = Arc::new(Known { header, body: body.to_vec(), plain });
            self.shared.change(|queue| queue.known = Some(known));
        }
    }

    /// The bytes after the block's header, when they are few and at hand.
    fn body(&self) -> Option<&[u8]> {
        let piece = self.input.as_ref().filter(|piece| self.sole && piece.len <= KNOWN_LIMIT)?;
        piece.buffer.get(..piece.len)
    }

    fn put_down(&mut self) {
        let held = [self.input.take(), self.output.take()];
        for piece in held.into_iter().flatten() {
            self.shared.change(|queue| queue.give_back(piece.buffer));
        }
    }
}

fn failed(outcome: Outcome) -> End {
    End::Failed(fault(outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_end_of_its_block() {
        assert!(matches!(guarded(|| panic!("boom")), End::Failed(Fault::Decoder(_))));
        assert!(matches!(guarded(|| End::Cut), End::Cut));
    }
}
