"""nginx as a plain proxy: about the least that passing a request on can cost."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..proc import free_port
from .base import Launch

CONFIG = """\
daemon off;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    upstream bench {{
        {servers}
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;   # a token that has come goes out
        }}
    }}
}}
"""


def _install() -> None:
    """Install nginx from Debian's packages; a failure shows in its still being absent."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "nginx-light"]):
        subprocess.run(argv, env=env, capture_output=True, timeout=300, check=False)


class Nginx:
    """One worker, keep-alive on both sides, no buffering, no log."""

    name = "nginx"

    def prepare(self) -> str | None:
        """Install it where that is ours to do."""
        if not shutil.which("nginx") and os.geteuid() == 0 and shutil.which("apt-get"):
            _install()
        return None if shutil.which("nginx") else "nginx is not installed (on Debian: apt-get install nginx-light)"

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Write nginx.conf and return the command that serves it."""
        port, servers = free_port(), " ".join(f"server 127.0.0.1:{port};" for port in ports)
        (folder / "nginx.conf").write_text(CONFIG.format(port=port, servers=servers))
        argv = ("nginx", "-e", "stderr", "-p", str(folder), "-c", "nginx.conf")
        return Launch(argv=(shutil.which("nginx") or argv[0], *argv[1:]), port=port)
