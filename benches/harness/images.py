"""The images that are poured: one ext4 disk with files of this machine's /usr, in every wrapping."""

import dataclasses
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import zlib

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Scale:
    """How big the disk is, and how much of it is data."""

    name: str
    virtual: int
    data: int


FULL = Scale("full", 4096 * MIB, 600 * MIB)
SMOKE = Scale("smoke", 64 * MIB, 12 * MIB)

# Name: (file, made from, command). {src} and {dst} are paths; the raw disk is made by `make_disk`.
RECIPES = {
    "qcow2": ("disk.qcow2", "raw", "qemu-img convert -f raw -O qcow2 {src} {dst}"),
    "qcow2-zlib": ("disk-zlib.qcow2", "raw", "qemu-img convert -c -f raw -O qcow2 {src} {dst}"),
    "qcow2-zstd": (
        "disk-zstd.qcow2", "raw", "qemu-img convert -c -o compression_type=zstd -f raw -O qcow2 {src} {dst}",
    ),
    "raw-gz": ("disk.raw.gz", "raw", "gzip -nc {src} > {dst}"),
    "raw-xz": ("disk.raw.xz", "raw", "xz -T1 -c {src} > {dst}"),
    "raw-xz-blocks": ("disk-blocks.raw.xz", "raw", "xz -T0 --block-size={xz_block} -c {src} > {dst}"),
    "raw-zst": ("disk.raw.zst", "raw", "zstd -q -c {src} > {dst}"),
    "qcow2-gz": ("disk.qcow2.gz", "qcow2", "gzip -nc {src} > {dst}"),
    "qcow2-layer": (
        "disk-layer.tar.gz", "qcow2",
        "tar --owner=107 --group=107 --transform=s,.*/,disk/, --absolute-names -cf - {src} | gzip -nc > {dst}",
    ),
    "qcow2-xz": ("disk.qcow2.xz", "qcow2", "xz -T1 -c {src} > {dst}"),
}


def selection(limit):
    """Files of /usr until `limit` bytes: an even sample, the same one each time on the same machine."""
    files = []
    for folder in ("/usr/bin", "/usr/lib", "/usr/share"):
        for place, _, names in os.walk(folder):
            for name in names:
                path = pathlib.Path(place, name)
                if path.is_file() and not path.is_symlink():
                    files.append(path)
    files.sort(key=lambda path: (zlib.crc32(str(path).encode()), str(path)))
    total = 0
    for path in files:
        size = path.stat().st_size
        # One huge library would be most of a small disk.
        if 0 < size <= limit // 8 and total + size <= limit:
            total += size
            yield path


def make_disk(path, scale):
    """An ext4 file system of `scale` in the file `path`, sparse."""
    tree = path.with_name("tree")
    shutil.rmtree(tree, ignore_errors=True)
    for source in selection(scale.data):
        target = tree / source.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, target)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    size = f"{scale.virtual // 1024}k"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(part), size], check=True)
    part.rename(path)
    shutil.rmtree(tree)


class Images:
    """The images of one scale in one folder, made when they are first asked for and kept."""

    def __init__(self, folder, scale):
        self.folder = pathlib.Path(folder)
        self.scale = scale
        self.folder.mkdir(parents=True, exist_ok=True)
        self.forget_other_scales()

    def forget_other_scales(self):
        """Removes images that were made by other words than today's."""
        words = json.dumps([dataclasses.asdict(self.scale), RECIPES])
        stamp = self.folder / "made-by.json"
        if stamp.exists() and stamp.read_text() == words:
            return
        for old in self.folder.glob("disk*"):
            old.unlink()
        stamp.write_text(words)

    def path(self, name):
        """The file of the image `name`; makes it, and what it is made from, when it is not there."""
        if name == "raw":
            path = self.folder / "disk.raw"
            if not path.exists():
                print(f"  making {path.name}", flush=True)
                make_disk(path, self.scale)
            return path
        file, origin, command = RECIPES[name]
        path = self.folder / file
        if not path.exists():
            source = self.path(origin)
            print(f"  making {file}", flush=True)
            part = path.with_name(path.name + ".part")
            block = 24 * MIB if self.scale is FULL else 4 * MIB
            words = {"src": shlex.quote(str(source)), "dst": shlex.quote(str(part)), "xz_block": block}
            subprocess.run(["bash", "-c", command.format(**words)], check=True)
            part.rename(path)
        return path
