"""The guide's examples run exactly as printed."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from temporalio.client import Client

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "agents.md"
FILES = re.compile(r"```python\n# (\w+)\.py\n(.*?)```", re.DOTALL)


async def test_the_guides_example_runs(desk_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = dict(FILES.findall(GUIDE.read_text(encoding="utf-8")))
    assert set(files) == {"desk", "test_desk"}
    for name, code in files.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        await importlib.import_module("test_desk").test_a_rejected_refund_is_not_made(desk_client)
    finally:
        for name in files:
            sys.modules.pop(name, None)
