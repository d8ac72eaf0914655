"""Text search for runs: substrings of words, prefixes and suffixes of ids; the index follows changes to runs."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, text, update

from agentgrid.db.run_filter import RunFilter
from agentgrid.db.runs import newest
from agentgrid.db.session import make_engine, reading, writing
from agentgrid.db.tables import Run, RunSearch
from agentgrid.domain.scopes import EVERY_WORKFLOW
from tests.api import factories
from tests.db.ways import collect_only, scan_only


@pytest.fixture(params=["scanned", "by index"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "scanned":
        scan_only(monkeypatch, 100)
    else:
        collect_only(monkeypatch)


@pytest.fixture
async def engine(postgres_dsn: str):
    engine = make_engine(postgres_dsn, pool_size=2)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="module")
async def filled(module_postgres_dsn: str):
    """An engine for a database that contains RUNS and is only read."""
    engine = make_engine(module_postgres_dsn, pool_size=2)
    await factories.insert(engine, *(factories.run(run_id=run_id, **values) for run_id, values in RUNS.items()))
    yield engine
    await engine.dispose()


async def search(engine, q: str) -> set[str]:
    async with reading(engine) as session:
        return {run.run_id for run in await newest(session, wanted=RunFilter(q=q), scope=EVERY_WORKFLOW, limit=100)}


RUNS = {
    "01a1cd87-1502-7c25-93ff-d8849ed81064": {"workflow": "support_triage", "reference": "ORD-0463046"},
    "01a1cd87-1502-7c25-93ff-d8849ed81065": {"workflow": "nightly", "note": "Call the Bank, it's urgent\\now"},
    "01a1cd88-1502-7c25-93ff-d8849ed81066": {"workflow": "nightly", "reference": "100%_sure", "note": "ÄRGER über ß"},
    "5e0c64f7-8b4e-4b3a-9d6e-222222222222": {
        "workflow": "Orders",
        "workflow_id": "orders/2026/Z9",
        "trigger": "external",
    },
}
FIRST, SECOND, THIRD, FOURTH = RUNS


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("0463046", {FIRST}),
        ("ord-0463046", {FIRST}),
        ("046", {FIRST}),
        ("RIAG", {FIRST}),
        ("nightly", {SECOND, THIRD}),
        ("the bank", {SECOND}),
        ("it's", {SECOND}),
        ("'", {SECOND}),
        ("\\now", {SECOND}),
        ("\\", {SECOND}),
        ("0%_s", {THIRD}),
        ("%", {THIRD}),
        ("%_", {THIRD}),
        ("_", {FIRST, THIRD}),
        ("ärger", {THIRD}),
        ("ß", {THIRD}),
        ("re", {THIRD}),
        ("z9", {FOURTH}),
        ("9", {FOURTH}),
        ("orders/2026", {FOURTH}),
        ("ord", {FIRST, FOURTH}),
        (FIRST, {FIRST}),
        (FIRST.upper(), {FIRST}),
        ("01a1cd87", {FIRST, SECOND}),
        ("81065", {SECOND}),
        ("nothing of the kind", set()),
        ("the urgent", set()),
        ("support_triage ord", set()),
        ("5-93ff", set()),
    ],
)
async def test_words_match_anywhere_and_ids_by_prefix_or_suffix(filled, q: str, expected: set[str]):
    assert await search(filled, q) == expected


async def test_the_index_follows_updates_and_deletes_of_a_run(engine, monkeypatch: pytest.MonkeyPatch):
    collect_only(monkeypatch)
    run = factories.run(reference="first-name")
    await factories.insert(engine, run)
    async with writing(engine) as session:
        await session.execute(update(Run).where(Run.run_id == run.run_id).values(reference="second-name"))
    assert await search(engine, "first-name") == set()
    assert await search(engine, "second-name") == {run.run_id}
    async with writing(engine) as session:
        await session.execute(delete(Run).where(Run.run_id == run.run_id))
    assert await search(engine, "second-name") == set()
    async with reading(engine) as session:
        assert (await session.execute(select(RunSearch))).first() is None


async def test_an_update_of_unsearched_columns_does_not_write_to_the_index(engine):
    run = factories.run()
    await factories.insert(engine, run)
    async with reading(engine) as session:
        before = (await session.execute(text("SELECT xmin::text FROM run_search"))).scalar_one()
    async with writing(engine) as session:
        await session.execute(update(Run).where(Run.run_id == run.run_id).values(status="completed", workflow="made"))
    async with reading(engine) as session:
        assert (await session.execute(text("SELECT xmin::text FROM run_search"))).scalar_one() == before
