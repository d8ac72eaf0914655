"""Runs a command as on a terminal of a given width."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import pytest
from rich.text import Text

from agentgrid.cli.main import main


class Screen(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, arguments: Sequence[str]) -> list[str]:
    """The lines that a command prints on a terminal of this width, without colours."""
    screen, errors = Screen(), Screen()
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("LINES", "40")
        patch.setenv("TERM", "xterm-256color")
        patch.setattr(sys, "argv", ["agentgrid", *arguments])
        patch.setattr(sys, "stdout", screen)
        patch.setattr(sys, "stderr", errors)
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code, errors.getvalue()
    return [Text.from_ansi(line).plain.rstrip() for line in screen.getvalue().splitlines()]
