"""What is compared: one Cell a line of work, each with diskpour's command and those of its peers.

To add a line, append to CELLS. Commands are shell text with these names in braces:
    {bin} the diskpour binary   {src} the image as a path   {out} the target, which does not exist yet
    {raw} the disk itself   {url} the image from its server   {http} the plain qcow2 image over HTTP
    {layout} the image in an OCI layout, where it comes from a registry
    {tmp} a path for a file between two steps   {sock} a path for a socket
Every command has to end with its output durable (fsync): dd by conv=fsync, others by sync(1).
"""

import dataclasses

# How an image reaches the command: a path, a pipe, an upload, or one of the servers of servers.py.
FILE, PIPE, UPLOAD = "file", "pipe", "upload"
HTTP, NO_RANGES, DELAYED, LIMITED, REGISTRY = "http", "no-ranges", "delayed", "limited", "registry"

# A server that waits for one upload; the shell then knows its $url.
RECEIVE = (
    "{bin} upload-server {out} --listen 127.0.0.1:0 --insecure-plain-http --progress none 2> {tmp} & "
    "until grep -q listening {tmp} 2>/dev/null; do sleep 0.005; done; "
    "url=$(sed -n 's/.*listening on //p' {tmp})/v1beta1/upload; "
)
SPARSE_DD = "dd of={out} bs=1M iflag=fullblock conv=sparse,fsync status=none"
FETCH = "curl -sSf {url}"
NBD = "nbd+unix:///?socket={sock}"


@dataclasses.dataclass(frozen=True)
class Peer:
    """A way that people go today."""

    name: str
    command: str


@dataclasses.dataclass(frozen=True)
class Cell:
    """One line of the comparison; goals are ratios to the first peer, None where none is set."""

    name: str
    work: str
    image: str
    via: str
    peers: tuple
    wall_goal: float | None = None
    cpu_goal: float | None = None

    def ours(self):
        """diskpour's command for this cell."""
        if self.via == PIPE:
            return "cat {src} | {bin} import - {out} --progress none"
        if self.via == UPLOAD:
            return RECEIVE + "curl -sSf -X POST -T {src} $url && wait $!"
        source = "{src}" if self.via == FILE else "{url}"
        return "{bin} import " + source + " {out} --progress none" + (" --insecure" if self.via == REGISTRY else "")

    def contenders(self):
        """diskpour and its peers in the order in which they take turns."""
        return (Peer("diskpour", self.ours()), *self.peers)

    def parts(self):
        """The route's parts alone: none of them can be left out, so that the slowest is a limit."""
        reads = {FILE: "cat {src}", PIPE: "cat {src}", UPLOAD: "cat {src}", REGISTRY: "cat {src}",
                 LIMITED: FOUR_AT_ONCE}
        return (
            Peer(READ, reads.get(self.via, FETCH) + " > /dev/null"),
            Peer(DECODE, "{bin} import " + self.as_file() + " /dev/null --progress none"),
            Peer(WRITE, "cp --sparse=auto --reflink=never {raw} {out} && sync {out}"),
        )

    def as_file(self):
        """The same image without a network."""
        return "oci:{layout}:latest" if self.via == REGISTRY else "{src}"


READ, DECODE, WRITE = "read alone", "decode alone", "write alone"
# What a server that limits each connection lets through at most, as we ask it.
FOUR_AT_ONCE = (
    "size=$(stat -c %s {src}); (for part in 0 1 2 3; do "
    "curl -sSf -r $((size / 4 * part))-$((part == 3 ? size - 1 : size / 4 * (part + 1) - 1)) {url} & done; wait)"
)


def convert(source):
    """qemu-img from `source`, made durable."""
    return "qemu-img convert -W -m 8 -f qcow2 -O raw " + source + " {out} && sync {out}"


def unpack_then_convert(unpack):
    """What a stream that qemu-img cannot read needs: a whole file in between."""
    return unpack + " > {tmp} && " + convert("{tmp}") + "; status=$?; rm -f {tmp}; exit $status"


def through_nbdkit(copy):
    """`copy` from a socket behind which nbdkit reads the URL."""
    return (
        "nbdkit -f -r -U {sock} curl {url} & for _ in $(seq 500); do [ -S {sock} ] && break; sleep 0.01; done; "
        + "(" + copy + "); status=$?; kill $!; wait $!; rm -f {sock}; exit $status"
    )


