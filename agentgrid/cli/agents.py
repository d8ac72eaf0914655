"""`agentgrid agent`: registered agents, their versions and their usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Group
from rich.text import Text

from agentgrid.cli import agent_edit, agent_policies, words
from agentgrid.cli.groups import make_group
from agentgrid.cli.inputs import moment_of, part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.names import AgentName, suggesting
from agentgrid.cli.output import facts, indented
from agentgrid.cli.rules import effect_text
from agentgrid.cli.session import CursorOption, LimitOption, OutputOption, ProfileOption, session, show_list, show_named
from agentgrid.cli.show import show_answer
from agentgrid.cli.switches import switch_facts
from agentgrid.cli.tables import TextTable, fixed, text, time
from agentgrid.cli.text import safe, safe_lines
from agentgrid.cli.usage import money, used

if TYPE_CHECKING:
    from rich.console import RenderableType

app = make_group()
app.command()(agent_edit.edit)
app.command()(agent_policies.policy)
app.command()(agent_policies.disable)
app.command()(agent_policies.enable)


@app.command("list")
def list_(
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the registered agents with the version in use and their last 24 hours."""
    show_list("/agents", _table, empty="no agents", profile=profile, output=output, limit=limit, cursor=cursor)


@app.command()
def show(name: AgentName, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show an agent: the version in use, its tools with the policy on each, and its last 24 hours."""
    show_named("agents", name, _detail, profile=profile, output=output)


@app.command()
def versions(name: AgentName, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """List an agent's versions, newest first."""
    show_named("agents", name, _versions, profile=profile, output=output)


@app.command()
def use(
    name: AgentName,
    version: Annotated[str, typer.Argument(help="A version, such as edit-3, or `code` for the version in the code.")],
    note: Annotated[str | None, typer.Option(help="The reason; stored with the choice and in the audit log.")] = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Use another version for new calls, within seconds. Open calls keep theirs."""
    with session(profile, output) as client:
        with suggesting(client, "agents", name):
            body = {"version": version, **({} if note is None else {"note": note})}
            answer = client.write("POST", f"/agents/{part(name)}/use", body, doing=f"the version of {name}")
        show_answer(answer, output, agent_edit.render_version)


@app.command()
def usage(
    name: AgentName,
    since: Annotated[str | None, typer.Option("--from", help="A date or time. Default: a day before --to.")] = None,
    before: Annotated[str | None, typer.Option("--to", help="A date or time. Default: now.")] = None,
    bucket: Annotated[Literal["hour", "day"], typer.Option(help="The period of each line.")] = "hour",
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show the usage of an agent's model turns in a period."""
    span: dict[str, Any] = {"from": moment_of(since, "--from"), "to": moment_of(before, "--to"), "bucket": bucket}
    show_named("agents", name, _usage, profile=profile, output=output, below="/usage", **span)


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            text("AGENT", least=12),
            text("TITLE", 5, least=16),
            fixed("VERSION"),
            text("MODEL", 3, least=14),
            fixed("STATE", 1),
            fixed("CALLS", 2),
            fixed("SUCCESS", 2),
            fixed("SPEND", 1),
            fixed("P95", 4),
            fixed("SERVED", 6),
        ),
        (
            (
                agent["name"],
                agent["title"],
                agent["version"],
                ", ".join(agent["models"]) or "default",
                words.status(agent["state"]),
                str(sum(_ends(agent))),
                _success(agent),
                money(agent["stats"]["usage"]["usd"], agent["stats"]["usage"]["unpriced"]),
                _seconds(agent["stats"]["calls"]["p95_seconds"]),
                words.yes_no(agent["served"]),
            )
            for agent in items
        ),
    )


def _ends(agent: Mapping[str, Any]) -> tuple[int, int, int]:
    calls = agent["stats"]["calls"]
    return calls["completed"], calls["failed"], calls["cancelled"]


def _success(agent: Mapping[str, Any]) -> str | None:
    completed, failed, _ = _ends(agent)
    return f"{100 * completed // (completed + failed)}%" if completed + failed else None


def _seconds(value: float | None) -> str | None:
    return None if value is None else words.duration(value)


