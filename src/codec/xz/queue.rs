//! Blocks on their way through the threads, in order, and the buffers that bound their memory.
//!
//! A stretch of zeros is held as its length alone. The block that is read next (the head) always gets
//! on: some buffers are kept for its output. Refuses to know: threads, locks, and what a block is.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::codec::decoder::Fault;

/// Bytes in a buffer; small enough for a core's cache.
pub(super) const PIECE: usize = 256 << 10;

/// Buffers that only the output of the head may take.
const RESERVE: usize = 4;

/// Pieces of output that the head holds before it waits for their reader: more would be of no use to
/// anyone, and the blocks behind it need buffers.
const HELD: usize = 16;

/// Pieces of input that wait for a thread which is at work, whatever else is held.
const AHEAD: usize = 4;

/// Blocks that may wait or be held; each costs some hundred bytes beside its buffers.
const BLOCKS: usize = 1024;

/// A buffer and the count of bytes in it.
pub(super) struct Piece {
    pub(super) buffer: Box<[u8]>,
    pub(super) len: usize,
}

/// What a block decodes to, piece by piece.
pub(super) enum Plain {
    Bytes(Piece),
    Zeros(u64),
}

/// How much of a block's input there is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// More is to come.
    Partly,
    Wholly,
    /// The file ends before the block does.
    Cut,
}

/// The next input of a block.
pub(super) enum Input {
    /// A piece; `sole` when it is the whole block.
    Piece { piece: Piece, sole: bool },
    /// Nothing follows.
    None(Fed),
}

/// How a block has ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Good,
    /// The file ended before it.
    Cut,
    Failed(Fault),
}

/// What comes next in the order of the file.
pub(super) enum Next {
    Plain(Plain),
    /// It is being decoded.
    Busy,
    /// There are no blocks.
    Drained,
    /// The file ends within the present block.
    Cut,
    Failed(Fault),
}

/// A block of zeros that was decoded: another one with the same bytes need not be.
pub(super) struct Known {
    pub(super) header: (u32, Box<[u8]>),
    pub(super) body: Vec<u8>,
    pub(super) plain: u64,
}

struct Slot<T> {
    /// What is to be done, until a thread does it.
    task: Option<T>,
    input: VecDeque<Piece>,
    /// Whether a piece of the input was taken.
    tasted: bool,
    fed: Fed,
    plain: VecDeque<Plain>,
    end: Option<End>,
}

/// The blocks between the reader of the file and the reader of the plain bytes.
pub(super) struct Queue<T> {
    slots: VecDeque<Slot<T>>,
    /// The number of the head.
    first: u64,
    /// Blocks, counted from the head, which threads have taken.
    begun: usize,
    /// Blocks that have not ended.
    open: usize,
    spare: Vec<Box<[u8]>>,
    used: usize,
    limit: usize,
    threads: usize,
    pub(super) known: Option<Arc<Known>>,
    /// Grows with every change that somebody may wait for.
    pub(super) news: u64,
}

impl<T> Queue<T> {
    /// A queue with at most `limit` buffers, of which some are the head's, for `threads` threads.
    pub(super) fn new(limit: usize, threads: usize) -> Self {
        let limit = limit.max(RESERVE * 2);
        let (slots, spare) = (VecDeque::new(), Vec::new());
        Self { slots, first: 0, begun: 0, open: 0, spare, used: 0, limit, threads, known: None, news: 0 }
    }

    /// Whether another block may be added.
    pub(super) fn has_room(&self) -> bool {
        self.slots.len() < BLOCKS
    }

    /// Adds a block, which is fed next.
    pub(super) fn push(&mut self, task: T) {
        let (input, plain) = (VecDeque::new(), VecDeque::new());
        self.slots.push_back(Slot {
            task: Some(task),
            input,
            tasted: false,
            fed: Fed::Partly,
            plain,
            end: None,
        });
        self.open = self.open.saturating_add(1);
        self.news += 1;
    }

