"""The command `agentgrid dev`: options, signals, the panel with all addresses."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.program import command, program, shown_path
from agentgrid.cli.project import Project, home, load_project
from agentgrid.cli.text import safe
from agentgrid.dev.links import SignInLink, link_recipients, sign_in_links
from agentgrid.dev.models import model_line, model_variables
from agentgrid.dev.ready import ReadyFile
from agentgrid.dev.reload import code_changes
from agentgrid.dev.stack import Options, Stack
from agentgrid.dev.terminal import Terminal
from agentgrid.domain.principals import Permission

MAX_APPROVERS_SHOWN = 3
"""How many approvers the panel names; profiles.toml has all."""


def run_dev(options: Options, *, verbose: bool) -> ExitCode:
    """Run everything until Ctrl-C, SIGTERM or SIGHUP."""
    project = load_project()
    _silence_server_logs()
    return asyncio.run(_run(project, home(), options, Terminal(verbose=verbose)))


async def _run(project: Project, folder: Path, options: Options, terminal: Terminal) -> ExitCode:
    stack = Stack(project, folder, options, terminal)
    work = asyncio.create_task(_until_cancelled(stack, options, terminal))
    stop_requests = 0

    def stop() -> None:
        nonlocal stop_requests
        stop_requests += 1
        if stop_requests == 1:
            terminal.say("stopping; press Ctrl-C again to stop immediately")
            work.cancel()
        else:
            stack.kill()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        terminal.say("stopped; state is kept")
        return ExitCode.OK
    except (OSError, asyncpg.PostgresError) as error:
        raise CommandFailed(f"{type(error).__name__}: {error}", ExitCode.UNAVAILABLE) from error
    return ExitCode.OK


async def _until_cancelled(stack: Stack, options: Options, terminal: Terminal) -> None:
    ready_file = ReadyFile(options.ready_file)
    ready_file.clear()
    async with stack.up():
        try:
            await _serve(stack, options, terminal, ready_file)
        finally:
            # Removed before anything is stopped.
            ready_file.remove()


async def _serve(stack: Stack, options: Options, terminal: Terminal, ready_file: ReadyFile) -> None:
    ready = True
    if options.only_servers:
        ready_file.write(_ready_facts(stack))
        terminal.console.print(_servers_panel(stack))
    else:
        ready = await stack.ready()
        if ready:
            ready_file.write(_ready_facts(stack))
        elif not stack.faults:
            terminal.say("the worker has not registered its workflows yet; see its log", style="yellow")
        links = await sign_in_links(stack.places.api_url, stack.home, link_recipients(stack.project.principals))
        terminal.console.print(_panel(stack))
        for label, line in _link_lines(links):
            terminal.console.print(Text(f"{label}\n  ", style="dim").append(line, style="bold cyan"), soft_wrap=True)
        for label, line in _commands(stack):
            # Outside the panel: commands wrapped to fit into it can't be copied.
            terminal.console.print(Text(f"{label}\n  ", style="dim").append(line, style="bold green"), soft_wrap=True)
    if options.reload and not options.only_servers:
        async for files in code_changes(stack.project.root):
            await stack.code_changed(files)
            if not ready and not stack.faults and (ready := await stack.ready()):
                ready_file.write(_ready_facts(stack))
    await asyncio.Event().wait()


def _ready_facts(stack: Stack) -> dict[str, str | None]:
    """What scripts need to know; None for what isn't running."""
    places, folder = stack.places, stack.home
    running = bool(stack.children)
    return {
        "api_url": f"{places.api_url}/api/v1" if running else None,
        "api_document_url": f"{places.api_url}/api/openapi.json" if running else None,
        "temporal_address": places.temporal_address,
        "home": str(folder),
        "env_file": str(folder / "env"),
        "operator_key_file": str(folder / "keys" / "operator.key"),
        "reviewer_key_file": str(folder / "keys" / "reviewer.key"),
    }


def _panel(stack: Stack) -> Panel:
    places = stack.places
    facts = _facts()
    facts.add_row("API", Text(f"{places.api_url}/api/v1", style="cyan"))
    facts.add_row("API document", Text(f"{places.api_url}/api/openapi.json", style="cyan"))
    facts.add_row("Temporal", f"{places.temporal_address}, without its UI (see the operator's guide)")
    facts.add_row("State, logs", shown_path(stack.home))
    approvers = _approvers(stack)
    to_approve = f"; to approve, use --profile {' or '.join(approvers[:MAX_APPROVERS_SHOWN])}" if approvers else ""
    facts.add_row("You are", Text(f"operator on the command line{to_approve}"))
    if sum(principal.may(Permission.ADMINISTER) for principal in stack.project.principals) == 1:
        facts.add_row(
            "", "the only administrator: relaxing a rule needs no confirmation, and the audit log records that"
        )
    facts.add_row("", Text("Ctrl-C stops everything; state is kept", style="dim"))
    return Panel(facts, title="AgentGrid is ready", title_align="left", border_style="green", expand=False)


def _approvers(stack: Stack) -> list[str]:
    """The project's principals who may decide approvals."""
    return [principal.name for principal in stack.project.principals if principal.may(Permission.DECIDE)]


def _servers_panel(stack: Stack) -> Panel:
    facts = _facts()
    facts.add_row("Temporal", stack.places.temporal_address)
    facts.add_row("PostgreSQL", Text(f"address and password are in {shown_path(stack.home)}/env"))
    facts.add_row("Settings", Text(f". {shown_path(stack.home)}/env", style="bold green"))
    facts.add_row("Then", Text(f"{program()} api, {program()} projector", style="bold green"))
    return Panel(facts, title="The servers are ready", title_align="left", border_style="green", expand=False)


def _link_lines(links: Sequence[SignInLink]) -> Iterator[tuple[str, str]]:
    """The sign-in links, on lines of their own so that they can be copied, as with commands."""
    for link in links:
        yield f"The console, as {link.name} (works once, for 10 minutes):", safe(link.url)
    if links:
        yield "For another link to the console:", safe(command("console", "--open"))


def _commands(stack: Stack) -> Iterator[tuple[str, str]]:
    """Commands to try now, ready to copy into another terminal in this folder."""
    example = stack.example
    if example is not None:
        words = ["run", "start", example.workflow]
        if example.input is not None:
            words += ["--input", json.dumps(example.input, ensure_ascii=False)]
        yield "Start a run and watch it:", safe(command(*words, "--watch"))
    for approver in _approvers(stack)[:1]:
        yield "List pending approvals:", safe(command("approval", "list", "--profile", approver))
    if stack.agents:
        what, line = model_line({**stack.project.environment, **model_variables()})
        yield safe(what), safe(line)
    key = shlex.quote(f"{shown_path(stack.home)}/keys/operator.key")
    yield (
        "The same over HTTP:",
        safe(f'curl -H "Authorization: Bearer $(cat {key})" {stack.places.api_url}/api/v1/approvals'),
    )


def _facts() -> Table:
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    return facts


def _silence_server_logs() -> None:
    """Hide the servers' structlog lines, which are reported differently here."""
    import logging

    import structlog

    from agentgrid.logging import terminal_processors

    structlog.configure(
        processors=terminal_processors(), wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
