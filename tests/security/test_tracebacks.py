"""A traceback in a log shows the code that failed, but not its values: those can be payloads, keys and passwords."""

from __future__ import annotations

import pytest

from tests.forks import Forks

FAILS = """
import agentgrid.logging
from agentgrid.settings import Settings
{configured}
def fails(password):
    raise RuntimeError("it broke")
try:
    fails("a-canary" * 3)
except RuntimeError:
    {logged}
"""

CONFIGURED = {
    "console": "agentgrid.logging.configure(Settings(log_format='console'))",
    "json": "agentgrid.logging.configure(Settings(log_format='json'))",
    "dev": "from agentgrid.dev.command import _silence_server_logs; _silence_server_logs()",
    "another program's process": "",
}
LOGGED = {
    "agentgrid's logger": "agentgrid.logging.get_logger().warning('failed', exc_info=True)",
    "the standard library's": "import logging; logging.getLogger('asyncio').exception('failed')",
}


@pytest.mark.parametrize("configured", CONFIGURED)
@pytest.mark.parametrize("logged", LOGGED)
def test_a_logged_traceback_shows_no_local_values(forks: Forks, configured: str, logged: str) -> None:
    program = FAILS.format(configured=CONFIGURED[configured], logged=LOGGED[logged])
    ended = forks.run(program)
    assert ended.returncode == 0, ended.stderr
    written = ended.stdout + ended.stderr
    assert "it broke" in written
    assert "in fails" in written
    assert "a-canarya-canary" not in written
