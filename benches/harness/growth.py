"""How cost grows: one series in the bytes of data, one in the virtual size, one in the cluster's size."""

import dataclasses
import random
import shlex
import subprocess

from . import measure

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# Data comes in stretches of this size, as files lie on a disk.
STRETCH = MIB


@dataclasses.dataclass(frozen=True)
class Point:
    """One image of a series: sizes in bytes."""

    series: str
    label: str
    virtual: int
    data: int
    cluster: int = 64 * KIB


def words(size):
    """A size as people say it."""
    for unit, name in ((1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def points(scale):
    """All images; `scale` divides the sizes, for a try."""
    data = [Point("data", words(size), 16 * GIB, size) for size in (n * MIB // scale for n in (64, 256, 1024, 4096, 8192))]
    virtual = [
        Point("virtual size", words(size), size, 100 * MIB // scale) for size in (n * GIB // scale for n in (1, 16, 128, 1024))
    ]
    cluster = [
        Point("cluster", words(size), 4 * GIB, 600 * MIB // scale, size) for size in (4 * KIB, 16 * KIB, 64 * KIB, 512 * KIB, 2 * MIB)
    ]
    return data + virtual + cluster


def make(point, path):
    """A qcow2 image with `point.data` bytes of noise, in stretches that are spread evenly."""
    raw = path.with_suffix(".raw")
    noise = random.Random(1).randbytes(STRETCH)
    count = point.data // STRETCH
    with open(raw, "wb") as file:
        file.truncate(point.virtual)
        for number in range(count):
            file.seek(point.virtual // count * number // STRETCH * STRETCH)
            file.write(number.to_bytes(8, "little") + noise[8:])
    create = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", f"cluster_size={point.cluster}", raw, path]
    subprocess.run(create, check=True)
    raw.unlink()


def table(binary, folder, runs, scale):
    """Pairs of a point and its samples, in the order of `points`."""
    image, out = folder / "growth.qcow2", folder / "out.raw"
    command = " ".join(shlex.quote(str(word)) for word in (binary, "import", image, out, "--progress", "none"))
    rows = []
    for point in points(scale):
        make(point, image)
        measure.warm(image)
        samples = [measure.run(command, out, folder) for _ in range(runs)]
        rows.append((point, samples))
        best = min(samples, key=lambda sample: sample.wall)
        print(f"{point.series} {point.label}: {best.wall:.2f} s, CPU {best.cpu:.2f} s, {best.peak_rss_kib >> 10} MiB", flush=True)
        image.unlink()
        out.unlink(missing_ok=True)
    return rows
