"""Errors are shown at their place in the project's code, not at the library line that raised them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agentgrid.errors import RegistrationErrors
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.places import place_in, place_of, reworded, shown
from tests.sdk.test_grid import GOOD, project

__all__ = ["project"]

STACK = f"""
  File "{json.__file__.replace("json/__init__", "site-packages/temporalio/worker/_workflow_instance")}", line 400, in activate
    x
  File "/home/ada/shop/workflows/refund.py", line 12, in run
    helper()
  File "/home/ada/shop/workflows/money.py", line 34, in helper
    json.loads("")
  File "{json.__file__}", line 346, in loads
  File "<frozen importlib>", line 1, in x
"""


def test_the_innermost_place_is_in_the_projects_code() -> None:
    assert place_in(STACK) == ("/home/ada/shop/workflows/money.py", 34)
    assert place_in("") is None
    try:
        json.loads("")
    except ValueError as error:
        place = place_of(error)
    assert place is not None
    assert Path(place[0]) == Path(__file__)


def test_a_place_is_shown_relative_to_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown((str(tmp_path / "workflows" / "refund.py"), 12)) == "workflows/refund.py:12"
    assert shown(("/home/ada/shop/workflows/money.py", 34)) == "shop/workflows/money.py:34"


def test_temporals_advice_to_pass_a_module_through_is_replaced() -> None:
    message = (
        "Cannot access datetime.datetime.now.__call__ from inside a workflow. If this is code from a module not used in a "
        "workflow or known to only be used deterministically from a workflow, mark the import as pass through."
    )
    expected = "workflow code can't use datetime.datetime.now: it must be deterministic; use workflow.now()"
    assert reworded(message) == expected
    assert reworded(f"before: {message}") == f"before: {expected}"
    assert reworded("KeyError: 'x'") == "KeyError: 'x'"


def test_a_clock_in_an_imported_module_is_a_fault_at_its_line_with_our_message(project: Callable[..., Grid]) -> None:
    grid = project(
        flow="\nfrom .clocks import NOW\n"
        "@ag.workflow(title='W')\nclass W:\n    @workflow.run\n    async def run(self) -> int:\n        return 1\n",
        clocks="\nNOW = datetime.now()  # here\n",
    )
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    (fault,) = caught.value.faults
    assert (
        "workflow code can't use datetime.datetime.now: it must be deterministic; use workflow.now()" in fault.message
    )
    assert "pass through" not in fault.message
    assert Path(fault.file).name == "clocks.py"
    assert Path(fault.file).read_text().splitlines()[fault.line - 1].endswith("# here")


def test_a_workflow_without_a_run_method_is_reported_with_its_file_and_line(project: Callable[..., Grid]) -> None:
    grid = project(good=GOOD, flow="\n@ag.workflow(title='W')  # here\nclass Refund:\n    pass\n")
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    (fault,) = caught.value.faults
    assert "workflow class Refund: " in fault.message
    assert "@workflow.run" in fault.message
    assert Path(fault.file).name == "flow.py"
    assert Path(fault.file).read_text().splitlines()[fault.line - 1].endswith("# here")


def test_a_module_that_fails_in_a_library_is_a_fault_at_its_own_line(project: Callable[..., Grid]) -> None:
    grid = project(good=GOOD, broken="\nimport json\nX = json.loads('{')  # here\n")
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    (fault,) = caught.value.faults
    assert Path(fault.file).read_text().splitlines()[fault.line - 1].endswith("# here")
