//! A tar archive unpacked into a directory, by a policy of our own.
//!
//! Nothing leaves the directory: names that are absolute or lead upwards, links that lead out,
//! devices, pipes and sockets fail the run instead of being passed over. Owners and extended
//! attributes are ignored, of modes the bits above 0777. What this run made is removed again unless
//! it ends well, and nothing else is. The clone of a file system is unpacked as it was: [`Policy`].
//!
//! `walk` alone reads an archive member by member, for whoever wants no files of it: layers of
//! container images are archives too. The headers are read by hand: with the crate `tar`, raw
//! entries know nothing of sizes in PAX headers, and cooked ones pass over damage in them.
//!
//! Refuses to know: codecs, where the archive comes from, what its files mean.

mod beneath;
mod ending;
mod error;
mod extract;
mod file;
mod header;
mod ledger;
mod maps;
mod name;
mod pax;
mod place;
mod single;
mod sparse;
mod tree;
mod walk;

use std::path::PathBuf;

pub use error::ArchiveError;
pub use extract::Unpacked;
pub use header::is_header;
pub use place::{Place, open};
pub use single::single;
pub(crate) use walk::{Member, MemberKind, Walk};

use crate::format::preallocation::Preallocation;
use crate::sink::Existing;

/// The most members that an archive may have, and directories on the way to them.
pub const ENTRIES_LIMIT: usize = 1 << 20;

/// The longest name in bytes.
const NAME_LIMIT: usize = 4096;

/// The longest part of a name in bytes, as on every usual file system.
const PART_LIMIT: usize = 255;

/// The most parts of a name: a file in 256 directories, which is as deep as a clone source looks.
const DEPTH_LIMIT: usize = 257;

/// All names in bytes, each directory's counted once: what is remembered to be removed again.
const NAMES_LIMIT: usize = 64 << 20;

/// The largest PAX header in bytes.
const PAX_LIMIT: u64 = 1 << 20;

/// The largest header for a long name, as GNU tar writes it, in bytes.
const LONG_LIMIT: u64 = 64 << 10;

/// The most pieces of a sparse file; 16 bytes each are held in memory.
const EXTENTS_LIMIT: usize = 1 << 20;

/// A target as the user means it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The directory, which need not be there but whose parent must be.
    pub dir: PathBuf,
    /// What becomes of a directory that is not empty.
    pub existing: Existing,
    /// The most bytes that the files may have together, holes included.
    pub max_size: Option<u64>,
    /// Whether the files' space is claimed, their holes included.
    pub preallocation: Preallocation,
    /// Whose archive it is.
    pub policy: Policy,
}

/// How much of what an archive says is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Anybody's archive: links stay inside, modes are at most 0777, there are no pipes.
    #[default]
    Foreign,
    /// The copy of a file system, from who may copy it: links lead wherever they led, for nothing here
    /// ever follows one; modes keep all their bits; pipes are made. Devices are not.
    Faithful,
}

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Members of the archive: files, directories and links.
    pub entries: u64,
    /// The sizes of its files together, in bytes.
    pub size: u64,
    /// What the user should know.
    pub warnings: Vec<String>,
}
