//! What the user of a pod reads whose volume fails: the words that CDI's controller looks for.

use crate::common::apart::apart;
use crate::common::fuse::{Fault, Fuse, Op};
use crate::common::server::{Ranges, Server};
use crate::pod::importer;

use super::Images;

const TOLD: &str = "Unable to process data: Unable to transfer source data to target file: ";

#[test]
fn a_volume_that_fails_is_told_in_the_words_of_the_controller() {
    let images = Images::new();
    apart(|| {
        // Both within: the network of the test is its own.
        let server = Server::start(images.dir(), Ranges::Served);
        let Some(fuse) = Fuse::new(&images.dir().join("fuse"), "disk.img") else { return };
        let data = fuse.path("");
        for (op, error, words) in [
            (Op::Write, libc::ENOSPC, "no space left on device"),
            (Op::Write, libc::EDQUOT, "disk quota exceeded"),
            (Op::Fsync, libc::ENOSPC, "no space left on device"),
            (Op::Fsync, libc::EIO, "unable to flush /data/disk.img: Input/output error"),
            (Op::Flush, libc::EDQUOT, "disk quota exceeded"),
            (Op::Write, libc::EIO, "Input/output error"),
        ] {
            for name in ["disk.qcow2", "disk.raw.gz"] {
                fuse.set(Fault::Nth(op, 1, error));
                let ended = importer(images.dir(), "http", &server.url(name)).volume("/data", &data).run();
                ended.expect(1).tells(TOLD).tells(words);
                assert!(fuse.failed() && fuse.names().is_empty(), "{op:?} {error}: {:?}", fuse.names());
            }
        }
        fuse.set(Fault::None);
        importer(images.dir(), "http", &server.url("disk.qcow2")).volume("/data", &data).run().expect(0);
        assert!(fuse.bytes("disk.img").unwrap().starts_with(&images.bytes));
    });
}
