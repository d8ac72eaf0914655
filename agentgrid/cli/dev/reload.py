"""Notice changes of the project's code. Folders without code, above all `.venv` and `node_modules`, are never watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

UNWATCHED = frozenset({"node_modules", "tests", "console", "docs", "deploy", "dist", "build", "site-packages"})
DEBOUNCE_MS = 400
SUFFIXES = (".py", ".sql", ".csv", ".json", ".toml", ".md", ".txt", ".yaml", ".yml", ".j2")
"""Code, and what code reads at import: what counts inside a folder that holds code."""
ROOT_SUFFIXES = (".py", "/pyproject.toml")
"""What counts right in the root. A tool that runs in the project's folder writes its data there: the worker that runs it must not end."""


class CodeFilter(DefaultFilter):
    """Changes of files with these endings; no caches, no version control."""

    def __init__(self, endings: tuple[str, ...]) -> None:
        super().__init__()
        self._endings = endings

    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(self._endings) and super().__call__(change, path)


def code_folders(root: Path) -> list[Path]:
    """The folders right under the root that hold Python code at their top."""
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
    """The files that changed, relative to the root, each time some did; a burst of changes counts once."""
    while True:
        folders = code_folders(root)
        async for changed in _watch(root, folders):
            if changed:
                yield sorted(str(Path(file).relative_to(root)) for file in changed)
            if code_folders(root) != folders:
                break  # a new folder of code: watch that one too


async def _watch(root: Path, folders: list[Path]) -> AsyncIterator[set[str]]:
    """Changes right in the root, and anywhere in the folders, from two watchers as one stream."""
    queue: asyncio.Queue[set[str] | BaseException] = asyncio.Queue()

    async def watch(paths: Iterable[Path], keep: CodeFilter, *, recursive: bool) -> None:
        try:
            # Whatever happens right in the root is looked at: a folder that appears may hold code.
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
            found = await queue.get()
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
