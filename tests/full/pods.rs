//! What the user of a pod reads whose volume fails: the words that CDI's controller looks for.

use crate::common::apart::apart;
use crate::common::fuse::{Fault, Fuse, Op};
use crate::common::pod::Pod;
use crate::common::server::{Ranges, Server};

use super::Images;

const TOLD: &str = "Unable to process data: Unable to transfer source data to target file: ";

/// A pod as CDI's controller makes one.
fn pod(images: &Images, url: &str, data: &std::path::Path) -> Pod {
    Pod::new(images.dir())
        .env("IMPORTER_SOURCE", "http")
        .env("IMPORTER_ENDPOINT", url)
        .env("IMPORTER_CONTENTTYPE", "kubevirt")
        .env("IMPORTER_IMAGE_SIZE", "32Mi")
        .env("OWNER_UID", "2f1c-uid")
        .env("FILESYSTEM_OVERHEAD", "0.06")
        .env("INSECURE_TLS", "false")
        .env("PREALLOCATION", "false")
        .volume("/data", data)
}

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
                let ended = pod(&images, &server.url(name), &data).run();
                ended.expect(1).tells(TOLD).tells(words);
                assert!(fuse.failed() && fuse.names().is_empty(), "{op:?} {error}: {:?}", fuse.names());
            }
        }
        fuse.set(Fault::None);
        pod(&images, &server.url("disk.qcow2"), &data).run().expect(0);
        assert!(fuse.bytes("disk.img").unwrap().starts_with(&images.bytes));
    });
}
