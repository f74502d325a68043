"""How long an upload's answer takes after the last byte of the image has left the client."""

import socket
import statistics
import subprocess
import time
import urllib.parse

IMAGES = ("qcow2", "qcow2-zlib", "qcow2-gz", "raw-gz", "raw-zst", "raw-xz")


def seconds(binary, image, out):
    """Uploads the file `image` once; seconds from the last byte to the answer."""
    out.unlink(missing_ok=True)
    words = [binary, "upload-server", out, "--listen", "127.0.0.1:0", "--insecure-plain-http", "--progress", "none"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            return sent(server.stderr.readline().rsplit(" ", 1)[1].strip(), image)
        finally:
            server.terminate()
            server.wait()
            out.unlink(missing_ok=True)


def sent(url, image):
    """The client's side of `seconds`."""
    place = urllib.parse.urlsplit(url)
    with socket.create_connection((place.hostname, place.port)) as line, open(image, "rb") as file:
        head = f"POST /v1beta1/upload HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {image.stat().st_size}\r\n\r\n"
        line.sendall(head.encode())
        line.sendfile(file)
        began = time.perf_counter()
        answer = line.recv(4096)
        took = time.perf_counter() - began
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"compare: the upload of {image.name} was answered with {answer[:200]!r}")
    return took


def table(binary, pictures, out, runs):
    """Pairs of an image's name and the median seconds of `runs` uploads."""
    print("answers to uploads", flush=True)
    return [
        (name, statistics.median(seconds(binary, pictures.path(name), out) for _ in range(runs))) for name in IMAGES
    ]
