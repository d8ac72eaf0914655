"""`agentgrid run`: start, watch and control runs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli import handlers, names
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.groups import make_group
from agentgrid.cli.handlers import RunId
from agentgrid.cli.identifiers import run_id_of
from agentgrid.cli.inputs import moment_of, part, read_json
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.names import note_if_mistyped, suggesting
from agentgrid.cli.output import stdout
from agentgrid.cli.run_view import accepted_message, run_detail, run_table, started_message
from agentgrid.cli.session import (
    CursorOption,
    LimitOption,
    NeedlessYesOption,
    OutputOption,
    ProfileOption,
    ReasonOption,
    YesOption,
    confirm,
    session,
)
from agentgrid.cli.show import show_answer, show_page
from agentgrid.domain.runs import RunStatus, WaitingOn

if TYPE_CHECKING:
    from agentgrid.cli.client import ApiResponse

VERB_NOUNS = {"cancel": "cancellation", "terminate": "termination", "resume": "resumption", "interrupt": "interruption"}
"""The nouns for verbs, in messages about what was sent."""

app = make_group()

WatchOption = Annotated[
    bool, typer.Option("--watch", "-w", help="Watch until the run ends; the exit code shows the outcome.")
]
WaitOption = Annotated[
    bool,
    typer.Option(
        "--wait", help="Wait until the run ends, then print only its result; the exit code shows the outcome."
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="With --wait: the maximum time to wait. Exit code 5 if the run is still open then.",
    ),
]


@app.command()
def start(
    workflow: Annotated[str, typer.Argument(help="The workflow's name.", autocompletion=names.workflows)],
    input_: Annotated[
        str | None, typer.Option("--input", "-i", help="The workflow's input: JSON, @FILE, or - for stdin.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="A business key to find the run by.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    priority: Annotated[int | None, typer.Option(min=1, max=5, help="1 is the highest, 5 the lowest.")] = None,
    start_at: Annotated[
        str | None, typer.Option(help="Do not start before this time, such as 2030-01-31T09:00:00Z.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="A note for people who view the run.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Starting again with the same key and input returns the first run.")
    ] = None,
    watch: WatchOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Start a run of a workflow. With --watch or --wait, exit code 0: completed; 1: any other end; 5: still open."""
    with session(profile, output) as client:
        _check_wait(wait, timeout, watch=watch)
        body: dict[str, Any] = {"input": None if input_ is None else read_json(input_, option="--input")}
        optional = {
            "reference": reference,
            "tags": tag or None,
            "priority": priority,
            "start_at": moment_of(start_at, "--start-at"),
            "note": note,
        }
        body |= {name: value for name, value in optional.items() if value is not None}
        key = idempotency_key or str(uuid.uuid4())
        with suggesting(client, "workflows", workflow):
            answer = client.write(
                "POST",
                f"/workflows/{part(workflow)}/runs",
                body,
                doing=f"the start of {workflow}",
                key=key,
                again=f"It is safe to repeat it with --idempotency-key {key}: the run starts only once.",
            )
        if not (watch or wait):
            _show_started(answer, output, client.target.explicit_profile)
            return
        run_id = answer.json()["run_id"]
        if wait:
            from agentgrid.cli.results import print_result

            raise typer.Exit(print_result(client, run_id, output, wait=True, timeout=timeout))
    _watch(run_id, profile, output)


