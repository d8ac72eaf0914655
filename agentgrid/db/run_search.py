"""Searching runs by words: the table `run_search`, which a trigger keeps, and the conditions that its indexes answer.

`words` is what a run can be found by, in lower case: its workflow, reference and note, and its workflow id where that isn't the run id. It is
indexed by its trigrams, so words are found at any place. A run id is found by its beginning or its end: its thirty-odd trigrams,
random ones, would cost more to keep than all the rest of a run's indexes.

A run's subject and the titles of its open approvals quote payloads, so they are not among the words, and find runs for callers who may read them.
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
    """The words as a pattern takes them literally: `%`, `_` and the backslash as they are."""
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def matches(run: Any, q: str, *, titles: bool = False) -> Any:
    """This run, or each of a few, is found by `q`. titles: look at its subject and the titles of its open approvals too."""
    words = func.agentgrid_words(run.run_id, run.workflow_id, run.workflow, run.reference, run.note)
    ways = [words.like(_anywhere(q)), run.run_id.like(_first(q)), func.reverse(run.run_id).like(_first(q[::-1]))]
    if titles:
        asks = exists(select(A.run_id).where(A.run_id == run.run_id, *_OPEN, func.lower(A.asked).like(_anywhere(q))))
        ways += [func.lower(run.subject).like(_anywhere(q)), run.asked.is_not(None) & asks]
    return or_(*ways)


def found(q: str, *, titles: bool = False) -> Any:
    """The ids of all runs that are found by `q`, some of them perhaps twice. titles: as in `matches`."""
    # Apart, because together with another way the grams of each row would be made again, to see which way had led to it.
    ways = [
        select(W.run_id).where(*_holds(W.words, q)),
        select(W.run_id).where(W.run_id.like(_first(q))),
        select(W.run_id).where(func.reverse(W.run_id).like(_first(q[::-1]))),
    ]
    if titles:
        ways.append(select(W.run_id).where(W.subject.is_not(None), *_holds(func.lower(W.subject), q)))
        ways.append(select(A.run_id).where(*asking(A, q), *_OPEN))
    return union_all(*ways)


def asking(approval: Any, q: str) -> list[Any]:
    """It is one of the approvals, not inherited ones, with these words in what they ask: by index."""
    return [~approval.inherited, approval.asked.is_not(None), *_holds(func.lower(approval.asked), q)]


def _holds(words: Any, q: str) -> tuple[Any, Any]:
    """The words hold `q`: its trigrams, by which an index finds them, and itself."""
    grams = func.agentgrid_grams(words).bool_op("@@")(func.agentgrid_wanted(func.lower(literal(q))))
    return grams, words.like(_anywhere(q))


def _anywhere(words: str) -> Any:
    return func.lower(literal(f"%{like(words)}%"))


def _first(words: str) -> Any:
    return func.lower(literal(f"{like(words)}%"))