LOCAL_PEERS = (
    Peer("qemu-img convert -W -m 8", convert("{src}")),
    Peer("nbdcopy from qemu-nbd", "nbdcopy --flush -- [ qemu-nbd -r -f qcow2 {src} ] {out} && sync {out}"),
)
NBDKIT_PEERS = (
    Peer("nbdkit curl, qemu-img convert -W", through_nbdkit(convert(NBD))),
    Peer("curl to a file, qemu-img convert -W", unpack_then_convert(FETCH)),
)


def streamed(*unpackers):
    """curl, one of `unpackers`, dd."""
    return tuple(Peer(f"curl | {unpack} | dd", f"{FETCH} | {unpack} | {SPARSE_DD}") for unpack in unpackers)


def staged(unpack, fetch=FETCH):
    """The stream unpacked into a file, then qemu-img."""
    name = "curl" if fetch == FETCH else "cat"
    return (Peer(f"{name} | {unpack} to a file, qemu-img", unpack_then_convert(f"{fetch} | {unpack}")),)


# What the other ways of a qcow2 image are held against.
OURSELVES = Peer("diskpour, qcow2 over HTTP", "{bin} import {http} {out} --progress none")

CELLS = (
    Cell("file-qcow2", "qcow2, local", "qcow2", FILE, LOCAL_PEERS, 1.0, 0.9),
    Cell("file-qcow2-zlib", "qcow2 zlib, local", "qcow2-zlib", FILE, LOCAL_PEERS, 0.6, 0.6),
    Cell("file-qcow2-zstd", "qcow2 zstd, local", "qcow2-zstd", FILE, LOCAL_PEERS, 0.8, 0.9),
    Cell(
        "http-raw", "raw over HTTP", "raw", HTTP,
        (
            Peer("curl | dd", f"{FETCH} | {SPARSE_DD}"),
            Peer("nbdcopy from nbdkit curl", "nbdcopy --flush -- [ nbdkit -f -r curl {url} ] {out} && sync {out}"),
        ),
        0.45, 0.45,
    ),
    Cell("http-raw-gz", "raw.gz over HTTP", "raw-gz", HTTP, streamed("pigz -dc", "gzip -dc"), 0.3, 0.3),
    Cell("http-raw-xz", "raw.xz, one block, over HTTP", "raw-xz", HTTP, streamed("xz -dc -T1"), 0.8, 0.8),
    Cell(
        "http-raw-xz-blocks", "raw.xz, several blocks, over HTTP", "raw-xz-blocks", HTTP,
        streamed("xz -dc -T2", "xz -dc -T1"), 0.8,
    ),
    Cell("http-raw-zst", "raw.zst over HTTP", "raw-zst", HTTP, streamed("zstd -dc"), 0.7, 0.7),
    Cell("http-qcow2", "qcow2 over HTTP", "qcow2", HTTP, NBDKIT_PEERS, 0.9),
    Cell("http-qcow2-zlib", "qcow2 zlib over HTTP", "qcow2-zlib", HTTP, NBDKIT_PEERS, 0.2),
    Cell("http-qcow2-zstd", "qcow2 zstd over HTTP", "qcow2-zstd", HTTP, NBDKIT_PEERS),
    Cell("http-qcow2-no-ranges", "qcow2 over HTTP without ranges", "qcow2", NO_RANGES, NBDKIT_PEERS[1:]),
    Cell("http-qcow2-gz", "qcow2.gz over HTTP", "qcow2-gz", HTTP, staged("gzip -dc"), 0.25, 0.3),
    Cell("pipe-qcow2-gz", "qcow2.gz from a pipe", "qcow2-gz", PIPE, staged("gzip -dc", "cat {src}"), 0.25, 0.3),
    Cell("http-qcow2-xz", "qcow2.xz, one block, over HTTP", "qcow2-xz", HTTP, staged("xz -dc -T1"), 0.65, 0.65),
    Cell("delayed-qcow2", "qcow2 over HTTP, 20 ms a request", "qcow2", DELAYED, NBDKIT_PEERS, 0.3),
    Cell(
        "limited-raw", "raw over HTTP, 20 MB/s a connection", "raw", LIMITED,
        (Peer("curl | dd", f"{FETCH} | {SPARSE_DD}"),), 0.35,
    ),
    Cell("registry-qcow2", "qcow2 from a registry, a gzip layer", "qcow2-layer", REGISTRY, (OURSELVES,), 1.6),
    Cell("upload-qcow2", "qcow2 uploaded", "qcow2", UPLOAD, (OURSELVES,), 1.2),
)
