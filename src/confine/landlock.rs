//! Places and rights in the kernel's terms, as far as the kernel has them.
//!
//! Refuses to know: whose needs they are.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::needs::{Needs, Place, Right};

/// The newest that is known here; what an older kernel lacks stays allowed.
const KNOWN: ABI = ABI::V6;

/// Devices are asked for their size.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir | IoctlDev});

const TELL: BitFlags<AccessFs> = make_bitflags!(AccessFs::{WriteFile | Truncate});

const NODE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | IoctlDev});

const FILES: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | Truncate | MakeReg | RemoveFile});

const TREE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | RemoveFile | MakeDir | RemoveDir | MakeSym | MakeFifo
    | Refer
});

/// Forbids the calling thread, and those that it starts, all but `needs`; how far that went.
///
/// # Errors
/// What the kernel has against it.
pub(super) fn restrict(needs: &Needs) -> Result<&'static str, RulesetError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(KNOWN))?;
    if !needs.connects {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    if !needs.listens {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    let mut rules = rules.scope(Scope::from_all(KNOWN))?.create()?;
    for (path, access) in needs.places.iter().flat_map(rules_of) {
        allow(&mut rules, &path, access);
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => "wholly",
        RulesetStatus::PartiallyEnforced => "as far as this kernel can",
        RulesetStatus::NotEnforced => "not at all, as this kernel has no Landlock",
    })
}

/// Allows `access` at `path`. What is not there needs no rule, and pipes know none.
fn allow(rules: &mut RulesetCreated, path: &Path, access: BitFlags<AccessFs>) {
    let Ok(place) = PathFd::new(path) else { return };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    if let Err(error) = rules.add_rule(PathBeneath::new(place, access)) {
        tracing::debug!("{}: {error}", path.display());
    }
}

/// What `place` comes to where it lies.
fn rules_of(place: &Place) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let path = &place.path;
    match place.right {
        Right::Read => vec![(path.clone(), READ)],
        Right::Links => with_links(path).into_iter().map(|path| (path, READ)).collect(),
        Right::Renewed => vec![(path.clone(), READ), (renewed_in(path), READ)],
        Right::Tell => vec![(path.clone(), TELL)],
        Right::Files => vec![(path.clone(), FILES)],
        // One that is not there yet is made.
        Right::Tree if path.exists() => vec![(path.clone(), TREE)],
        Right::Tree => vec![(parent(path), TREE)],
        Right::Target => vec![target(path)],
    }
}

/// `path`, and what links in it lead to.
fn with_links(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    std::iter::once(path.to_owned()).chain(links.map(|link| link.path())).collect()
}

/// Where a file that takes the place of `path` appears; a directory with other things too does not count.
fn renewed_in(path: &Path) -> PathBuf {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match real.parent() {
        Some(dir) if Some(dir) != path.parent() => dir.to_owned(),
        _ => real,
    }
}

/// Where a disk for `path` is written.
fn target(path: &Path) -> (PathBuf, BitFlags<AccessFs>) {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => (path.to_owned(), TREE),
        Ok(found) if found.file_type().is_block_device() || found.file_type().is_char_device() => {
            (path.to_owned(), NODE)
        }
        // The file is made, and something beside it.
        Ok(_) => (path.canonicalize().map_or_else(|_| parent(path), |real| parent(&real)), FILES),
        Err(_) => (parent(path), FILES),
    }
}

/// The directory that `path` lies in.
fn parent(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests;
