//! One disk in every form that the matrix knows.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use diskpour::format::codec::Codec;
use diskpour::format::magic::Layout;

use crate::common::{digest, noise, qemu, workshop};

/// The disk has no zeros, so that every byte of it counts where it is staged.
const SIZE: usize = (2 << 20) + 1024;

/// One form of the disk.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    pub(crate) format: &'static str,
    pub(crate) compression: &'static str,
    /// The sha256 of the disk that it holds.
    pub(crate) disk: String,
    /// The bytes that scratch takes when the decoded image is staged there; zeros stay holes.
    pub(crate) staged: RangeInclusive<u64>,
}

impl Image {
    /// The name of the file.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }
}

/// Every form, in a directory of their own.
pub(crate) struct Images {
    workshop: tempfile::TempDir,
    all: Vec<Image>,
}

impl Images {
    pub(crate) fn new() -> Self {
        let workshop = workshop();
        let (raw, qcow2) = (workshop.path().join("disk.raw"), workshop.path().join("disk.qcow2"));
        let bytes = noise(SIZE, 3);
        fs::write(&raw, &bytes).unwrap();
        qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
        let (disk, data) = (digest::bytes(&bytes), bytes.len() as u64);
        let mut all = Vec::new();
        for layout in Layout::ALL {
            let (plain, staged) = match layout {
                Layout::Raw => (&raw, data..=data),
                // The disk's data, and of the header and the tables what is not zero.
                Layout::Qcow2 => (&qcow2, data + 1..=fs::metadata(&qcow2).unwrap().len()),
            };
            let codecs = Codec::ALL.into_iter().map(|codec| codec.name());
            for compression in ["none"].into_iter().chain(codecs) {
                let path = qemu::pack(plain, compression);
                let (disk, staged) = (disk.clone(), staged.clone());
                all.push(Image { path, format: layout.name(), compression, disk, staged });
            }
        }
        Self { workshop, all }
    }

    pub(crate) fn all(&self) -> &[Image] {
        &self.all
    }

    /// The directory that holds them all.
    pub(crate) fn dir(&self) -> &Path {
        self.workshop.path()
    }
}
