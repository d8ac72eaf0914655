"""Kill switches, shared by the commands of tools, workflows and agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agentgrid.cli import words
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.names import suggesting
from agentgrid.cli.show import show_answer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from agentgrid.cli.client import ApiClient


def put_switch(
    client: ApiClient,
    noun: str,
    name: str,
    verb: str,
    reason: str | None,
    output: OutputFormat,
    show: Callable[[Mapping[str, Any]], RenderableType],
) -> None:
    """Disable or enable a tool, a workflow or an agent, then show it."""
    body = {} if reason is None else {"reason": reason}
    with suggesting(client, f"{noun}s", name):
        answer = client.write("POST", f"/{noun}s/{part(name)}/{verb}", body, doing=f"the kill switch of {name}")
    show_answer(answer, output, show)


def switch_facts(switch: Mapping[str, Any]) -> dict[str, Any]:
    """Why, by whom and when a kill switch was turned on. Empty if it is off."""
    if not switch["disabled"]:
        return {}
    return {
        "kill switch": words.status("disabled"),
        "disabled because": switch["reason"] or None,
        "disabled by": switch["created_by"],
        "disabled at": words.absolute(switch["created_at"]),
    }


def unless_disabled(switch: Mapping[str, Any], text: Text) -> Text:
    """The text, or `disabled` if the kill switch is on."""
    return words.status("disabled") if switch["disabled"] else text
