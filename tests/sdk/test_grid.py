"""All registration mistakes are reported at once, with file and line, before anything runs."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentgrid.control import inputs
from agentgrid.errors import InvalidInput, RegistrationErrors
from agentgrid.sdk.grid import Grid
from agentgrid.worker import catalog

HEAD = """\
from datetime import datetime, timedelta
from typing import Any
from temporalio import workflow
import agentgrid as ag

SECONDS = timedelta(seconds=5)

"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Grid]]:
    """Writes modules into a new package and creates a grid from it."""
    name = f"project_{tmp_path.name.replace('-', '_')}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**modules: str) -> Grid:
        for module, source in modules.items():
            (package / f"{module}.py").write_text(HEAD + textwrap.dedent(source))
        return Grid("test", name)

    yield make
    for loaded in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[loaded]


GOOD = """
@ag.tool(title="Add", risk="read", timeout=SECONDS)
async def add(left: int, right: int = 1) -> int:
    "Add two numbers."
    return left + right
"""


def tool(options: str, signature: str = "(x: int) -> int", prefix: str = "async ") -> str:
    return f"\n@ag.tool(title='T', {options})\n{prefix}def broken{signature}:\n    return 1\n"


WRITTEN = "from typing import Annotated\nfrom pydantic import WithJsonSchema\n"


def taking(schema: str) -> str:
    """A workflow with a hand-written input schema."""
    return f"""{WRITTEN}
@ag.workflow(title="W")
class W:
    @workflow.run
    async def run(self, x: Annotated[str, WithJsonSchema({schema})]) -> int:
        return 1
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (tool("risk='read'"), "has no timeout"),
        (tool("risk='read', timeout=timedelta(0)"), "timeout must be a positive"),
        (tool("risk='mild', timeout=SECONDS"), "risk is 'mild'"),
        (tool("risk='read', timeout=SECONDS, retries=-1"), "retries must be 0 to 100"),
        (tool("risk='write', timeout=SECONDS, local=True"), "local=True is only for risk 'read' or idempotent"),
        (tool("risk='read', timeout=SECONDS, name='No Spaces'"), "the name must match"),
        (tool("risk='read', timeout=SECONDS, name='" + "x" * 101 + "'"), "the name must match"),
        (tool("risk='read', timeout=SECONDS, name='refund\u0430'"), "the name must match"),
        (tool("risk='read', timeout=SECONDS", "(x) -> int"), "parameter 'x' has no annotation"),
        (tool("risk='read', timeout=SECONDS", "(x: int)"), "the result has no annotation"),
        (tool("risk='read', timeout=SECONDS", "(x: list[int] = []) -> int"), "mutable default"),
        (tool("risk='read', timeout=SECONDS", "(*x: int) -> int"), "must be an ordinary one"),
        (tool("risk='read', timeout=SECONDS", "(x: object()) -> int"), "can't be represented in JSON"),
        (tool("risk='read', timeout=SECONDS", "(x: int) -> int", prefix=""), "must be an async function"),
        ("\nasync def f():\n    await ag.approval('Nobody', approvers=[])\n", "its approvers are empty"),
        ("\nraise ValueError('no configuration')\n", "can't be imported: ValueError: no configuration"),
        ("\ndef broken(:\n", "invalid syntax"),
        (
            "\n@ag.workflow(title='W')\nclass W:\n    @workflow.run\n    async def run(self, x) -> int:\n        return 1\n",
            "no annotation",
        ),
        (
            "\n@ag.workflow(title='W', name='Bad Name')\nclass W:\n    @workflow.run\n    async def run(self) -> int:\n        return 1\n",
            "workflow 'Bad Name': the name must match",
        ),
        (
            "\nNOW = datetime.now()\n\n@ag.workflow(title='W')\nclass W:\n    @workflow.run\n    async def run(self) -> int:\n        return 1\n",
            "can't be built in the sandbox",
        ),
        (
            taking('{"type": "strin"}'),
            "workflow 'w': its input schema can't be used: it is not a valid JSON Schema",
        ),
        (
            taking('{"type": "string", "pattern": "(?<!x)y"}'),
            "the pattern at /pattern is invalid or can't run in linear time",
        ),
        (taking('{"$ref": "https://elsewhere.invalid/schema"}'), "it refers to an external schema"),
        (taking('{"$ref": "#/$defs/Nowhere"}'), "it contains a broken reference"),
        (taking('{"$ref": "#"}'), "it contains a broken reference"),
        (
            WRITTEN
            + tool("risk='read', timeout=SECONDS", """(x: Annotated[str, WithJsonSchema({"pattern": "("})]) -> int"""),
            "tool 'broken': its input schema can't be used: the pattern at /properties/x/pattern",
        ),
    ],
)
def test_each_mistake_is_reported_with_its_place(project: Callable[..., Grid], source: str, expected: str) -> None:
    grid = project(good=GOOD, bad=source)
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    assert [fault for fault in caught.value.faults if expected in fault.message], caught.value.message
    assert all(Path(fault.file).name.startswith("bad") for fault in caught.value.faults if expected in fault.message)
    assert all(fault.line > 0 for fault in caught.value.faults if expected in fault.message)
    assert [tool.name for tool in grid.tools if tool.name == "add"] == ["add"], (
        "one broken module must not hide the others"
    )


def test_all_faults_are_reported_at_once(project: Callable[..., Grid]) -> None:
    grid = project(
        one=tool("risk='read'"), two="\nraise RuntimeError('two')\n", three=tool("risk='mild', timeout=SECONDS")
    )
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    text = caught.value.message
    assert "has no timeout" in text
    assert "RuntimeError: two" in text
    assert "'mild'" in text
    assert "already registered" in text


def test_an_empty_grid_is_a_mistake(project: Callable[..., Grid]) -> None:
    with pytest.raises(RegistrationErrors, match="no workflows and no tools"):
        project().check()


def test_a_missing_package_is_a_mistake() -> None:
    with pytest.raises(RegistrationErrors, match="nowhere_at_all"):
        Grid("test", "nowhere_at_all").check()


WORKFLOW = """
from pydantic import BaseModel
from .good import add

