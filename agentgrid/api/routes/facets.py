"""Facets of the list of runs."""

from __future__ import annotations

from agentgrid.api.access import V1
from agentgrid.api.deps import CurrentPrincipal, Session
from agentgrid.api.routing import make_router
from agentgrid.api.run_filter import RunFilters
from agentgrid.api.schemas.facets import FacetCount, RunFacet, RunFacets, StateCount, StateFacet
from agentgrid.db import run_facets
from agentgrid.domain.run_states import RunState

router = make_router(tags=["runs"], prefix=f"{V1}/runs")


@router.get("/facets", summary="Facets of the list of runs: values to filter by, with counts")
async def facets_of_runs(session: Session, principal: CurrentPrincipal, filters: RunFilters) -> RunFacets:
    """Takes the filters of the list. Each facet is counted under all filters except its own."""
    facets = await run_facets.of(session, filters=filters, scope=principal.workflows)
    return RunFacets(
        state=StateFacet(
            items=[StateCount(value=RunState(value), count=count) for value, count in facets.state.counts.items()],
            complete=facets.state.complete,
        ),
        workflow=_facet(facets.workflow),
        initiator=_facet(facets.initiator),
        agent=_facet(facets.agent),
        tool=_facet(facets.tool),
        tag=_facet(facets.tag),
    )


def _facet(facet: run_facets.Facet) -> RunFacet:
    items = [FacetCount(value=value, count=count) for value, count in facet.counts.items()]
    return RunFacet(items=items, more=facet.more, complete=facet.complete)
