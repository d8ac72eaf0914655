"""More registration mistakes: options of the wrong type, duplicate names, and code that workflows can't contain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agentgrid.errors import RegistrationErrors
from agentgrid.sdk.grid import Grid
from tests.sdk.test_grid import GOOD, project, tool

__all__ = ["project"]


def workflow(name: str = "W", *, options: str = "", body: str = "return 1", signature: str = "(self) -> int") -> str:
    return (
        f"\n@ag.workflow(title='W'{options})\nclass {name}:\n"
        f"    @workflow.run\n    async def run{signature}:\n        {body}\n"
    )


MISTAKES = {
    "a timeout in seconds": (tool("risk='read', timeout=5"), "its timeout must be a positive timedelta"),
    "a heartbeat in seconds": (tool("risk='read', timeout=SECONDS, heartbeat=5"), "its heartbeat must be"),
    "a heartbeat of zero": (tool("risk='read', timeout=SECONDS, heartbeat=timedelta(0)"), "its heartbeat must be"),
    "an async check": (
        "\nasync def fit(x: int) -> None: ..." + tool("risk='read', timeout=SECONDS, check=fit"),
        "its check must be a plain function",
    ),
    "a check with other parameters": (
        tool("risk='read', timeout=SECONDS, check=lambda other: None"),
        "its check must take the tool's parameters",
    ),
    "retries as text": (tool("risk='read', timeout=SECONDS, retries='many'"), "retries must be 0 to 100"),
    "too many retries": (tool("risk='read', timeout=SECONDS, retries=101"), "retries must be 0 to 100"),
    "no risk": (tool("risk=None, timeout=SECONDS"), "risk is None"),
    "several risks": (tool("risk=['read'], timeout=SECONDS"), "risk is ['read']"),
    "a number as a name": (tool("risk='read', timeout=SECONDS, name=5"), "the name must match"),
    "a list as a name": (tool("risk='read', timeout=SECONDS, name=['x']"), "the name must match"),
    "an empty title": (
        "\n@ag.tool(title=' ', risk='read', timeout=SECONDS)\nasync def broken() -> int:\n    return 1\n",
        "has no title",
    ),
    "a title of the wrong type": (
        "\n@ag.tool(title=None, risk='read', timeout=SECONDS)\nasync def broken() -> int:\n    return 1\n",
        "has no title",
    ),
    "tags of the wrong type": (tool("risk='read', timeout=SECONDS, tags=5"), "can't be imported: TypeError"),
    "an unknown option": (tool("risk='read', timeout=SECONDS, cost=5"), "can't be imported: TypeError"),
    "a positional only parameter": (
        tool("risk='read', timeout=SECONDS", "(x: int, /) -> int"),
        "must be an ordinary one",
    ),
    "variable keyword arguments": (
        tool("risk='read', timeout=SECONDS", "(**x: int) -> int"),
        "must be an ordinary one",
    ),
    "an undefined annotation": (
        tool("risk='read', timeout=SECONDS", "(x: 'Nothing') -> int"),
        "an annotation can't be resolved",
    ),
    "an invalid annotation": (tool("risk='read', timeout=SECONDS", "(x: 'int |') -> int"), "signature"),
    "a name that pydantic would ignore": (
        tool("risk='read', timeout=SECONDS", "(_x: int) -> int"),
        "begins with an underscore",
    ),
    "a dictionary as a default": (tool("risk='read', timeout=SECONDS", "(x: dict[str, int] = {}) -> int"), "mutable"),
    "a thread as an argument": (
        "\nimport threading\n" + tool("risk='read', timeout=SECONDS", "(x: threading.Thread) -> int"),
        "can't be represented in JSON",
    ),
    "a thread as a result": (
        "\nimport threading\n" + tool("risk='read', timeout=SECONDS", "(x: int) -> threading.Thread"),
        "can't be represented in JSON",
    ),
    "a local tool that writes": (
        tool("risk='destructive', timeout=SECONDS, local=True"),
        "local=True is only for risk 'read'",
    ),
    "a duplicate tool": (GOOD, "tool 'add' is already registered at"),
    "a duplicate workflow": (
        workflow("First", options=", name='same'") + workflow("Second", options=", name='same'"),
        "workflow 'same' is already registered at",
    ),
    "a homoglyph in a name": (workflow(options=", name='refund\u0430'"), "the name must match"),
    "a workflow with a long name": (workflow(options=f", name='{'x' * 101}'"), "the name must match"),
    "a number as a workflow's name": (workflow(options=", name=5"), ""),
    "a subject with an unknown field": (
        workflow(options=", subject='Ticket {ticket}'", signature="(self, x: int) -> int"),
        "subject: it names ticket, but the fields of its input are none",
    ),
    "a subject with an attribute": (
        "\nfrom pydantic import BaseModel\nclass Input(BaseModel):\n    n: int\n"
        + workflow(options=", subject='{n.real}'", signature="(self, x: Input) -> int"),
        "subject: {n.real} is not a name",
    ),
    "a subject of the wrong type": (workflow(options=", subject=5"), "subject is 5; it must be a string"),
    "a workflow without a run": ("\n@ag.workflow(title='W')\nclass W:\n    pass\n", "@workflow.run"),
    "a workflow that is not async": (
        "\n@ag.workflow(title='W')\nclass W:\n    @workflow.run\n    def run(self) -> int:\n        return 1\n",
        "async",
    ),
    "a workflow in a function": (
        "\ndef make():\n    @ag.workflow(title='W')\n    class Local:\n        @workflow.run\n"
        "        async def run(self) -> int:\n            return 1\n    return Local\n\nW = make()\n",
        "ocal classes",
    ),
    "a clock in the workflow's module": ("\nNOW = datetime.now()\n" + workflow(), "can't be built in the sandbox"),
    "randomness in the workflow's module": (
        "\nimport random\nLUCK = random.random()\n" + workflow(),
        "can't be built in the sandbox",
    ),
    "a thread as a workflow's argument": (
        "\nimport threading\n" + workflow(signature="(self, x: threading.Thread) -> int"),
        "parameter 'x' of its run method can't be represented in JSON",
    ),
    "a list as a workflow's default": (workflow(signature="(self, x: list[int] = []) -> int"), "mutable default"),
    "a password as a default": (
        tool("risk='read', timeout=SECONDS", "(db_password: str = 'hunter2') -> int"),
        "'db_password' has a secret as its default",
    ),
    "a key as a default": (
        tool("risk='read', timeout=SECONDS", "(x: str = 'AKIAABCDEFGHIJKLMNOP') -> int"),
        "'x' has a secret as its default",
    ),
    "a key nested in a workflow's input": (
        "\nfrom pydantic import BaseModel\nclass Inner(BaseModel):\n    api_key: str = 'x'\n"
        "class Input(BaseModel):\n    inner: list[Inner] = []\n" + workflow(signature="(self, x: Input) -> int"),
        "'api_key' has a secret as its default",
    ),
    "a secret as a workflow's default": (
        workflow(signature="(self, secret: str = 'x') -> int"),
        "'secret' has a secret as its default",
    ),
    "no approvers": ("\nasync def f():\n    await ag.approval('A', approvers=())\n", "approvers are empty"),
    "a missing module": ("\nimport nothing_of_that_name\n", "can't be imported: ModuleNotFoundError"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_a_fault_with_its_place_and_hides_no_other(project: Callable[..., Grid], name: str) -> None:
    source, expected = MISTAKES[name]
    grid = project(good=GOOD, bad=source, worse=tool("risk='read'"))
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    faults = [fault for fault in caught.value.faults if Path(fault.file).name != "worse.py"]
    assert [fault for fault in faults if expected in fault.message], caught.value.message
    assert all(fault.line > 0 for fault in faults), faults
    assert "has no timeout" in caught.value.message, "the fault of the other module"
