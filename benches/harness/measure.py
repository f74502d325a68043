"""Runs one command and says what it cost."""

import dataclasses
import hashlib
import os
import pathlib
import subprocess
import threading
import time

TIMEOUT = 3600
# Bytes that are compared at once.
STEP = 1 << 22


@dataclasses.dataclass
class Sample:
    """One run. CPU and memory are those of all processes that the command started and waited for."""

    exit_code: int
    wall: float
    user: float
    system: float
    peak_rss_kib: int
    dirty_kib: int
    written: int
    load: float
    words: str

    @property
    def cpu(self):
        """Seconds of CPU, the kernel's share too."""
        return self.user + self.system


def dirty_kib():
    """Kibibytes of the page cache that wait for the disk."""
    fields = dict(line.split(":", 1) for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    return sum(int(fields[name].split()[0]) for name in ("Dirty", "Writeback"))


class DirtyWatch(threading.Thread):
    """The most dirty memory above that of the start, looked at 20 times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.start_value = dirty_kib()
        self.peak = 0
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.05):
            self.peak = max(self.peak, dirty_kib() - self.start_value)

    def stop(self):
        """Ends the watch; the peak."""
        self.done.set()
        self.join()
        return self.peak


def run(command, out, scratch):
    """Runs `command`, shell text that writes the file `out`, and measures it."""
    for path in (out, out.with_name(f".{out.name}.diskpour")):
        path.unlink(missing_ok=True)
    os.sync()
    peak_file, log = scratch / "peak", scratch / "stderr"
    # time(1) is a small program: the peak of a child of this interpreter would start at the interpreter's.
    words = ["time", "-q", "-f", "%M", "-o", peak_file, "bash", "-o", "pipefail", "-c", command]
    load = os.getloadavg()[0]
    watch = DirtyWatch()
    with open(log, "wb") as stderr:
        watch.start()
        began = time.perf_counter()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True)
        alarm = threading.Timer(TIMEOUT, os.killpg, (process.pid, 9))
        alarm.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        alarm.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = peak_file.read_text().split() if peak_file.exists() else []
    return Sample(
        exit_code=process.returncode,
        wall=wall,
        user=usage.ru_utime,
        system=usage.ru_stime,
        peak_rss_kib=int(peak[-1]) if peak else 0,
        dirty_kib=watch.stop(),
        written=out.stat().st_blocks * 512 if out.exists() else 0,
        load=load,
        words=tail(log),
    )


def tail(log):
    """The last words of the file `log`, however long it is."""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 600))
        return file.read().decode(errors="replace").strip()


def sha256(path):
    """The digest of the whole file; holes count as the zeros that they read as."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stretches(file):
    """The parts of `file` that are no holes, as pairs of start and end."""
    at, end = 0, os.fstat(file.fileno()).st_size
    while at < end:
        try:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
        except OSError:
            return
        at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        yield start, at


def same(one, other):
    """Whether two files read the same; what is a hole in both costs nothing."""
    with open(one, "rb", buffering=0) as first, open(other, "rb", buffering=0) as second:
        if os.fstat(first.fileno()).st_size != os.fstat(second.fileno()).st_size:
            return False
        for start, end in (*stretches(first), *stretches(second)):
            for at in range(start, end, STEP):
                length = min(STEP, end - at)
                if os.pread(first.fileno(), length, at) != os.pread(second.fileno(), length, at):
                    return False
    return True


def warm(path):
    """Reads `path` once, so that every contender finds it in memory."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass
