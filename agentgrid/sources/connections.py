"""The connections of one toolset, shared by the workers that run it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgrid.sources.egress import Egress


class Connections:
    """An egress that is created on first use and closed when the last worker stops.

    allowed: private hosts that may be reached, in addition to those in the workers' settings. A script uses its environment's settings.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._own = tuple(allowed)
        self._workers = 0
        self._allowed: tuple[str, ...] | None = None
        self._made: tuple[asyncio.AbstractEventLoop, Egress] | None = None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The private hosts that may be reached."""
        if self._allowed is not None:
            return (*self._own, *self._allowed)
        from agentgrid.settings import Settings

        return (*self._own, *Settings.load().allowed_hosts)

    def start(self, allowed: Sequence[str]) -> None:
        """Count a worker in. Its settings allow these hosts."""
        self._workers += 1
        self._allowed = tuple(allowed)

    async def stop(self) -> None:
        """Count a worker out."""
        self._workers -= 1
        if self._workers <= 0 and self._made is not None:
            made, self._made = self._made, None
            await made[1].aclose()

    def egress(self) -> Egress:
        """The egress for the running event loop."""
        loop = asyncio.get_running_loop()
        if self._made is None or self._made[0] is not loop:
            # Imported here because workflow code imports the modules that declare toolsets.
            from agentgrid.sources.egress import Egress

            self._made = (loop, Egress(self.allowed))
        return self._made[1]
