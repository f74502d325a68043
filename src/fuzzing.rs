//! The way in for the fuzz targets of `tests/fuzz`: thin functions over what is private otherwise.
//!
//! Refuses to know: what is right. The targets judge what comes back.

use std::io::Cursor;

use crate::archive::{MemberKind, Walk};
use crate::config::{CompressionChoice, FormatChoice};
use crate::error::Error;
use crate::format::codec::Codec;
use crate::format::magic::Layout;
use crate::import::head::{self, Choices};
use crate::import::tap::Tap;
use crate::io::{Input, Sequential};

pub use crate::source::fuzzing_http::{Answer, content_range, http_date, part_end};
pub use crate::source::fuzzing_registry::{challenges, configuration, manifest, reference};

/// The layout of the image in `bytes`, and the codecs that came off, the outermost first.
///
/// # Errors
/// Whatever its head says against it.
pub fn open_head(bytes: Vec<u8>) -> Result<(Layout, Vec<Codec>), Error> {
    let choices =
        Choices { format: FormatChoice::Auto, compression: CompressionChoice::Auto, workers: 1, least: 0 };
    let head = head::open(Input::Sequential(stream(bytes)), choices, &Tap::new(None))?;
    Ok((head.layout, head.codecs))
}

/// A member of an archive: its name, and for a file its size and how much of it is stored.
pub type Listed = (Vec<u8>, Option<(u64, u64)>);

/// The members of the archive in `bytes`, and the bytes behind its end mark that are not zero.
///
/// Content is read in pieces of `piece` bytes, or passed over where that is 0.
///
/// # Errors
/// Whatever is wrong with the archive.
pub fn list_archive(bytes: Vec<u8>, piece: usize) -> Result<(Vec<Listed>, u64), Error> {
    let mut walk = Walk::new(stream(bytes));
    let (mut members, mut buf) = (Vec::new(), vec![0; piece]);
    while let Some(member) = walk.next()? {
        let mut stored = 0_u64;
        while !buf.is_empty() {
            let count = walk.read_some(&mut buf)?;
            if count == 0 {
                break;
            }
            stored = stored.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        let file = match member.kind {
            MemberKind::File { size, .. } => Some((size, stored)),
            _ => None,
        };
        members.push((member.name, file));
    }
    let odd = walk.drain(|| Ok(()))?;
    Ok((members, odd))
}

fn stream(bytes: Vec<u8>) -> Sequential {
    let len = u64::try_from(bytes.len()).ok();
    Sequential::new(Cursor::new(bytes), len)
}