class Input(BaseModel):
    n: int

@ag.workflow(title="Count up", tags=("math",), subject="From {n}")
class CountUp:
    "Counts."
    @workflow.run
    async def run(self, start: Input) -> int:
        return await add(start.n)
"""


def test_a_workflow_has_a_name_schemas_and_a_version(project: Callable[..., Grid]) -> None:
    grid = project(good=GOOD, flow=WORKFLOW)
    grid.check()
    (registered,) = grid.workflows
    assert registered.spec.name == "count_up"
    assert catalog.document(grid, "queue")["workflows"][0]["subject"] == "From {n}"
    assert registered.description == "Counts."
    assert registered.input_schema["properties"]["n"]["type"] == "integer"
    assert registered.output_schema == {"type": "integer"}


RECURSIVE = """
from pydantic import BaseModel

class Thread(BaseModel):
    amount: int
    replies: "list[Thread]" = []

@ag.workflow(title="Read a thread", subject="Thread of {amount}")
class ReadThread:
    @workflow.run
    async def run(self, thread: Thread) -> int:
        return thread.amount
"""


def test_a_subject_may_name_fields_of_a_recursive_input(project: Callable[..., Grid]) -> None:
    grid = project(flow=RECURSIVE)
    grid.check()
    assert "$ref" in grid.workflows[0].input_schema  # the fields are in a definition


def test_a_version_changes_with_imported_code_but_not_with_comments(
    project: Callable[..., Grid], tmp_path: Path
) -> None:
    def version(good: str, flow: str) -> tuple[str, str]:
        grid = project(good=good, flow=flow)
        for loaded in [module for module in sys.modules if module.startswith("project_")]:
            del sys.modules[loaded]
        from agentgrid.sdk.schema import canonical_source

        canonical_source.cache_clear()
        return grid.workflows[0].version, grid.tools[0].version

    base = version(GOOD, WORKFLOW)
    assert version(GOOD + "\n# a comment\n", WORKFLOW + "\n\n") == base
    other_tool = version(GOOD.replace("left + right", "left - right"), WORKFLOW)
    assert other_tool[0] != base[0]
    assert other_tool[1] != base[1]
    other_flow = version(GOOD, WORKFLOW.replace("add(start.n)", "add(start.n + 1)"))
    assert other_flow[0] != base[0]
    assert other_flow[1] == base[1]


SEVERAL = """
from pydantic import BaseModel

class Item(BaseModel):
    n: int

@ag.workflow(title="Take several")
class TakeSeveral:
    @workflow.run
    async def run(self, first: Item, second: list[Item], third: int = 3) -> None: ...
"""


async def test_several_parameters_have_one_schema_with_valid_references(project: Callable[..., Grid]) -> None:
    (registered,) = project(flow=SEVERAL).workflows
    checker = inputs.Checker()
    await checker.check("take_several", "1", registered.input_schema, [{"n": 1}, [{"n": 2}], 3])
    await checker.check("take_several", "1", registered.input_schema, [{"n": 1}, []])
    with pytest.raises(InvalidInput) as caught:
        await checker.check("take_several", "1", registered.input_schema, [{"n": 1}, [{"n": "two"}]])
    assert [fault.pointer for fault in caught.value.faults] == ["/input/1/0/n"]
    with pytest.raises(InvalidInput, match="does not fit"):
        await checker.check("take_several", "1", registered.input_schema, [{"n": 1}])
