//! A file system that fails at a chosen write, flush or close; a target that gives back other bytes.

use super::{Images, says_once};
use crate::common::fuse::{Fault, Fuse, Op};
use crate::common::run;
use crate::common::tally::Tally;

const NAME: &str = "disk.img";

/// Each error of a target, the exit code and the words.
const ERRORS: [(i32, i32, &str); 4] = [
    (libc::ENOSPC, 7, "no space left on device"),
    (libc::EDQUOT, 7, "disk quota exceeded"),
    (libc::EFBIG, 7, "file too large"),
    (libc::EIO, 1, "input/output error"),
];

/// How often a request of each kind may be made in an import, and what the error is called then.
const OPS: [(Op, usize, &str); 5] = [
    (Op::Create, 9, "unable to create"),
    (Op::SetAttr, 9, "unable to set the size of"),
    (Op::Write, 90, "unable to write"),
    (Op::Fsync, 9, "unable to flush"),
    // Once for each of the two descriptors; what is closed later has nothing to tell any more.
    (Op::Flush, 2, "unable to close"),
];

#[test]
fn whatever_fails_at_a_file_is_told_and_the_file_is_gone() {
    let images = Images::new();
    let Some(fuse) = Fuse::new(&images.dir().join("fuse"), NAME) else { return };
    let target = fuse.path(NAME);
    let mut tally = Tally::of("a file system that fails");
    for (route, source) in images.sources() {
        for ((op, most, action), (error, code, words)) in
            OPS.into_iter().flat_map(|op| ERRORS.map(|e| (op, e)))
        {
            // Writes are many, and one at either end and in the middle is as good as all.
            let numbers: Vec<usize> = if op == Op::Write { vec![1, 2, 20, 40] } else { (1..=most).collect() };
            // Only the error that is told in other words is tried at every place.
            let numbers = if error == libc::EIO { numbers } else { numbers[..1].to_vec() };
            for nth in numbers {
                fuse.set(Fault::Nth(op, nth, error));
                let outcome = run::import(&source, &target).run();
                if !fuse.failed() {
                    outcome.expect(0);
                    assert_eq!(fuse.bytes(NAME).as_ref(), Some(&images.bytes));
                    std::fs::remove_file(&target).unwrap();
                    break;
                }
                tally.case(format!("{route} of {source}: {op:?} {nth} {words}"), || {
                    outcome.expect(code);
                    says_once(&outcome, words);
                    if error == libc::EIO {
                        outcome.says(action);
                    }
                    assert_eq!(fuse.names(), [""; 0], "left");
                });
                std::fs::remove_file(&target).ok();
            }
        }
    }
    tally.finish();
}

#[test]
fn a_target_that_gives_back_other_bytes_is_found_out_by_verify() {
    let images = Images::new();
    let Some(fuse) = Fuse::new(&images.dir().join("fuse"), NAME) else { return };
    let target = fuse.path(NAME);
    for (_, source) in images.sources() {
        // In the first MiB, in a later one, in a hole, and in the end that is no whole block.
        for at in [0, 5 << 20, (2 << 20) + 77, images.bytes.len() - 1] {
            fuse.set(Fault::Rot(at));
            let outcome = run::import(&source, &target).arg("--verify").run();
            let mib = format!("differs from what was written in the MiB at byte {}", at >> 20 << 20);
            outcome.expect(5).says(&mib);
            assert_eq!(fuse.names(), [""; 0], "left");
        }
    }
    // Who does not ask is not told; and an honest target passes.
    fuse.set(Fault::Rot(5 << 20));
    run::import(&images.raw, &target).run().expect(0);
    fuse.set(Fault::None);
    run::import(&images.raw, &target).args(["--verify", "--force"]).run().expect(0);
}