    /// A buffer for the input of the last block, when there is one for it.
    ///
    /// Input must not take the buffers that decoded bytes need: half of them are for all input, the
    /// rest for a thread that would stand still without it.
    pub(super) fn input_buffer(&mut self) -> Option<Box<[u8]>> {
        let last = self.slots.back()?;
        let hungry = last.task.is_none() && last.input.len() < AHEAD;
        let wanted = self.used < self.limit / 2 || hungry || self.open < self.threads;
        (wanted && self.used < self.limit.saturating_sub(RESERVE)).then(|| self.lend())
    }

    /// Feeds the last block.
    pub(super) fn feed(&mut self, piece: Piece, fed: Fed) {
        if let Some(last) = self.slots.back_mut() {
            last.input.push_back(piece);
            last.fed = fed;
            self.news += 1;
        }
    }

    /// Tells the last block that its input ends early.
    pub(super) fn cut(&mut self) {
        if let Some(last) = self.slots.back_mut().filter(|last| last.fed == Fed::Partly) {
            last.fed = Fed::Cut;
            self.news += 1;
        }
    }

    /// The next block that nobody has taken yet, and its number.
    pub(super) fn task(&mut self) -> Option<(u64, T)> {
        let task = self.slots.get_mut(self.begun)?.task.take()?;
        let number = self.first.saturating_add(self.begun as u64);
        self.begun = self.begun.saturating_add(1);
        self.news += 1;
        Some((number, task))
    }

    /// The next input of block `number`, when it is there.
    pub(super) fn input(&mut self, number: u64) -> Option<Input> {
        let slot = self.slot(number)?;
        let Some(piece) = slot.input.pop_front() else {
            return (slot.fed != Fed::Partly).then_some(Input::None(slot.fed));
        };
        let sole = !slot.tasted && slot.input.is_empty() && slot.fed == Fed::Wholly;
        slot.tasted = true;
        self.news += 1;
        Some(Input::Piece { piece, sole })
    }

    /// A buffer for the output of block `number`, when there is one for it.
    pub(super) fn output_buffer(&mut self, number: u64) -> Option<Box<[u8]>> {
        let free = if number == self.first {
            self.used < self.limit && self.slots.front()?.plain.len() < HELD
        } else {
            self.used < self.limit.saturating_sub(RESERVE)
        };
        free.then(|| self.lend())
    }

    /// Takes back a buffer that is no longer used.
    pub(super) fn give_back(&mut self, buffer: Box<[u8]>) {
        self.used = self.used.saturating_sub(1);
        self.spare.push(buffer);
        self.news += 1;
    }

    /// Adds output to block `number`.
    pub(super) fn put(&mut self, number: u64, plain: Plain) {
        let Some(slot) = self.slot(number) else { return };
        match (slot.plain.back_mut(), plain) {
            (Some(Plain::Zeros(len)), Plain::Zeros(more)) => *len = len.saturating_add(more),
            (_, plain) => slot.plain.push_back(plain),
        }
        self.news += 1;
    }

    /// Ends block `number`.
    pub(super) fn end(&mut self, number: u64, end: End) {
        let Some(slot) = self.slot(number).filter(|slot| slot.end.is_none()) else { return };
        slot.end = Some(end);
        let unread = std::mem::take(&mut slot.input);
        unread.into_iter().for_each(|piece| self.give_back(piece.buffer));
        self.open = self.open.saturating_sub(1);
        self.news += 1;
    }

