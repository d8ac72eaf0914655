"""Facets of the list of runs."""

from __future__ import annotations

from agentgrid.api.access import V1
from agentgrid.api.deps import Session, Who
from agentgrid.api.routing import make_router
from agentgrid.api.run_filter import Wanted
from agentgrid.api.schemas.facets import FacetCount, RunFacet, RunFacets, StateCount, StateFacet
from agentgrid.db import run_facets
from agentgrid.domain.run_states import RunState

router = make_router(tags=["runs"], prefix=f"{V1}/runs")


@router.get("/facets", summary="What the list of runs can be narrowed to, with counts")
async def facets_of_runs(session: Session, principal: Who, wanted: Wanted) -> RunFacets:
    """Takes the filters of the list; each facet is counted under all of them but its own."""
    found = await run_facets.of(session, wanted=wanted, scope=principal.workflows)
    return RunFacets(
        state=StateFacet(
            items=[StateCount(value=RunState(value), count=count) for value, count in found.state.counts.items()],
            complete=found.state.complete,
        ),
        workflow=_facet(found.workflow),
        initiator=_facet(found.initiator),
        agent=_facet(found.agent),
        tool=_facet(found.tool),
        tag=_facet(found.tag),
    )


def _facet(found: run_facets.Facet) -> RunFacet:
    items = [FacetCount(value=value, count=count) for value, count in found.counts.items()]
    return RunFacet(items=items, more=found.more, complete=found.complete)
