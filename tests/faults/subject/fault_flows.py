"""Workflows for the fault tests: an errand with whatever can be interrupted in it, a quick look, and poison."""

from __future__ import annotations

from datetime import timedelta

from fault_tools import enter, look, note, remove
from pydantic import BaseModel
from temporalio import workflow

import agentgrid as ag


class Errand(BaseModel):
    """What is to be done on the way."""

    ask: bool = False
    remove: bool = False
    parcel: bool = False
    seconds: float = 0.0
    """How long it rests on the way."""
    effort: float = 0.0
    """How long its first and last effect take before they land, and again after that."""
    hold: str | None = None
    """Where the first attempt of its first call holds still."""
    hold_note: str | None = None
    expires_seconds: float = 3600.0
    padding: str = ""
    """Makes the input long."""


@ag.workflow(title="Run an errand")
class RunErrand:
    """Effects of each kind, an approval, a timer and a child, as far as they are asked for. Returns the effects that it knows of."""

    @workflow.run
    async def run(self, errand: Errand) -> list[str]:
        done = [await enter("first", errand.hold, errand.effort)]
        if errand.ask:
            await ag.approval("Go on", show=errand, expires=timedelta(seconds=errand.expires_seconds))
        done.append(await note("noted", errand.hold_note))
        if errand.remove:
            done.append(await remove("removed"))
        if errand.seconds:
            await workflow.sleep(errand.seconds)
        if errand.parcel:
            done.append(await workflow.execute_child_workflow(CarryParcel.run, "parcel"))
        done.append(await enter("last", effort=errand.effort))
        return done


@ag.workflow(title="Carry a parcel")
class CarryParcel:
    """One effect."""

    @workflow.run
    async def run(self, step: str) -> str:
        return await enter(step)


@ag.workflow(title="Look quickly")
class LookQuickly:
    """One read, nothing that waits."""

    @workflow.run
    async def run(self, number: int) -> int:
        return await look(number)


@ag.workflow(title="Poison")
class Poison:
    """Takes so many signals, then fails its workflow task at every attempt."""

    def __init__(self) -> None:
        self._seen = 0

    @workflow.run
    async def run(self, signals: int) -> None:
        await workflow.wait_condition(lambda: self._seen >= signals)
        raise RuntimeError("poison")

    @workflow.signal
    def drip(self, number: int) -> None:
        self._seen += 1
