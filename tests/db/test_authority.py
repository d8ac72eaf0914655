"""The migration that fills in issuers for keys created before issuers were recorded."""

from __future__ import annotations

import importlib

import asyncpg

MIGRATION = importlib.import_module("agentgrid.db.migrations.versions.0006_authority")

KEYS = {
    "k-system": ("anna", "system"),
    "k-of-anna": ("berta", "anna"),
    "k-own": ("berta", "berta"),
    "k-second-hand": ("carol", "berta"),
}
"""Each key with its principal and its creator."""


async def test_everybody_who_may_have_issued_an_older_key_becomes_its_issuer(postgres_dsn: str) -> None:
    (backfill,) = [statement for statement in MIGRATION.STATEMENTS if "RECURSIVE" in statement]
    connection = await asyncpg.connect(postgres_dsn)
    try:
        for name in ("anna", "berta", "carol"):
            await connection.execute("INSERT INTO principals (name, kind) VALUES ($1, 'human')", name)
        for key_id, (principal, made_by) in KEYS.items():
            await connection.execute(
                "INSERT INTO api_keys (key_id, principal, secret_hash, created_by, expires_at) VALUES ($1, $2, '', $3, now())",
                key_id,
                principal,
                made_by,
            )
        await connection.execute(backfill)
        issuers = {row["key_id"]: row["issuers"] for row in await connection.fetch("SELECT * FROM api_keys")}
    finally:
        await connection.close()
    assert issuers == {
        "k-system": ["system"],
        "k-of-anna": ["anna"],
        "k-own": ["anna", "berta"],
        "k-second-hand": ["anna", "berta"],
    }
