//! Makes the image of a layout and a shape by `qemu-img` and `qemu-io`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::shapes::{Entries, Layout, Shape};
use crate::common::{noise, qemu};

/// The bench at which images are made: a directory with the data that goes into them.
pub(crate) struct Bench<'a> {
    dir: &'a Path,
    blend: PathBuf,
}

/// Disks have this many units, of a cluster at least.
const UNITS: u64 = 16;

fn unit(shape: Shape) -> u64 {
    shape.cluster.max(512 << 10)
}

impl<'a> Bench<'a> {
    pub(crate) fn at(dir: &'a Path) -> Self {
        let blend = dir.join("blend");
        fs::write(&blend, blended(1 << 20, 7)).unwrap();
        Self { dir, blend }
    }

    /// Makes the image; the caller removes it.
    pub(crate) fn make(&self, layout: Layout, shape: Shape) -> PathBuf {
        let image = self.dir.join("image.qcow2");
        let size = unit(shape) * UNITS;
        match layout {
            Layout::Convert => self.convert("", shape, &self.disk(shape, size)),
            Layout::ConvertParallel => self.convert("-W -m 8", shape, &self.disk(shape, size)),
            // 512 bytes past every cluster size above 512.
            Layout::Unaligned => self.convert("", shape, &self.disk(shape, size + 512)),
            Layout::Brimful => self.convert("", shape, &self.brimful(unit(shape) * 4)),
            Layout::Zero => self.zero(&image, shape),
            Layout::Empty => create(&image, &shape.options(), size),
            Layout::Metadata => self.preallocated(&image, shape, "metadata"),
            Layout::Falloc => self.preallocated(&image, shape, "falloc"),
            Layout::Full => self.preallocated(&image, shape, "full"),
            Layout::Resized => self.resized(&image, shape),
            Layout::Snapshot => self.snapshot(&image, shape),
            Layout::Reuse => self.reuse(&image, shape),
        }
        image
    }

    fn convert(&self, options: &str, shape: Shape, raw: &Path) {
        let packed = if shape.packed() { "-c" } else { "" };
        let line = format!("convert {options} {packed} -f raw -O qcow2 -o {}", shape.options());
        qemu::img(&line, &[raw, &self.dir.join("image.qcow2")]);
    }

    /// A sparse disk with noise, text-like data, written zeros and holes.
    fn disk(&self, shape: Shape, size: u64) -> PathBuf {
        let path = self.dir.join("disk.raw");
        let file = File::create(&path).unwrap();
        file.set_len(size).unwrap();
        let unit = unit(shape);
        let len = usize::try_from(unit / 2).unwrap();
        file.write_all_at(&noise(len, 1), 0).unwrap();
        file.write_all_at(&blended(len * 2, 2), unit * 2 + 4096).unwrap();
        file.write_all_at(&blended(len, 3), unit * 7 + 777).unwrap();
        file.write_all_at(&vec![0; len], unit * 9).unwrap();
        file.write_all_at(&noise(len, 4), unit * 12 + 512).unwrap();
        file.write_all_at(&noise(700, 5), size - 700).unwrap();
        path
    }

