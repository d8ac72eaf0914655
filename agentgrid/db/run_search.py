"""Text search for runs: the table `run_search`, which a trigger maintains, and the conditions that its indexes support.

`words` is a run's searchable text in lower case: its workflow, reference and note, and its workflow id if that differs from the run id. A trigram
index supports substring search. Run ids are only searched by prefix or suffix: their thirty-odd random trigrams would cost more to maintain
than all of a run's other indexes together.

A run's subject and the titles of its open approvals quote payloads, so they are not part of `words`; only callers who may read payloads can search
them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, func, literal, or_, select, union_all

from agentgrid.db.tables import Approval, RunSearch
from agentgrid.domain.approval_status import ApprovalStatus

A: Any = Approval
W: Any = RunSearch


_OPEN = (A.status == ApprovalStatus.PENDING.value, ~A.inherited)


def like(words: str) -> str:
    """Escape the words for a LIKE pattern: `%`, `_` and the backslash match literally."""
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def matches(run: Any, q: str, *, titles: bool = False) -> Any:
    """A condition that evaluates `q` for each run, for one or a few runs. titles: also search the subject and the titles of open approvals."""
    words = func.agentgrid_words(run.run_id, run.workflow_id, run.workflow, run.reference, run.note)
    clauses = [words.like(_anywhere(q)), run.run_id.like(_prefix(q)), func.reverse(run.run_id).like(_prefix(q[::-1]))]
    if titles:
        asks = exists(select(A.run_id).where(A.run_id == run.run_id, *_OPEN, func.lower(A.asked).like(_anywhere(q))))
        clauses += [func.lower(run.subject).like(_anywhere(q)), run.asked.is_not(None) & asks]
    return or_(*clauses)


def matching_ids(q: str, *, titles: bool = False) -> Any:
    """A query for the ids of all runs that match `q`, with possible duplicates. titles: as in `matches`."""
    # Separate queries: in an OR, the trigrams of each row would be computed again to recheck the condition.
    queries = [
        select(W.run_id).where(*_contains(W.words, q)),
        select(W.run_id).where(W.run_id.like(_prefix(q))),
        select(W.run_id).where(func.reverse(W.run_id).like(_prefix(q[::-1]))),
    ]
    if titles:
        queries.append(select(W.run_id).where(W.subject.is_not(None), *_contains(func.lower(W.subject), q)))
        queries.append(select(A.run_id).where(*asking(A, q), *_OPEN))
    return union_all(*queries)


def asking(approval: Any, q: str) -> list[Any]:
    """Conditions, supported by an index, for approvals that are not inherited and whose question contains `q`."""
    return [~approval.inherited, approval.asked.is_not(None), *_contains(func.lower(approval.asked), q)]


def _contains(words: Any, q: str) -> tuple[Any, Any]:
    """The words contain `q`: its trigrams, for the index, and the text itself."""
    grams = func.agentgrid_grams(words).bool_op("@@")(func.agentgrid_wanted(func.lower(literal(q))))
    return grams, words.like(_anywhere(q))


def _anywhere(words: str) -> Any:
    return func.lower(literal(f"%{like(words)}%"))


def _prefix(words: str) -> Any:
    return func.lower(literal(f"{like(words)}%"))
