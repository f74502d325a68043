//! Where the data of a sparse file lie.
//!
//! Refuses to know: how an archive says it.

use super::EXTENTS_LIMIT;

/// A run of data in a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(super) at: u64,
    pub(super) len: u64,
}

impl Extent {
    fn end(self) -> Option<u64> {
        self.at.checked_add(self.len)
    }
}

/// Checks that `extents` lie in order in a file of `size` bytes and that `stored` bytes fill them.
pub(super) fn check(extents: &[Extent], size: u64, stored: u64) -> Result<(), &'static str> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for extent in extents {
        if extent.at < end {
            return Err("the pieces of a sparse file overlap or are out of order");
        }
        end = extent.end().ok_or("a piece of a sparse file lies beyond any file")?;
        sum = sum.saturating_add(extent.len);
    }
    if end > size {
        return Err("a piece of a sparse file lies beyond its end");
    }
    if sum != stored {
        return Err("the pieces of a sparse file are not as long as its data");
    }
    Ok(())
}

/// Takes `extent` into `extents`, as long as there are not too many.
pub(super) fn push(extents: &mut Vec<Extent>, extent: Extent) -> Result<(), super::ArchiveError> {
    if extents.len() >= EXTENTS_LIMIT {
        let cap = u64::try_from(EXTENTS_LIMIT).unwrap_or(u64::MAX);
        return Err(super::ArchiveError::OverLimit {
            what: "a sparse file of more pieces than we take",
            cap,
        });
    }
    extents.push(extent);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(list: &[(u64, u64)]) -> Vec<Extent> {
        list.iter().map(|(at, len)| Extent { at: *at, len: *len }).collect()
    }

    #[test]
    fn pieces_lie_in_order_within_the_file_and_hold_all_data() {
        assert!(check(&extents(&[(0, 512), (4096, 10), (9000, 0)]), 9000, 522).is_ok());
        assert!(check(&[], 9000, 0).is_ok());
        for (list, size, stored) in [
            (&[(0, 512), (511, 1)][..], 9000, 513),
            (&[(4096, 1), (0, 1)], 9000, 2),
            (&[(9000, 1)], 9000, 1),
            (&[(0, 512)], 9000, 513),
            (&[(u64::MAX, 2)], u64::MAX, 2),
        ] {
            assert!(check(&extents(list), size, stored).is_err(), "{list:?}");
        }
    }
}
