"""R44: only the owner can read what a development stack writes."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

from agentgrid.servers.child import Child, make_home, open_private_log
from agentgrid.worker.policy import PolicySource, _Moment


def test_r44_only_the_owner_can_read_the_stacks_logs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old = os.umask(0o022)
    try:
        make_home(home)
        (home / "logs").mkdir()
        log = home / "logs" / "worker.log"
        log.write_text("from an earlier version\n")
        _spawn(log)
        cache = home / "policy.json"
        PolicySource("postgresql://nowhere/none", cache)._save("{}", _Moment())
        fresh = home / "logs" / "api.log"
        open_private_log(fresh).close()
    finally:
        os.umask(old)
    assert _mode(home) == (0o711 if os.geteuid() == 0 else 0o700)
    assert _mode(home / "logs") == 0o700
    assert {_mode(path) for path in (log, fresh, cache)} == {0o600}


def _spawn(log: Path) -> None:
    child = Child.spawn(
        [sys.executable, "-c", "print('printed')"],
        log=log,
        cwd=log.parent,
        environment={},
        death_signal=signal.SIGTERM,
    )
    child._process.wait(30)
    assert log.read_text().endswith("printed\n")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
