"""Searching runs by words: the table `run_search`, which a trigger keeps, and the conditions that its indexes answer.

`words` is what a run can be found by, in lower case: its workflow, reference and note, and its workflow id where that isn't the run id. It is
indexed by its trigrams, so words are found at any place. A run id is found by its beginning or its end: its thirty-odd trigrams,
random ones, would cost more to keep than all the rest of a run's indexes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, literal, or_, select, union_all

from agentgrid.db.tables import RunSearch

W: Any = RunSearch


def like(words: str) -> str:
    """The words as a pattern takes them literally: `%`, `_` and the backslash as they are."""
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def matches(run: Any, q: str) -> Any:
    """This run, or each of a few, is found by `q`."""
    words = func.agentgrid_words(run.run_id, run.workflow_id, run.workflow, run.reference, run.note)
    return or_(words.like(_anywhere(q)), run.run_id.like(_first(q)), func.reverse(run.run_id).like(_first(q[::-1])))


def found(q: str) -> Any:
    """The ids of all runs that are found by `q`, some of them perhaps twice."""
    grams = func.agentgrid_grams(W.words).bool_op("@@")(func.agentgrid_wanted(func.lower(literal(q))))
    # Apart, because together with another way the grams of each row would be made again, to see which way had led to it.
    return union_all(
        select(W.run_id).where(grams, W.words.like(_anywhere(q))),
        select(W.run_id).where(W.run_id.like(_first(q))),
        select(W.run_id).where(func.reverse(W.run_id).like(_first(q[::-1]))),
    )


def _anywhere(words: str) -> Any:
    return func.lower(literal(f"%{like(words)}%"))


def _first(words: str) -> Any:
    return func.lower(literal(f"{like(words)}%"))