    fn brimful(&self, size: u64) -> PathBuf {
        let path = self.dir.join("disk.raw");
        let half = usize::try_from(size / 2).unwrap();
        let mut bytes = noise(half, 6);
        bytes.extend(blended(half, 8));
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Zeros as data, as explicit zero clusters, and as nothing.
    fn zero(&self, image: &Path, shape: Shape) {
        let raw = self.dir.join("disk.raw");
        let unit = unit(shape);
        File::create(&raw).unwrap().set_len(unit * 4).unwrap();
        // `-S 0` allocates what is zero.
        self.convert("-S 0", shape, &raw);
        qemu::img_last("resize", image, &(unit * UNITS).to_string());
        let commands = [(5, "write -z"), (6, "write -P 0"), (7, "write -z -u")];
        let commands = commands.map(|(index, verb)| format!("{verb} {} {unit}", unit * index));
        qemu::io(image, commands);
        qemu::io(image, [format!("write -z 0 {}", unit / 2), format!("discard {unit} {unit}")]);
    }

    /// A disk converted into a preallocated image. Packed clusters cannot lie in one: there half the
    /// disk is preallocated, and the rest grown and compressed.
    fn preallocated(&self, image: &Path, shape: Shape, how: &str) {
        let (unit, options) = (unit(shape), shape.options());
        if !shape.packed() {
            let line = format!("convert -f raw -O qcow2 -o {options},preallocation={how}");
            let disk = self.disk(shape, unit * UNITS);
            return qemu::img(&line, &[&disk, image]);
        }
        create(image, &format!("{options},preallocation={how}"), unit * UNITS / 2);
        let ragged = self.write(false, unit * 3 + 1000, unit + 5000);
        qemu::io(image, [self.write(false, 0, unit), ragged]);
        qemu::img_last("resize", image, &(unit * UNITS).to_string());
        qemu::io(image, [self.write(true, unit * 9, unit * 2), self.write(true, unit * 14, unit)]);
    }

    /// The L1 table of a disk that grew past it lies at the end of what was written before.
    fn resized(&self, image: &Path, shape: Shape) {
        let unit = unit(shape);
        let width = if shape.entries == Entries::Extended { 16 } else { 8 };
        let reach = shape.cluster / width * shape.cluster;
        // 2 MiB clusters: one L1 entry reaches far, and the disk with it.
        let size = (unit * UNITS).next_multiple_of(reach) + unit * 4;
        create(image, &shape.options(), unit * UNITS);
        qemu::io(image, self.scatter(shape));
        qemu::img_last("resize", image, &size.to_string());
        let end = self.write(shape.packed(), size - unit * 2, unit);
        qemu::io(
            image,
            [end, self.write(false, unit * 5 + 1536, unit / 2), self.write(false, size - 900, 900)],
        );
    }

    /// What a snapshot shares is copied when it is written again: tables and data move to the end.
    fn snapshot(&self, image: &Path, shape: Shape) {
        let unit = unit(shape);
        create(image, &shape.options(), unit * UNITS);
        qemu::io(image, self.scatter(shape));
        qemu::img_last("snapshot -c before", image, "");
        let later = [self.write(false, unit + 512, unit), self.write(false, unit * 8, unit / 2)];
        qemu::io(image, later);
        qemu::img_last("snapshot -c between", image, "");
        qemu::io(image, [self.write(false, unit * 4, unit), self.write(shape.packed(), unit * 13, unit)]);
        qemu::img_last("snapshot -d before", image, "");
        qemu::io(image, [self.write(false, unit * 10 + 300, 7000)]);
    }

    /// Discarded host clusters are taken again for other guest clusters.
    fn reuse(&self, image: &Path, shape: Shape) {
        let unit = unit(shape);
        create(image, &shape.options(), unit * UNITS);
        qemu::io(image, self.scatter(shape));
        qemu::io(image, [format!("discard {unit} {unit}"), format!("discard {} {unit}", unit * 4)]);
        qemu::io(image, [self.write(shape.packed(), unit * 12, unit), self.write(false, unit * 6, unit / 2)]);
        qemu::io(image, [format!("discard 0 {unit}"), format!("write -z {} {unit}", unit * 12)]);
        qemu::io(image, [self.write(false, unit * 15 + 100, unit / 2), self.write(false, unit * 4, 3000)]);
    }

    /// Data out of order over the first half of the disk.
    fn scatter(&self, shape: Shape) -> [String; 4] {
        let (unit, packed) = (unit(shape), shape.packed());
        [
            self.write(packed, unit * 4, unit),
            self.write(packed, 0, unit * 2),
            self.write(false, unit * 7 + 2560, unit / 4),
            self.write(packed, unit * 3, unit),
        ]
    }

    fn write(&self, packed: bool, at: u64, len: u64) -> String {
        let packed = if packed { "-c " } else { "" };
        format!("write {packed}-s {} {at} {len}", self.blend.display())
    }
}

fn create(image: &Path, options: &str, size: u64) {
    fs::remove_file(image).ok();
    qemu::img(&format!("create -q -f qcow2 -o {options}"), &[image, Path::new(&size.to_string())]);
}

/// Noise that shrinks to about half, and somewhere to nothing.
fn blended(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = noise(len, seed);
    for (at, byte) in bytes.iter_mut().enumerate() {
        match at >> 14 & 3 {
            0 => {}
            1 => *byte &= 0x0f,
            2 => *byte = b"the same words again "[at % 21],
            _ => *byte = if at & 4096 == 0 { 0x77 } else { *byte & 0x33 },
        }
    }
    bytes
}
