"""Forbidden operations and cycles of child runs in workflow code are found before they run; correct code is not reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agentgrid.errors import RegistrationError, RegistrationErrors
from agentgrid.sdk.grid import Grid
from tests.sdk.test_grid import project

__all__ = ["project"]

Project = Callable[..., Grid]


def run(*lines: str, before: str = "", methods: str = "") -> str:
    """A module with one workflow whose run method consists of these lines."""
    body = "\n".join(f"        {line}" for line in lines)
    return (
        f"\n{before}\n@ag.workflow(title='W')\nclass W:\n    @workflow.run\n    async def run(self) -> int:\n{body}\n"
        f"        return 1\n{methods}"
    )


REFUSED = {
    "the clock": (run("datetime.now()  # here"), "datetime.datetime.now: ", "use workflow.now()"),
    "the clock under another name": (
        run("clock.monotonic()  # here", before="import time as clock"),
        "time.monotonic: ",
        "use workflow.now()",
    ),
    "the clock's function": (run("time()  # here", before="from time import time"), "time.time: ", "workflow.now()"),
    "the clock in a chain of calls": (
        run("x = str(datetime.now().date().isoformat())  # here"),
        "datetime.datetime.now: ",
        "workflow.now()",
    ),
    "sleep": (run("import time", "time.sleep(1)  # here"), "time.sleep: ", "workflow.sleep()"),
    "randomness": (run("random.choice([1])  # here", before="import random"), "random.choice: ", "workflow.random()"),
    "randomness as a callback": (
        run("sorted([1], key=uuid4)  # here", before="from uuid import uuid4"),
        "uuid.uuid4: ",
        "uuid4()",
    ),
    "a file": (run("open('x')  # here"), "can't use open: ", "use a tool instead"),
    "a path's file": (
        run("Path('x').read_text()  # here", before="from pathlib import Path"),
        "pathlib.Path.read_text: ",
        "use a tool instead",
    ),
    "the environment": (run("import os", "os.environ['X']  # here"), "os.environ: ", "use a tool instead"),
    "a thread": (run("import threading", "threading.Thread()  # here"), "threading.Thread: ", "use a tool instead"),
    "a thread of the event loop": (
        run("import asyncio", "await asyncio.to_thread(len, [])  # here"),
        "asyncio.to_thread: ",
        "use a tool instead",
    ),
    "the network": (run("import requests", "requests.get('x')  # here"), "requests.get: ", "use a tool instead"),
    "a process": (run("import subprocess", "subprocess.run(['x'])  # here"), "subprocess.run: ", "use a tool instead"),
    "in another method": (
        run("self.later()", methods="    def later(self) -> None:\n        datetime.now()  # here\n"),
        "datetime.datetime.now: ",
        "workflow.now()",
    ),
    "in a signal's handler": (
        run(
            "pass",
            methods="    @workflow.signal\n    def notify(self) -> None:\n        self.at = datetime.now()  # here\n",
        ),
        "datetime.datetime.now: ",
        "workflow.now()",
    ),
    "in a function that it calls": (
        run(
            "later()",
            before="def later() -> None:\n    sooner()\n\ndef sooner() -> None:\n    datetime.now()  # here\n",
        ),
        "datetime.datetime.now: ",
        "workflow.now()",
    ),
    "in a nested function": (
        run("def inner() -> None:", "    datetime.now()  # here"),
        "datetime.datetime.now: ",
        "workflow.now()",
    ),
    "in an argument": (run("print(len(str(datetime.now())))  # here"), "datetime.datetime.now: ", "workflow.now()"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_code_with_side_effects_is_a_fault_at_its_line(project: Project, name: str) -> None:
    source, what, instead = REFUSED[name]
    grid = project(flow=source)
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    (fault,) = caught.value.faults
    assert what in fault.message
    assert instead in fault.message
    assert "# here" in Path(fault.file).read_text().splitlines()[fault.line - 1]


def test_code_that_a_workflow_uses_in_other_modules_is_checked_once(project: Project) -> None:
    grid = project(
        clocks="\ndef late() -> bool:\n    return datetime.now() is None\n\n"
        "class Base:\n    def at(self) -> object:\n        return datetime.now()\n",
        one="\nfrom .clocks import Base, late\n" + run("late()").replace("class W", "class One(Base)"),
        two="\nfrom . import clocks\n" + run("clocks.late()").replace("class W", "class Two"),
    )
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    assert [(Path(fault.file).name, "datetime.datetime.now" in fault.message) for fault in caught.value.faults] == [
        ("clocks.py", True),
        ("clocks.py", True),
    ]


ALLOWED = {
    "the workflow's own clock and randomness": run(
        "workflow.now(); workflow.random().random(); workflow.uuid4(); await workflow.sleep(1)"
    ),
    "waiting": run("import asyncio", "await asyncio.sleep(1)", "await asyncio.gather()"),
    "randomness with a seed": run("import random", "random.Random(5).random()"),
    "a fixed date": run("datetime(2026, 1, 1).isoformat()", "datetime.fromisoformat('2026-01-01')"),
    "unrestricted code": run("with workflow.unsafe.sandbox_unrestricted():", "    datetime.now()"),
    "a tool in the same module": run("await clock()")
    + "\n@ag.tool(title='T', risk='read', timeout=SECONDS)\nasync def clock() -> str:\n    return str(datetime.now())\n",
    "an activity in the same module": run("await workflow.execute_activity(clock, start_to_close_timeout=SECONDS)")
    + "\nfrom temporalio import activity\n\n@activity.defn\nasync def clock() -> str:\n    return str(datetime.now())\n",
    "a function that no workflow uses": run("pass") + "\ndef clock() -> str:\n    return str(datetime.now())\n",
    "local names": run("time = open = Random = 1", "time.real + open.real", "[random for random in (1, 2)]"),
    "a local function": run("def open() -> int:", "    return 1", "open()"),
    "an argument's name": run(
        "pass", methods="    def of(self, datetime: Any, open: Any) -> Any:\n        return datetime.now(open)\n"
    ),
    "an error that it catches": run("import socket", "try:", "    pass", "except socket.timeout:", "    pass"),
    "other functions of an HTTP library": run("import httpx", "httpx.URL('https://example.org').host"),
    "a type": run("import threading", "x: threading.Thread | None = None"),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_deterministic_code_is_not_a_fault(project: Project, name: str) -> None:
    project(flow=ALLOWED[name]).check()


def starting(name: str, child: str, before: str = "") -> str:
    return run(f"await workflow.execute_child_workflow({child}, id='x')  # starts", before=before).replace(
        "class W", f"class {name}"
    )


def test_a_cycle_of_child_runs_is_a_fault_where_it_closes(project: Project) -> None:
    grid = project(
        one="\nfrom . import two\n" + starting("One", "two.Two.run"),
        two=starting("Two", "Three.run", before="from .three import Three"),
        three=run("from .one import One", "await workflow.start_child_workflow(One.run)").replace(
            "class W", "class Three"
        ),
        alone=starting("Alone", "Alone.run"),
    )
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    messages = {Path(fault.file).stem: fault.message.split(": ", 1)[1].split(",")[0] for fault in caught.value.faults}
    assert messages.pop("alone") == "Alone starts Alone"
    (message,) = messages.values()
    assert sorted(set(message.split(" starts "))) == ["One", "Three", "Two"]


def test_a_child_without_children_or_named_by_a_string_is_not_a_cycle(project: Project) -> None:
    project(
        one=starting("One", "Two.run", before="from .two import Two"),
        two=starting("Two", "'one'"),
    ).check()


def test_a_reexported_name_is_checked_where_it_is_defined(project: Project) -> None:
    grid = project(
        __init__="\nfrom .clocks import late\nfrom .clocks import now as at\n",
        clocks="\nnow = datetime.now\n\ndef late() -> object:\n    return datetime.now()\n",
        flow="\nfrom . import late\n" + run("late()"),
    )
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    assert [Path(fault.file).name for fault in caught.value.faults] == ["clocks.py"]


TOOL = """
@ag.tool(title='T', risk='read', timeout=SECONDS)
async def looked() -> str:
    return ''

