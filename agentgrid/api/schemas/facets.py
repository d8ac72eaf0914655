"""Facets: what a list of runs can be narrowed to."""

from __future__ import annotations

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.domain.run_states import RunState


class FacetCount(Out):
    """How many runs have a value."""

    value: str
    count: int


class StateCount(Out):
    """How many runs are in a state."""

    value: RunState
    count: int


class RunFacet(Out):
    """The values of one facet that most runs have."""

    items: list[FacetCount] = Field(description="Those with most runs first; at most 50.")
    more: int = Field(description="How many values more there are.")
    complete: bool = Field(
        description="False if only the first 5,000 matches were counted, for agents 2,000: the counts are then lower bounds."
    )


class StateFacet(Out):
    """Every state, also without a run."""

    items: list[StateCount] = Field(
        description="`stuck` also has runs whose workflow task keeps failing, which are in another state too."
    )
    complete: bool = Field(description="False if more runs match than are counted: the counts are then lower bounds.")


class RunFacets(Out):
    """What a filter can be narrowed to, with how many runs then match. Each facet is counted under all filters but its own."""

    state: StateFacet
    workflow: RunFacet
    initiator: RunFacet
    agent: RunFacet
    tool: RunFacet
    tag: RunFacet
