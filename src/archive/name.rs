//! Names in an archive: what they may be, taken apart.
//!
//! Refuses to know: what lies in the target directory.

use super::{DEPTH_LIMIT, NAME_LIMIT, PART_LIMIT};

/// Where a member goes: the parts of its name, none of which is empty, `.` or `..`.
pub(super) type Parts<'a> = Vec<&'a [u8]>;

/// The parts of `name`, relative to the target directory; none for the directory itself.
pub(super) fn parts(name: &[u8]) -> Result<Parts<'_>, &'static str> {
    if name.is_empty() {
        return Err("its name is empty");
    }
    if name.starts_with(b"/") {
        return Err("its name is absolute; an archive must stay in its directory");
    }
    let parts = steps(name)?;
    if parts.contains(&b"..".as_slice()) {
        return Err("its name leads upwards by `..`; an archive must stay in its directory");
    }
    Ok(parts)
}

/// Checks that a symbolic link made in a directory of `depth` parts stays inside.
///
/// All `..` must stand in front: behind another link they would lead elsewhere than they seem to.
pub(super) fn check_target(target: &[u8], depth: usize) -> Result<(), &'static str> {
    if target.is_empty() {
        return Err("it leads nowhere");
    }
    if target.starts_with(b"/") {
        return Err("an absolute link leaves the directory");
    }
    let steps = steps(target)?;
    let upwards = steps.iter().take_while(|step| **step == b"..").count();
    if upwards > depth {
        return Err("it leaves the directory");
    }
    if steps.iter().skip(upwards).any(|step| *step == b"..") {
        return Err("`..` behind a name may lead out of the directory");
    }
    Ok(())
}

/// Checks that `target` can be that of a symbolic link which nobody follows, wherever it leads.
pub(super) fn check_opaque(target: &[u8]) -> Result<(), &'static str> {
    match target {
        [] => Err("it leads nowhere"),
        _ if target.contains(&0) => Err("the name holds a zero byte"),
        // The system takes no longer one.
        _ if target.len() >= NAME_LIMIT => Err("the name is longer than 4095 bytes"),
        _ => Ok(()),
    }
}

/// What stands between the slashes of `path`, without what means nothing.
fn steps(path: &[u8]) -> Result<Parts<'_>, &'static str> {
    if path.len() > NAME_LIMIT {
        return Err("the name is longer than 4096 bytes");
    }
    if path.contains(&0) {
        return Err("the name holds a zero byte");
    }
    let steps: Parts<'_> =
        path.split(|byte| *byte == b'/').filter(|step| !step.is_empty() && *step != b".").collect();
    if steps.len() > DEPTH_LIMIT {
        return Err("it lies deeper than 256 directories");
    }
    if steps.iter().any(|step| step.len() > PART_LIMIT) {
        return Err("a part of the name is longer than 255 bytes");
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        for bad in [&b"/a"[..], b"//a", b"..", b"../a", b"a/../../b", b"a/..", b"", b"a\0b"] {
            assert!(parts(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert_eq!(parts(b"./a//b/./c/").unwrap(), [b"a", b"b", b"c"]);
        assert_eq!(parts(b"..a/...").unwrap(), [&b"..a"[..], b"..."]);
        assert!(parts(b"./").unwrap().is_empty());
    }

    #[test]
    fn names_end_at_their_limits() {
        assert!(parts(&[b'x'; 255]).is_ok());
        assert!(parts(&[b'x'; 256]).is_err());
        assert_eq!(parts(&b"x/".repeat(257)).unwrap().len(), 257);
        assert!(parts(&b"x/".repeat(258)).is_err());
        assert!(parts(&b"/x".repeat(40)[1..]).is_ok());
        let long = [&[b'x'; 255][..], b"/"].concat().repeat(16);
        assert!(parts(&long).is_ok());
        assert!(parts(&[&long[..], b"y"].concat()).is_err());
    }

    #[test]
    fn a_link_that_nobody_follows_may_lead_anywhere() {
        for target in [&b"/etc/passwd"[..], b"../../..", b"a/../../b", &[b'x'; 4095]] {
            assert!(check_opaque(target).is_ok(), "{}", target.escape_ascii());
        }
        for target in [&b""[..], b"a\0b", &[b'x'; 4096]] {
            assert!(check_opaque(target).is_err(), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn links_may_go_up_to_the_directory_and_no_further() {
        for (target, depth) in [(&b"a"[..], 0), (b"./a/b", 0), (b"..", 1), (b"../../a", 2), (b".", 0)] {
            assert!(check_target(target, depth).is_ok(), "{}", target.escape_ascii());
        }
        let bad = [(&b"/"[..], 9), (b"..", 0), (b"../../a", 1), (b"a/../b", 9), (b"../a/..", 9), (b"", 1)];
        for (target, depth) in bad {
            assert!(check_target(target, depth).is_err(), "{}", target.escape_ascii());
        }
    }
}
