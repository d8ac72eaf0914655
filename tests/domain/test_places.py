"""The place of a failure is a line of the project, regardless of the machine that wrote the traceback."""

from __future__ import annotations

import pytest

from agentgrid.domain.places import failing_place

VENV = "/home/ada/shop/.venv/lib/python3.12"
OURS = f"""
  File "{VENV}/site-packages/temporalio/worker/_activity.py", line 700, in execute_activity
    return await input.fn(*input.args)
  File "/opt/checkout/agentgrid/sdk/tools.py", line 120, in run
    return await self.fn(**arguments)
  File "/home/ada/shop/activities/pay.py", line 12, in pay
    return prices[order]
  File "{VENV}/asyncio/base_events.py", line 9, in run_until_complete
  File "<frozen importlib>", line 1, in x
"""


@pytest.mark.parametrize(
    ("stack", "place"),
    [
        (OURS, "shop/activities/pay.py:12 in pay"),
        (OURS.replace("sdk/tools.py", "testing/governance.py"), "shop/activities/pay.py:12 in pay"),
        ('  File "/opt/checkout/agentgrid/testing/governance.py", line 3, in decide\n', None),
        (
            OURS.replace("/home/ada/shop/activities", f"{VENV}/site-packages/shop"),
            "site-packages/shop/pay.py:12 in pay",
        ),
        ('  File "C:\\\\Python312\\\\Lib\\\\json\\\\x.py", line 3, in loads\n', None),
        ('  File "C:\\\\shop\\\\pay.py", line 3, in pay\n', "C:/shop/pay.py:3 in pay"),
        ('  File "/agentgrid/worker.py", line 3, in <module>\n', "agentgrid/worker.py:3 in <module>"),
        ("at pay (/home/ada/shop/src/pay.ts:12:3)\n", None),
        ("", None),
    ],
    ids=[
        "own",
        "own-under-test",
        "our-helpers",
        "installed",
        "windows-library",
        "windows",
        "a-folder-of-our-name",
        "typescript",
        "none",
    ],
)
def test_the_innermost_line_of_the_project_is_found(stack: str, place: str | None) -> None:
    assert failing_place(stack.replace("\\\\", "\\")) == place


def test_a_hostile_traceback_is_parsed_in_linear_time_and_its_place_is_short() -> None:
    assert failing_place(" " * 8_000 + "\n" * 200) is None
    long = failing_place(f'File "/{"x" * 8_000}.py", line 1, in {"f" * 5_000}\n')
    assert long is not None
    assert len(long) < 320