def _summary(agent: Mapping[str, Any]) -> RenderableType:
    active = agent["active"] or {}
    calls, stats = agent["stats"]["calls"], agent["stats"]
    ends = f"{calls['completed']} completed, {calls['failed']} failed, {calls['cancelled']} cancelled"
    problems = [Text(safe(problem), style="yellow") for problem in agent["problems"]]
    if agent["outdated"]:
        problems.insert(
            0, Text(f"outdated: made for the code's version {safe(active.get('made_for'))}", style="yellow")
        )
    return Group(
        Text(safe(agent["title"]), style="bold"),
        indented(
            facts(
                {
                    "agent": agent["name"],
                    "version": f"{agent['version']}, from {'an operator' if agent['source'] == 'operator' else 'the code'}",
                    "chosen by": agent["chosen_by"],
                    "note": active.get("note"),
                    "code's version": agent["code_version"] if agent["source"] == "operator" else None,
                    **(switch_facts(agent["switch"]) or {"state": words.status(agent["state"])}),
                    "models": ", ".join(agent["models"]) or "the worker's default",
                    "budget": budget(active.get("limits") or {}),
                    "open calls": str(stats["open"]),
                    "last 24 hours": ends,
                    "used": used(stats["usage"]),
                    "duration": _durations(calls),
                    "task queue": agent["task_queue"],
                    "served": words.yes_no(agent["served"]),
                }
            )
        ),
        *(indented(problem) for problem in problems),
    )


def _durations(calls: Mapping[str, Any]) -> str | None:
    if calls["p50_seconds"] is None:
        return None
    return f"p50 {_seconds(calls['p50_seconds'])}, p95 {_seconds(calls['p95_seconds'])}"


def budget(limits: Mapping[str, Any]) -> str:
    """The limits of one call as text."""
    parts = [money(limits.get("usd"), 0)]
    for name in ("requests", "tool_calls", "tokens", "seconds"):
        if limits.get(name) is not None:
            parts.append(f"{limits[name]:g} {name.replace('_', ' ')}")
    if limits.get("soft") is not None:
        parts.append(f"approval required at {limits['soft']:.0%}")
    return ", ".join(part for part in parts if part)


def _detail(agent: Mapping[str, Any]) -> RenderableType:
    active = agent["active"]
    parts: list[RenderableType] = [_summary(agent)]
    if active is not None:
        parts += [Text("\nInstructions", style="bold"), indented(Text(safe_lines(active["instructions"])))]
    if agent["tools"]:
        parts += [Text("\nTools", style="bold"), indented(_tools(agent["tools"]))]
    return Group(*parts)


def _tools(tools: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            text("TOOL", least=16),
            fixed("RISK", 1),
            fixed("POLICY"),
            text("APPROVERS", 2),
            text("RULE", 3),
            fixed("IN USE"),
        ),
        (
            (
                tool["name"],
                words.styled(tool["risk"], words.RISK_STYLES) if tool["risk"] else Text(tool["kind"], style="dim"),
                effect_text(tool) if tool["effect"] else None,
                tool["approvers"] if tool["effect"] == "require_approval" else None,
                tool["rule"],
                words.yes_no(tool["allowed"], no_style="yellow"),
            )
            for tool in tools
        ),
    )


def _versions(agent: Mapping[str, Any]) -> RenderableType:
    return TextTable(
        (
            fixed("VERSION"),
            fixed("IN USE"),
            time("CREATED", 1),
            text("BY", 2),
            text("NOTE", 1, least=20),
            fixed("FOR CODE", 3),
        ),
        (
            (
                version["version"],
                "◀" if version["version"] == agent["version"] else "",
                version["created_at"],
                version["created_by"] or version["source"],
                version["note"],
                version["made_for"],
            )
            for version in agent["versions"]
        ),
    )


def _usage(period: Mapping[str, Any]) -> RenderableType:
    rows = TextTable(
        (time("FROM"), fixed("REQUESTS", 1), fixed("INPUT", 1), fixed("OUTPUT", 1), fixed("SPEND")),
        (
            (
                bucket["start"],
                f"{bucket['requests']:,}",
                f"{bucket['input_tokens']:,}",
                f"{bucket['output_tokens']:,}",
                money(bucket["usd"], bucket["unpriced"]),
            )
            for bucket in period["items"]
        ),
    )
    total = used(period["total"])
    return Group(*([rows] if period["items"] else []), Text(total or "no usage in this period", style="bold"))
