//! What the tables of a QCOW2 image say of the whole disk: sums, and a picture.

use std::fmt::Write;

use serde::Serialize;

use crate::error::Error;
use crate::format::extent::{Extent, Place};
use crate::format::size::human;
use crate::image::{Image, Qcow2};
use crate::progress::Stop;

/// Characters of the picture.
const COLUMNS: u64 = 64;

/// Sums over the whole disk.
#[derive(Debug, Default, Serialize)]
pub struct Survey {
    /// Bytes of the disk that the image stores as they are.
    pub data_bytes: u64,
    /// Bytes of the disk that the image stores compressed.
    pub compressed_bytes: u64,
    /// Bytes of the disk that read as zeros without being stored.
    pub zero_bytes: u64,
    /// Bytes of the image file that come before the table that maps them: what a reader of a
    /// stream must hold.
    pub late_bytes: u64,
    /// How much of each 64th of the disk is stored, in percent.
    pub map: Vec<u8>,
}

impl Survey {
    /// Reads every table of `image`.
    ///
    /// # Errors
    /// Whatever the tables show or reading them fails with.
    pub(super) fn of(image: &Qcow2, stop: &Stop) -> Result<Self, Error> {
        let mut survey = Self::default();
        let column = image.virtual_size().div_ceil(COLUMNS).max(1);
        let mut stored = vec![0; usize::try_from(COLUMNS).unwrap_or(0)];
        let l1_end = image.header().l1_offset.plus(image.header().l1_len()).0;
        for part in 0..image.parts() {
            stop.check()?;
            let cluster = image.header().geometry.cluster_size();
            let known_from = image.table(part).map_or(l1_end, |table| table.plus(cluster).0.max(l1_end));
            for extent in image.extents(part)? {
                survey.count(&extent, known_from);
                if extent.place != Place::Zero {
                    spread(&extent, column, &mut stored);
                }
            }
        }
        let percent = |bytes: &u64| u8::try_from(bytes.saturating_mul(100) / column).unwrap_or(100).min(100);
        survey.map = stored.iter().map(percent).collect();
        Ok(survey)
    }

    fn count(&mut self, extent: &Extent, known_from: u64) {
        let (sum, late) = match extent.place {
            Place::Zero => (&mut self.zero_bytes, 0),
            Place::Data(host) => (&mut self.data_bytes, known_from.saturating_sub(host.0).min(extent.len)),
            Place::Compressed { host, bound } => {
                (&mut self.compressed_bytes, if host.0 < known_from { bound } else { 0 })
            }
        };
        *sum = sum.saturating_add(extent.len);
        self.late_bytes = self.late_bytes.saturating_add(late);
    }

    /// The sums, and the disk from its first byte on the left to its last on the right.
    pub(super) fn to_text(&self) -> String {
        let shade = |percent: &u8| match percent {
            0 => '·',
            1..=25 => '░',
            26..=50 => '▒',
            51..=75 => '▓',
            _ => '█',
        };
        let mut text = String::new();
        let stored =
            [(self.data_bytes, "plain"), (self.compressed_bytes, "compressed"), (self.zero_bytes, "zeros")];
        let sums: Vec<String> = stored
            .iter()
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, what)| format!("{} {what}", human(*bytes)))
            .collect();
        let _ = writeln!(text, "{:<14} {}", "of the disk", sums.join(", "));
        let _ = writeln!(
            text,
            "{:<14} {} before the table that maps them",
            "in a stream",
            human(self.late_bytes)
        );
        let picture: String = self.map.iter().map(shade).collect();
        let _ = writeln!(text, "{:<14} {picture}", "picture");
        text
    }
}

/// Adds the stored bytes of `extent` to the columns of the picture that it covers.
fn spread(extent: &Extent, column: u64, stored: &mut [u64]) {
    let mut at = extent.guest.0;
    let end = extent.end().0;
    while at < end {
        let index = at / column;
        let until = index.saturating_add(1).saturating_mul(column).min(end);
        if let Some(sum) = usize::try_from(index).ok().and_then(|index| stored.get_mut(index)) {
            *sum = sum.saturating_add(until.saturating_sub(at));
        }
        at = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::addr::GuestOffset;
    use crate::format::extent::Sharing;

    #[test]
    fn a_stretch_is_spread_over_the_columns_that_it_covers() {
        let extent =
            Extent { guest: GuestOffset(50), len: 200, place: Place::Zero, sharing: Sharing::Exclusive };
        let mut stored = [0; 4];
        spread(&extent, 100, &mut stored);
        assert_eq!(stored, [50, 100, 50, 0]);
    }
}
