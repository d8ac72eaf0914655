"""Workflows for the fault tests: an errand with everything that can be interrupted, a quick look, and one that always fails."""

from __future__ import annotations

from datetime import timedelta

from fault_tools import enter, look, note, remove
from pydantic import BaseModel
from temporalio import workflow

import agentgrid as ag


class Errand(BaseModel):
    """The parts of an errand."""

    ask: bool = False
    remove: bool = False
    parcel: bool = False
    seconds: float = 0.0
    """How long it sleeps."""
    effort: float = 0.0
    """How long its first and last effect take before they happen, and again afterwards."""
    hold: str | None = None
    """Where the first attempt of its first call hangs."""
    hold_note: str | None = None
    expires_seconds: float = 3600.0
    padding: str = ""
    """Makes the input large."""


@ag.workflow(title="Run an errand")
class RunErrand:
    """Effects of each kind, an approval, a timer and a child, as the errand says. Returns its effects."""

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
    """One read, without waiting."""

    @workflow.run
    async def run(self, number: int) -> int:
        return await look(number)


@ag.workflow(title="Poison")
class Poison:
    """Waits for a number of signals, then fails every workflow task."""

    def __init__(self) -> None:
        self._count = 0

    @workflow.run
    async def run(self, signals: int) -> None:
        await workflow.wait_condition(lambda: self._count >= signals)
        raise RuntimeError("poison")

    @workflow.signal
    def drip(self, number: int) -> None:
        self._count += 1
