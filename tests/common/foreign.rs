//! A second, independent reader of QCOW2: the crate qcow2-rs.
//!
//! It hangs on 512-byte clusters and knows neither zstd nor extended L2; the caller keeps these away.

use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use qcow2_rs::dev::Qcow2DevParams;
use qcow2_rs::helpers::Qcow2IoBuf;
use qcow2_rs::utils::qcow2_setup_dev_sync;
use sha2::{Digest, Sha256};

/// Far more than any image of the tests needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sha256 of the disk of `size` bytes in `image`; `None` when the reader fails, panics or hangs.
pub(crate) fn disk(image: &Path, size: u64) -> Option<String> {
    let (sender, receiver) = channel();
    let image = image.to_owned();
    // A reader that hangs keeps its thread; the test goes on without it.
    thread::spawn(move || sender.send(read(&image, size)));
    receiver.recv_timeout(PATIENCE).ok().flatten()
}

fn read(image: &Path, size: u64) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
    runtime.block_on(async {
        let params = Qcow2DevParams::new(9, None, None, true, false);
        let device = qcow2_setup_dev_sync(image, &params).ok()?;
        device.qcow2_prep_io().await.ok()?;
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < size {
            let count = usize::try_from((size - at).min(1 << 20)).ok()?;
            let mut buffer = Qcow2IoBuf::<u8>::new(count);
            device.read_at(&mut buffer, at).await.ok()?;
            hash.update(&buffer[..]);
            at += count as u64;
        }
        Some(super::digest::hex(hash.finalize().as_slice()))
    })
}
