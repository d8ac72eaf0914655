"""Runs PostgreSQL, which refuses to run as root, under a separate unprivileged account.

That account must reach the programs and the data. No permissions are loosened for it: if their folder is inaccessible (such as
`/root`), the programs are copied and the data is stored under `/var/lib/agentgrid`, which only root can write and every account can enter.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

from agentgrid.servers.child import Account, ServerError

ACCOUNT = "agentgrid"
SHARED = Path("/var/lib/agentgrid")


def server_account() -> Account | None:
    """The account to run the server as: None, meaning the current one, unless that is root."""
    if os.geteuid() != 0:
        return None
    deadline = time.monotonic() + 5
    while True:
        try:
            entry = pwd.getpwnam(ACCOUNT)
        except KeyError:
            fault = _add_account()
        else:
            return Account(uid=entry.pw_uid, gid=entry.pw_gid)
        # Another process may be adding it right now, holding the lock on /etc/passwd.
        if fault and time.monotonic() > deadline:
            raise ServerError(
                f"PostgreSQL refuses to run as root, and the account {ACCOUNT!r} could not be added: {fault}; "
                f"add it, or run as another user"
            )
        time.sleep(0.1)


def _add_account() -> str:
    """Add the account. Returns the error, if any."""
    command = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--user-group"]
    try:
        subprocess.run([*command, "--shell", "/usr/sbin/nologin", ACCOUNT], check=True, capture_output=True, timeout=10)
    except OSError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return str(error.stderr.decode(errors="replace").strip())
    return ""


def reachable(path: Path) -> bool:
    """Whether every account can access this path."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


def private_folder() -> Path:
    """A new folder for one cluster's data, in a place that every account can enter."""
    folder = Path(tempfile.mkdtemp(dir=_shared(), prefix="postgres-"))
    folder.chmod(0o711)
    return folder


def reachable_programs(root: Path, version: str) -> Path:
    """The PostgreSQL installation at `root`, or a copy of it that every account can access and run."""
    binary = root / "bin" / "postgres"
    if reachable(binary) and binary.stat().st_mode & stat.S_IXOTH:
        return root
    package = root.parent
    copy = _shared() / f"programs-{version}"
    if not copy.exists():
        # Copied to a temporary folder and renamed, so that an incomplete copy is never used.
        partial = Path(tempfile.mkdtemp(dir=_shared(), prefix="copying-"))
        shutil.copytree(
            root, partial / package.name / root.name, symlinks=True, ignore=shutil.ignore_patterns("include")
        )
        libraries = package.with_name(f"{package.name}.libs")  # found by the programs through its relative path
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        for path in (partial, *partial.rglob("*")):
            runs = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if runs else 0o644)
        try:
            partial.rename(copy)
        except OSError:
            shutil.rmtree(partial)
            if not copy.exists():  # otherwise a concurrent start created it first
                raise
    return copy / package.name / root.name


def _shared() -> Path:
    SHARED.mkdir(parents=True, exist_ok=True)
    SHARED.chmod(0o755)
    return SHARED
