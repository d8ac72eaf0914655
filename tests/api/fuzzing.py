"""Requests that schemathesis makes of the OpenAPI document, sent over a real socket, and what every answer is held against.

The document is read, not the code: what it promises of statuses, media types and bodies has to hold for whatever is asked, by whomever.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import CoveragePhaseData
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

EXAMPLES = int(os.environ.get("AGENTGRID_FUZZ_EXAMPLES", "1"))
"""Random requests to each operation, of the valid and of the invalid ones: more of them by the environment, for a longer search."""


def reveals_no_internals(_: CheckContext, response: Response, case: Case) -> None:
    """A refusal is a problem with a code, and no answer quotes the program."""
    text = response.text or ""
    assert "Traceback" not in text, text[:500]
    assert "sqlalchemy" not in text, text[:500]
    if response.status_code >= 400:
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["code"] != "internal_error"
        assert problem["detail"]


LONGER = "AGENTGRID_FUZZ_EXAMPLES" in os.environ

WORKED = frozenset({200, 201, 202, 409})
"""An operation that answers so did its work, or found a state that forbids it."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    reveals_no_internals,
]


def _waits(case: Case) -> bool:
    """Whether the server would wait as long as the request allows."""
    wait = (case.query or {}).get("wait")
    if isinstance(wait, bool) or not isinstance(wait, (int, float)):
        return False
    longest = {each["name"]: each["schema"].get("maximum", 0) for each in case.operation.definition.raw["parameters"]}
    return 0 < wait <= longest["wait"]


class Search:
    """Requests to a running API, by any of the principals whose keys it is given."""

    def __init__(
        self, url: str, document: Mapping[str, Any], tokens: Mapping[str | None, str], things: Mapping[str, str]
    ) -> None:
        """things: for each noun of a path, the identifier of one that exists."""
        self.url = url
        self.things = things
        self.sent = 0
        self.statuses: defaultdict[str, set[int]] = defaultdict(set)
        self.failures: list[str] = []
        self._edges: Counter[tuple[Any, ...]] = Counter()
        self._tokens = tokens
        self._schema = schemathesis.openapi.from_dict(dict(document))
        # The key is the principal's, who is what a search is about.
        self._schema.config.generation.with_security_parameters = False
        self._session = requests.Session()
        self._session.trust_env = False

    def operations(self) -> Iterator[APIOperation]:
        """Every operation of the document."""
        for found in self._schema.get_all_operations():
            yield found.ok()

    def edges(self, operation: APIOperation, who: str | None) -> None:
        """Each boundary that the document draws: the last value allowed and the first that isn't, each part left out, other verbs, no key."""
        config = self._schema.config.generation_for(operation=operation)
        modes, looked = list(GenerationMode), False
        for case in self._schema.iter_coverage_cases(operation, generation_modes=modes, generation_config=config):
            if case.meta is None or case.meta.phase.data.parameter_location is not ParameterLocation.PATH:
                self._name_something(case)
            # Each operation is to do its work once, also one that shares all its edges.
            wrong = case.meta is not None and case.meta.generation.mode is GenerationMode.NEGATIVE
            if self._is_known(case) and (wrong or self.statuses[operation.label] & WORKED):
                continue
            # Sending again without a key, and with a wrong one, is dear: once is enough.
            answered = self.send(case, who, extra=[] if looked else [ignored_auth])
            looked = looked or answered < 400

    def _is_known(self, case: Case) -> bool:
        """Whether enough was asked at this edge.

        Most parameters of addresses are those of a dozen operations, declared once. Methods and media types are refused before any operation is
        reached, by the same few lines for all.
        """
        edge = case.meta.phase.data if case.meta else None
        if LONGER or case.meta is None or not isinstance(edge, CoveragePhaseData):
            return False
        place, most = (case.operation.label, edge.parameter), 1
        if edge.parameter_location in (ParameterLocation.QUERY, ParameterLocation.PATH):
            place = ("", edge.parameter)
        elif edge.parameter_location in (ParameterLocation.HEADER, None):
            place, most = ("", edge.parameter), 10
        self._edges[key := (case.meta.generation.mode, edge.parameter_location, place, edge.description)] += 1
        return self._edges[key] > most

    def random(self, operation: APIOperation, everybody: list[str | None]) -> None:
        """A few requests that fit the document, and a few that don't, sent by each; the same ones every time."""
        for mode in GenerationMode:
            settings = hypothesis.settings(
                max_examples=EXAMPLES,
                derandomize=not LONGER,
                database=None,
                deadline=None,
                phases=[hypothesis.Phase.generate],
                suppress_health_check=list(hypothesis.HealthCheck),
            )

            @settings
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
            def ask(case: Case, known: bool) -> None:
                if known and case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
                    self._name_something(case)
                for who in everybody:
                    self.send(case, who)

            try:
                ask()
            except hypothesis.errors.Unsatisfiable:
                # An operation without parameters has no invalid request.
                assert mode is GenerationMode.NEGATIVE

    def send(self, case: Case, who: str | None, *, extra: list[Any] = []) -> int:  # noqa: B006
        """One request, and all checks of its answer. Its status."""
        headers = {} if who is None else {"Authorization": f"Bearer {self._tokens[who]}"}
        if case.path.endswith("/events"):
            headers["Last-Event-ID"] = "x"  # is refused after all else, so that no endless stream begins
        if _waits(case):
            case.query["wait"] = 0  # what is allowed would be waited for, up to a minute each time
        options = {"session": self._session, "headers": headers, "timeout": 30, "allow_redirects": False}
        response = case.call(self.url, **options)
        for _ in range(3):
            if response.status_code == 503:  # a machine that is overrun says so once; what is wrong says so every time
                response = case.call(self.url, **options)
        self.sent += 1
        self.statuses[case.operation.label].add(response.status_code)
        try:
            case.validate_response(
                response,
                checks=CHECKS + extra,
                headers=headers,
                transport_kwargs={**options, "base_url": self.url},
            )
        except (FailureGroup, AssertionError) as failure:
            self.failures.append(f"as {who}: {failure}")
        return int(response.status_code)

    def _name_something(self, case: Case) -> None:
        """Let the request be about a thing that exists, so that it gets further than `404`."""
        parts = case.path.split("/")
        named = {part.strip("{}"): self.things.get(noun) for noun, part in pairwise(parts) if part.startswith("{")}
        case.path_parameters |= {name: thing for name, thing in named.items() if thing is not None}