@app.command("start-many")
def start_many(
    file: Annotated[
        str,
        typer.Argument(
            help='JSON lines, at most 200: {"workflow": ..., "input": ..., "reference": ..., "idempotency_key": ...}; - for stdin.'
        ),
    ],
    idempotency_key: Annotated[
        str | None, typer.Option(help="Starting again with the same key and file returns the first runs.")
    ] = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Start one run per line of a file, each independently. Exit code 0: all started; 1: at least one was refused."""
    with session(profile, output) as client:
        from agentgrid.cli.bulk import start_each

        raise typer.Exit(start_each(client, file, idempotency_key or str(uuid.uuid4()), output))


@app.command("list")
def list_(
    status: Annotated[
        list[RunStatus] | None,
        typer.Option(metavar="STATUS", help="Only this status, such as failed; may be repeated."),
    ] = None,
    workflow: Annotated[str | None, typer.Option(help="Only this workflow.", autocompletion=names.workflows)] = None,
    tool: Annotated[
        str | None, typer.Option(help="Only runs that called this tool.", autocompletion=names.tools)
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only runs with this tag.")] = None,
    reference: Annotated[str | None, typer.Option(help="Only runs with this business key.")] = None,
    initiator: Annotated[str | None, typer.Option(help="Only runs started by this principal.")] = None,
    parent: Annotated[str | None, typer.Option(metavar="RUN", help="Only the child runs of this run.")] = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only runs that wait for a worker, or whose code keeps failing.")
    ] = False,
    waiting_on: Annotated[
        list[WaitingOn] | None,
        typer.Option(metavar="WHAT", help="Only runs that wait on this, such as approval or worker; may be repeated."),
    ] = None,
    started_after: Annotated[
        str | None, typer.Option(help="Only runs started after this: 2030-01-31 (UTC), or 2030-01-31T09:00:00Z.")
    ] = None,
    started_before: Annotated[str | None, typer.Option(help="Only runs started before this date or time.")] = None,
    q: Annotated[
        str | None,
        typer.Option(
            "--search",
            "-q",
            help="Words in the workflow, reference, note, workflow id, subject or approval titles; or the beginning or end of a run id.",
        ),
    ] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List runs, newest first."""
    with session(profile, output) as client:
        answer = client.get(
            "/runs",
            status=status,
            workflow=workflow,
            tool=tool,
            tag=tag,
            reference=reference,
            initiator=initiator,
            started_after=moment_of(started_after, "--started-after"),
            started_before=moment_of(started_before, "--started-before"),
            parent=parent and run_id_of(client, parent),
            stuck=stuck or None,
            waiting_on=waiting_on,
            q=q,
            limit=limit,
            cursor=cursor,
        )
        show_page(answer, output, run_table, empty="no runs")
        if output is OutputFormat.TABLE and not answer.json()["items"]:
            note_if_mistyped(client, "workflows", workflow)
            note_if_mistyped(client, "tools", tool)


@app.command()
def get(run_id: RunId, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show a run's status, steps, result and what it waits for."""
    with session(profile, output) as client:
        run_id = run_id_of(client, run_id)
        answer = client.get(f"/runs/{part(run_id)}")
        if output is OutputFormat.JSON:
            show_answer(answer, output, run_detail)
            return
        steps = client.get(f"/runs/{part(run_id)}/steps", limit=200, payloads=False).json()["items"]
        has_approvals = any(step.get("approval_id") for step in steps)
        step_approvals = (
            client.get(f"/runs/{part(run_id)}/approvals", limit=200).json()["items"] if has_approvals else []
        )
        waiting = answer.json()["approvals"]
        from agentgrid.cli.deciders import deciders_of

        deciders = deciders_of(client.target, run_id, waiting) if waiting else {}
        show_answer(
            answer,
            output,
            lambda run: run_detail(run, steps, step_approvals=step_approvals, deciders=deciders, width=stdout().width),
        )


@app.command()
def watch(run_id: RunId, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Watch a run until it ends. Exit code 0: completed; 1: any other end."""
    _watch(run_id, profile, output)


@app.command()
def result(
    run_id: RunId,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Print a run's result or error. Exit code 0: completed; 1: any other end; 5: still open."""
    with session(profile, output) as client:
        _check_wait(wait, timeout)
        from agentgrid.cli.results import print_result

        raise typer.Exit(print_result(client, run_id_of(client, run_id), output, wait=wait, timeout=timeout))


@app.command()
def logs(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the run ends.")] = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Print what a run's workflow and tools logged, oldest first. With -o json: one document per line."""
    with session(profile, output) as client:
        from agentgrid.cli.run_logs import print_logs

        print_logs(client, run_id_of(client, run_id), follow=follow, output=output)


@app.command()
def cancel(
    run_id: RunId,
    reason: ReasonOption = None,
    _yes: NeedlessYesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Cancel a run; its code may clean up first."""
    _verb("cancel", run_id, {"reason": reason}, profile, output)


@app.command()
def terminate(
    run_id: RunId,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Terminate a run at once, without cleanup."""
    with session(profile, output) as client:
        run_id = run_id_of(client, run_id, doing=f"the termination of run {run_id}")
        confirm(f"Terminate run {run_id!r} at once, without cleanup?", yes=yes)
    _verb("terminate", run_id, {"reason": reason}, profile, output)


@app.command()
def pause(
    run_id: RunId,
    reason: ReasonOption = None,
    _yes: NeedlessYesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Pause a run before its next step. Timers, timeouts and approval expiry keep running."""
    _verb("pause", run_id, {"reason": reason}, profile, output)


@app.command()
def resume(
    run_id: RunId,
    reason: ReasonOption = None,
    _yes: NeedlessYesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Resume a paused run."""
    _verb("resume", run_id, {"reason": reason}, profile, output)


@app.command()
def interrupt(
    run_id: RunId,
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="A message for the agent, delivered when the run is resumed.")
    ] = None,
    reason: ReasonOption = None,
    _yes: NeedlessYesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Stop the current turn of a run's agents and pause the run. Completed calls keep their results; on resume the agents continue.

    Agents in child runs are not interrupted: interrupt those runs by their own ids.
    """
    _verb("interrupt", run_id, {"reason": reason, "message": message}, profile, output)


def _check_wait(wait: bool, timeout: float | None, *, watch: bool = False) -> None:
    if watch and wait:
        raise CommandFailed("use --watch or --wait, not both: each waits for the run to end", ExitCode.USAGE)
    if timeout is not None and not wait:
        raise CommandFailed("--timeout needs --wait", ExitCode.USAGE)


def _verb(verb: str, run_id: str, body: dict[str, Any], profile: str | None, output: OutputFormat) -> None:
    with session(profile, output) as client:
        doing = f"the {VERB_NOUNS.get(verb, verb)} of run {run_id}"
        answer = client.write(
            "POST",
            f"/runs/{part(run_id_of(client, run_id, doing=doing))}/{verb}",
            {name: value for name, value in body.items() if value is not None},
            doing=doing,
        )
        show_answer(answer, output, lambda run: accepted_message(verb, run))


def _show_started(answer: ApiResponse, output: OutputFormat, profile: str | None) -> None:
    replayed = answer.headers.get("idempotent-replayed") == "true"
    show_answer(
        answer, output, lambda run: started_message(run, replayed=replayed, profile=profile, width=stdout().width)
    )


def _watch(run_id: str, profile: str | None, output: OutputFormat) -> None:
    with session(profile, output) as client:
        from agentgrid.cli.run_watch import watch_run

        code = watch_run(client.target, run_id_of(client, run_id), output)
    raise typer.Exit(code)


handlers.add_to(app)
