"""A throwaway nginx on loopback that serves the images in several tempers."""

import asyncio
import multiprocessing
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

from . import cells

DELAY = 0.020

SITE = """
    server {{
        listen 127.0.0.1:{port};
        root {root};
        {extra}
    }}
"""

CONFIG = """
daemon off;
worker_processes 2;
pid {state}/nginx.pid;
error_log {state}/error.log;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    default_type application/octet-stream;
    client_body_temp_path {state}/body;
    proxy_temp_path {state}/proxy;
    fastcgi_temp_path {state}/fastcgi;
    uwsgi_temp_path {state}/uwsgi;
    scgi_temp_path {state}/scgi;
    upstream wait {{ server 127.0.0.1:{wait}; keepalive 64; }}
{sites}
}}
"""

# The delay is asked for before each request; the body flows at full speed after it.
WAIT_FIRST = """auth_request /wait;
        location = /wait {
            internal;
            proxy_pass http://wait;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }"""

# A registry that only hands out: its files lie as its paths are.
BY_PATH = """location ~ /manifests/ { default_type application/vnd.oci.image.manifest.v1+json; }"""

TEMPERS = {
    cells.HTTP: "",
    cells.NO_RANGES: "max_ranges 0;",
    cells.DELAYED: WAIT_FIRST,
    cells.LIMITED: "limit_rate 20m;",
    cells.REGISTRY: BY_PATH,
}


def free_ports(count):
    """Ports that nobody listens on; all are held until all are known."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answer_late(port):
    """Says yes to every request, DELAY seconds later."""

    async def answer(reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(DELAY)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve():
        server = await asyncio.start_server(answer, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


class Servers:
    """Use in `with`: started at entry, ended at exit."""

    def __init__(self, root, state):
        self.root = pathlib.Path(root)
        self.state = pathlib.Path(state)
        self.ports = {}

    def __enter__(self):
        wait, *ports = free_ports(1 + len(TEMPERS))
        self.ports = dict(zip(TEMPERS, ports))
        sites = "".join(SITE.format(port=self.ports[via], root=self.root, extra=extra) for via, extra in TEMPERS.items())
        user = "user root;" if os.geteuid() == 0 else ""
        config = self.state / "nginx.conf"
        config.write_text(CONFIG.format(state=self.state, user=user, wait=wait, sites=sites))
        self.waiter = multiprocessing.get_context("fork").Process(target=answer_late, args=(wait,), daemon=True)
        self.waiter.start()
        self.nginx = subprocess.Popen(["nginx", "-c", str(config), "-e", str(self.state / "error.log")])
        try:
            for via in TEMPERS:
                self.await_answer(self.url(via, "alive"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.nginx.terminate()
        self.nginx.wait()
        self.waiter.terminate()
        self.waiter.join()

    def url(self, via, name):
        """Where the file `name` is, in the temper `via`."""
        return f"http://127.0.0.1:{self.ports[via]}/{name}"

    def await_answer(self, url):
        """Waits until `url` is answered."""
        (self.root / "alive").write_text("yes\n")
        problem = None
        for _ in range(100):
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError as error:
                problem = error
                time.sleep(0.05)
        log = (self.state / "error.log").read_text(errors="replace")[-600:]
        raise SystemExit(f"compare: nginx does not answer at {url}: {problem}\n{log}")

    def cpu(self):
        """Seconds of CPU that the servers have used so far."""
        master = self.nginx.pid
        children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
        ticks = 0
        for pid in [str(master), str(self.waiter.pid), *children]:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")
