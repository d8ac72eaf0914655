"""JSON pointers."""

from __future__ import annotations

import pytest

from agentgrid.domain.pointers import at, pointer

ROOT = {"a/b": [{"~": 1}], "": 2}


def test_a_pointer_resolves_to_its_value() -> None:
    for path, value in ((("a/b", 0, "~"), 1), (("",), 2), ((), ROOT)):
        assert at(ROOT, pointer(path)) == value


@pytest.mark.parametrize("reference", ["/x", "/a~1b/1", "/a~1b/-1", "/a~1b/0/~0/x", "/a~1b/" + "1" * 5_000])
def test_a_pointer_to_nothing_is_an_error(reference: str) -> None:
    with pytest.raises(LookupError):
        at(ROOT, reference)
