"""Facets: values by which a list of runs can be filtered."""

from __future__ import annotations

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.domain.run_states import RunState


class FacetCount(Out):
    """The number of runs with one value."""

    value: str
    count: int


class StateCount(Out):
    """The number of runs in one state."""

    value: RunState
    count: int


class RunFacet(Out):
    """The most frequent values of one facet."""

    items: list[FacetCount] = Field(description="Highest count first; at most 50.")
    more: int = Field(description="How many more values there are.")
    complete: bool = Field(
        description="False if only the first 5,000 matches (2,000 for agents) were counted; the counts are then lower bounds."
    )


class StateFacet(Out):
    """Every state, including those without a run."""

    items: list[StateCount] = Field(
        description="`stuck` also counts runs whose workflow task keeps failing; these are counted under another state too."
    )
    complete: bool = Field(description="False if more runs match than are counted; the counts are then lower bounds.")


class RunFacets(Out):
    """Values that narrow a filter further, with the number of runs that would match. Each facet is counted under all filters except its own."""

    state: StateFacet
    workflow: RunFacet
    initiator: RunFacet
    agent: RunFacet
    tool: RunFacet
    tag: RunFacet