    /// What comes next in the order of the file.
    pub(super) fn next(&mut self) -> Next {
        while let Some(head) = self.slots.front_mut() {
            if let Some(plain) = head.plain.pop_front() {
                self.news += 1;
                return Next::Plain(plain);
            }
            match head.end {
                None => return Next::Busy,
                Some(End::Cut) => return Next::Cut,
                Some(End::Failed(fault)) => return Next::Failed(fault),
                Some(End::Good) => {}
            }
            self.slots.pop_front();
            self.first = self.first.saturating_add(1);
            self.begun = self.begun.saturating_sub(1);
            self.news += 1;
        }
        Next::Drained
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot<T>> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at)
    }

    fn lend(&mut self) -> Box<[u8]> {
        self.used = self.used.saturating_add(1);
        self.spare.pop().unwrap_or_else(|| vec![0; PIECE].into_boxed_slice())
    }

    /// Blocks behind the head that have ended.
    #[cfg(test)]
    pub(super) fn ended_ahead(&self) -> usize {
        self.slots.iter().skip(1).filter(|slot| slot.end.is_some()).count()
    }

    /// The most buffers that were ever used at once.
    #[cfg(test)]
    pub(super) fn peak(&self) -> usize {
        self.spare.len() + self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(buffer: Box<[u8]>) -> Plain {
        Plain::Bytes(Piece { buffer, len: 1 })
    }

    /// The number of the next plain byte, the count of zeros, or nothing.
    fn next(queue: &mut Queue<u8>) -> Option<u64> {
        match queue.next() {
            Next::Plain(Plain::Zeros(len)) => Some(len),
            Next::Plain(Plain::Bytes(piece)) => {
                let first = u64::from(piece.buffer[0]);
                queue.give_back(piece.buffer);
                Some(first)
            }
            _ => None,
        }
    }

    #[test]
    fn plain_bytes_come_in_the_order_of_the_blocks() {
        let mut queue = Queue::new(16, 2);
        assert!(matches!(queue.next(), Next::Drained));
        for task in [1, 2, 3] {
            queue.push(task);
        }
        let numbers: Vec<_> = std::iter::from_fn(|| queue.task()).collect();
        assert_eq!(numbers, [(0, 1), (1, 2), (2, 3)]);
        for (number, task) in numbers.into_iter().rev() {
            let mut buffer = queue.output_buffer(number).unwrap();
            buffer[0] = task;
            queue.put(number, bytes(buffer));
            queue.put(number, Plain::Zeros(50));
            queue.put(number, Plain::Zeros(50));
            queue.end(number, End::Good);
        }
        let all: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
        assert_eq!(all, [1, 100, 2, 100, 3, 100]);
        assert!(matches!(queue.next(), Next::Drained));
        assert_eq!((queue.used, queue.peak()), (0, 3));
    }

    #[test]
    fn the_head_gets_on_when_the_others_have_all_that_they_may() {
        let mut queue = Queue::new(16, 2);
        queue.push(0);
        queue.push(1);
        while queue.task().is_some() {}
        while let Some(buffer) = queue.output_buffer(1) {
            queue.put(1, bytes(buffer));
        }
        assert_eq!(queue.used, 16 - RESERVE);
        assert!(queue.input_buffer().is_none());
        while let Some(buffer) = queue.output_buffer(0) {
            queue.put(0, bytes(buffer));
        }
        assert_eq!(queue.peak(), 16);
        assert!(next(&mut queue).is_some());
        assert!(queue.output_buffer(0).is_some());
    }

    #[test]
    fn input_leaves_buffers_for_output_unless_a_thread_stands_still() {
        let mut queue = Queue::new(16, 1);
        queue.push(0);
        while let Some(buffer) = queue.input_buffer() {
            queue.feed(Piece { buffer, len: 1 }, Fed::Partly);
        }
        assert_eq!(queue.used, 8);
        let (number, _) = queue.task().unwrap();
        let mut eaten = Vec::new();
        while let Some(Input::Piece { piece, sole: false }) = queue.input(number) {
            eaten.push(piece);
        }
        assert_eq!(eaten.len(), 8);
        let buffer = queue.input_buffer().unwrap();
        queue.feed(Piece { buffer, len: 1 }, Fed::Wholly);
        queue.end(number, End::Cut);
        eaten.into_iter().for_each(|piece| queue.give_back(piece.buffer));
        assert_eq!(queue.used, 0);
        assert!(matches!(queue.next(), Next::Cut));
    }
}
