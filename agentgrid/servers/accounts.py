"""Runs PostgreSQL, which refuses to run as root, under a separate unprivileged account.

That account must reach the programs and the data. No permissions are loosened for it: if their folder is inaccessible (such as
`/root`), the programs are copied and the data is stored under `/var/lib/agentgrid`, which only root can write and everybody can enter.
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
    """The account to run as; None, the current account, unless it is root."""
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
        # Another process may be adding it at the same time, holding the lock on /etc/passwd.
        if fault and time.monotonic() > deadline:
            raise ServerError(
                f"PostgreSQL does not run as root, and the account {ACCOUNT!r} could not be added: {fault}; "
                f"add it, or run as another user"
            )
        time.sleep(0.1)


def _add_account() -> str:
    """The error, if any."""
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
        # Copied next to it and renamed, so that an incomplete copy is never used.
        made = Path(tempfile.mkdtemp(dir=_shared(), prefix="copying-"))
        shutil.copytree(root, made / package.name / root.name, symlinks=True, ignore=shutil.ignore_patterns("include"))
        libraries = package.with_name(f"{package.name}.libs")  # found by the programs through its relative path
        if libraries.exists():
            shutil.copytree(libraries, made / libraries.name, symlinks=True)
        for path in (made, *made.rglob("*")):
            runs = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if runs else 0o644)
        try:
            made.rename(copy)
        except OSError:
            shutil.rmtree(made)
            if not copy.exists():  # otherwise another start was faster
                raise
    return copy / package.name / root.name


def _shared() -> Path:
    SHARED.mkdir(parents=True, exist_ok=True)
    SHARED.chmod(0o755)
    return SHARED