async def helper() -> str:
    return await looked()  # helper
"""


def acting(*lines: str, decorator: str = "ag.tool(title='A', risk='read', timeout=SECONDS)", before: str = "") -> str:
    """A module with one activity that consists of these lines."""
    body = "\n".join(f"    {line}" for line in lines)
    return f"\nfrom temporalio import activity\n{before}\n@{decorator}\nasync def acts() -> None:\n{body}\n"


ACTING = {
    "a tool in a tool": (acting("await looked()  # here", before="from .tools import looked"), "looked is a tool"),
    "under another name": (
        acting("await seen()  # here", before="from .tools import looked as seen"),
        "looked is a tool",
    ),
    "in an activity": (
        acting("await tools.looked()  # here", before="from . import tools", decorator="activity.defn"),
        "looked is a tool",
    ),
    "by a helper of another module": (
        acting("await tools.helper()", before="from . import tools"),
        "looked is a tool",
    ),
    "a sleep": (acting("import time", "time.sleep(1)  # here"), "time.sleep blocks the whole worker"),
    "a request": (acting("requests.get('x')  # here", before="import requests"), "requests.get blocks"),
    "a file": (acting("with open('x') as file:  # here", "    file.read()"), "open blocks the whole worker"),
    "a path's file": (
        acting("Path('x').read_text()  # here", before="from pathlib import Path"),
        "pathlib.Path.read_text blocks",
    ),
    "the file of a path in a variable": (
        acting("file = Path('x')", "file.write_text('y')  # here", before="from pathlib import Path"),
        "pathlib.Path.write_text blocks",
    ),
    "a client in a variable": (
        acting("with httpx.Client() as client:", "    client.get('x')  # here", before="import httpx"),
        "httpx.Client.get blocks",
    ),
    "a socket": (
        acting("socket.create_connection(('x', 1))  # here", before="import socket"),
        "socket.create_connection blocks",
    ),
    "a socket's method": (
        acting("socket.socket().connect(('x', 1))  # here", before="import socket"),
        "socket.socket.connect blocks",
    ),
    "a process": (acting("subprocess.run(['x'])  # here", before="import subprocess"), "subprocess.run blocks"),
    "a response in a chain of calls": (
        acting("requests.get('x').json()  # here", before="import requests"),
        "requests.get blocks",
    ),
    "a session": (
        acting("requests.Session().get('x')  # here", before="import requests"),
        "requests.Session.get blocks",
    ),
    "a download": (
        acting("urlopen('x')  # here", before="from urllib.request import urlopen"),
        "urllib.request.urlopen blocks",
    ),
}


@pytest.mark.parametrize("name", ACTING)
def test_a_forbidden_call_in_an_activity_is_a_fault_at_its_line(project: Project, name: str) -> None:
    source, what = ACTING[name]
    with pytest.raises(RegistrationErrors) as caught:
        project(tools=TOOL, acting=source).check()
    (fault,) = caught.value.faults
    assert what in fault.message
    line = Path(fault.file).read_text().splitlines()[fault.line - 1]
    assert line.endswith(("# here", "# helper"))


INNOCENT = {
    "an asynchronous client": acting(
        "async with httpx.AsyncClient() as client:", "    await client.get('x')", before="import httpx"
    ),
    "a file in a thread": acting(
        "await asyncio.to_thread(Path('x').read_text)", before="import asyncio\nfrom pathlib import Path"
    ),
    "another function of that name": acting("open = print", "open('x')"),
    "a tool's plain function": acting("await looked.fn()", before="from .tools import looked"),
    "a shadowed name of a tool": acting("looked = print", "looked()", before="from .tools import looked"),
    "waiting": acting("import asyncio", "await asyncio.sleep(1)"),
    "blocking in a thread": acting(
        "await asyncio.to_thread(time.sleep, 1)",
        "def slow() -> None:",
        "    time.sleep(1)",
        before="import asyncio, time",
    ),
    "a synchronous activity": "\nimport time\nfrom temporalio import activity\n\n@activity.defn\ndef acts() -> None:\n    time.sleep(1)\n",
    "a tool in workflow code": run(
        "await looked()", "await asyncio.gather(looked())", before="import asyncio\nfrom .tools import looked"
    ),
}


@pytest.mark.parametrize("name", INNOCENT)
def test_an_allowed_call_in_an_activity_is_not_a_fault(project: Project, name: str) -> None:
    project(tools=TOOL, acting=INNOCENT[name]).check()


def test_a_tool_call_that_is_not_awaited_in_workflow_code_is_a_fault_at_its_line(project: Project) -> None:
    source = run("looked()  # here", "later = looked()", "await later", before="from .tools import looked")
    (fault,) = faults(project, source)
    assert (
        "the call of the tool looked is never awaited, so it does nothing: write `await looked(...)`" in fault.message
    )
    assert Path(fault.file).read_text().splitlines()[fault.line - 1].endswith("# here")


def faults(project: Project, source: str) -> tuple[RegistrationError, ...]:
    with pytest.raises(RegistrationErrors) as caught:
        project(tools=TOOL, flow=source).check()
    return caught.value.faults


FORGOTTEN = {
    "assigned and never used": ("later = looked()  # here",),
    "assigned and used as the result": ("text = looked()  # here", "text.upper()", "x = len(text)"),
    "assigned and returned": ("text = looked()  # here", "return text"),
    "returned": ("return looked()  # here",),
    "in a condition": ("if looked():  # here", "    return 2"),
    "in a comparison": ("x = looked() == ''  # here",),
    "in a text": ("x = f'{looked()}'  # here",),
    "in a builtin function": ("x = len(looked())  # here",),
    "iterated over": ("x = [y for y in looked()]  # here",),
    "an attribute of it": ("x = looked().upper()  # here",),
    "an approval": ("ag.approval('Pay')  # here",),
    "an approval in a variable": ("who = ag.approval('Pay')  # here", "x = who.principal"),
    "an activity of Temporal's": ("workflow.execute_activity('pay')  # here",),
    "a sleep": ("workflow.sleep(1)  # here",),
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_coroutine_that_is_used_as_a_result_or_dropped_is_a_fault(project: Project, name: str) -> None:
    (fault,) = faults(project, run(*FORGOTTEN[name], before="from .tools import looked"))
    assert "is never awaited" in fault.message
    assert Path(fault.file).read_text().splitlines()[fault.line - 1].endswith("# here")


AWAITED_LATER = {
    "assigned": ("later = looked()", "await later"),
    "gathered": ("await asyncio.gather(looked(), looked())",),
    "gathered from a list": ("calls = [looked() for _ in range(3)]", "await asyncio.gather(*calls)"),
    "assigned and gathered": ("one = looked()", "two = looked()", "await asyncio.gather(one, two)"),
    "a task": ("task = asyncio.create_task(looked())", "await task"),
    "passed to a function that awaits it": ("await self.both(looked())",),
    "by a lambda": ("later = lambda: looked()", "await later()"),
    "by a nested function": ("def later() -> Any:", "    return looked()", "await later()"),
    "started": ("handle = workflow.start_activity('pay')", "await handle"),
}


@pytest.mark.parametrize("name", AWAITED_LATER)
def test_a_coroutine_that_is_awaited_elsewhere_is_not_a_fault(project: Project, name: str) -> None:
    methods = "    async def both(self, call: Any) -> None:\n        await call\n"
    source = run(*AWAITED_LATER[name], before="import asyncio\nfrom .tools import looked", methods=methods)
    project(tools=TOOL, flow=source).check()


TOOL_ERRORS = {
    "through the package": (run("raise ag.ToolError('no such order')  # here"), "ToolError"),
    "by its own name": (
        run("raise ToolError('no')  # here", before="from agentgrid.errors import ToolError"),
        "ToolError",
    ),
    "as a class": (run("raise ag.ToolError  # here"), "ToolError"),
    "a subclass in the project": (
        run("raise Missing('order')  # here", before="class Missing(ag.ToolError):\n    pass\n"),
        "Missing",
    ),
    "in a function that it calls": (
        run("check()", before="def check() -> None:\n    raise ag.ToolError('no')  # here\n"),
        "ToolError",
    ),
}


@pytest.mark.parametrize("name", TOOL_ERRORS)
def test_a_tools_error_in_workflow_code_is_a_fault_at_its_line(project: Project, name: str) -> None:
    source, error = TOOL_ERRORS[name]
    (fault,) = faults(project, source)
    assert f"workflow code can't raise {error}" in fault.message
    assert "ApplicationError" in fault.message
    assert Path(fault.file).read_text().splitlines()[fault.line - 1].endswith("# here")


def test_errors_that_tools_raise_or_workflow_code_may_raise_or_catch_are_not_faults(project: Project) -> None:
    before = "from temporalio.exceptions import ApplicationError\nfrom .tools import looked"
    caught = ("try:", "    await looked()", "except ag.ToolError:", "    raise", "raise ApplicationError('no')")
    project(tools=TOOL, acts=acting("raise ag.ToolError('no')"), flow=run(*caught, before=before)).check()
