"""The programs that the peers need, and the words that say on what a run was made."""

import os
import pathlib
import platform
import shutil
import subprocess
import textwrap

# Program: the Debian package that brings it.
PACKAGES = {
    "curl": "curl",
    "dd": "coreutils",
    "gzip": "gzip",
    "mke2fs": "e2fsprogs",
    "nbdcopy": "libnbd-bin",
    "nbdkit": "nbdkit",
    "nginx": "nginx-light",
    "pigz": "pigz",
    "qemu-img": "qemu-utils",
    "time": "time",
    "xz": "xz-utils",
    "zstd": "zstd",
}

VERSIONS = {
    "qemu-img": ["qemu-img", "--version"],
    "curl": ["curl", "--version"],
    "dd": ["dd", "--version"],
    "gzip": ["gzip", "--version"],
    "pigz": ["pigz", "--version"],
    "xz": ["xz", "--version"],
    "zstd": ["zstd", "--version"],
    "nbdkit": ["nbdkit", "--version"],
    "nbdcopy": ["nbdcopy", "--version"],
    "nginx": ["nginx", "-v"],
}


def extend_path():
    """Servers and file system tools live in sbin, which a user's PATH often lacks."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"


def install_missing():
    """Installs what is missing, or ends the run with the command that does."""
    missing = sorted({package for program, package in PACKAGES.items() if not shutil.which(program)})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"compare: these packages are missing; as root: {' '.join(command)}")
    print(f"installing {' '.join(missing)}", flush=True)
    # nginx must not start as a service: it runs here with a configuration of its own.
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def first_line(command):
    """The first line that `command` prints, which is where versions stand."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return textwrap.shorten((result.stdout.strip().splitlines() or ["unknown"])[0], 72, placeholder=" …")


def file_system(folder):
    """The type of the file system under `folder`."""
    return first_line(["findmnt", "-n", "-o", "FSTYPE", "-T", str(folder)])


def describe(binary, work):
    """Pairs of words: what was measured on what."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.machine(),
    )
    memory = pathlib.Path("/proc/meminfo").read_text().splitlines()[0]
    pairs = [
        ("diskpour", first_line([str(binary), "--version"])),
        ("CPU", f"{cpu}, {os.cpu_count()} cores"),
        ("memory", f"{int(memory.split()[1]) // (1 << 20)} GiB"),
        ("kernel", platform.release()),
        ("file system", file_system(work)),
    ]
    return pairs + [(name, first_line(command)) for name, command in VERSIONS.items()]
