"""Watches the project's code for changes. Folders without code, such as `.venv` and `node_modules`, are never watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

UNWATCHED = frozenset({"node_modules", "tests", "console", "docs", "deploy", "dist", "build", "site-packages"})
DEBOUNCE_MS = 400
SUFFIXES = (".py", ".sql", ".csv", ".json", ".toml", ".md", ".txt", ".yaml", ".yml", ".j2")
"""File endings watched inside code folders: code, and files that code reads at import."""
ROOT_SUFFIXES = (".py", "/pyproject.toml")
"""File endings watched directly in the root. Tools may write data there, which must not restart their worker."""


class CodeFilter(DefaultFilter):
    """Accepts changes to files with these endings, except caches and version control."""

    def __init__(self, endings: tuple[str, ...]) -> None:
        super().__init__()
        self._endings = endings

    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(self._endings) and super().__call__(change, path)


def code_folders(root: Path) -> list[Path]:
    """The folders directly under the root that contain Python files."""
    return sorted(
        folder
        for folder in root.iterdir()
        if folder.is_dir()
        and not folder.name.startswith(".")
        and folder.name not in UNWATCHED
        and not (folder / "pyvenv.cfg").exists()
        and any(folder.glob("*.py"))
    )


async def code_changes(root: Path) -> AsyncIterator[list[str]]:
    """Yields the changed files, relative to the root. A burst of changes counts once."""
    while True:
        folders = code_folders(root)
        async for changed in _watch(root, folders):
            if changed:
                yield sorted(str(Path(file).relative_to(root)) for file in changed)
            if code_folders(root) != folders:
                break  # a new code folder: watch it too


async def _watch(root: Path, folders: list[Path]) -> AsyncIterator[set[str]]:
    """Changes directly in the root and anywhere in the folders, from two watchers merged into one stream."""
    queue: asyncio.Queue[set[str] | BaseException] = asyncio.Queue()

    async def watch(paths: Iterable[Path], keep: CodeFilter, *, recursive: bool) -> None:
        try:
            # Every change directly in the root is checked: a new folder may contain code.
            async for changes in awatch(
                *paths,
                watch_filter=keep if recursive else None,
                recursive=recursive,
                debounce=DEBOUNCE_MS,
                step=100,
                stop_event=None,
                raise_interrupt=False,
            ):
                queue.put_nowait({file for change, file in changes if keep(change, file)})
        except (OSError, RuntimeError) as error:
            queue.put_nowait(error)

    tasks = [asyncio.create_task(watch([root], CodeFilter(ROOT_SUFFIXES), recursive=False))]
    if folders:
        tasks.append(asyncio.create_task(watch(folders, CodeFilter(SUFFIXES), recursive=True)))
    try:
        while True:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
