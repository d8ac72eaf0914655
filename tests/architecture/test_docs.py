"""The documentation refers only to pages, files and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
TEST = re.compile(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`")
SOURCE = re.compile(r"`((?:agentgrid|workflows|activities|services|console|tests)/[\w./-]+\.(?:py|sql|json|tsx?))`")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}" if anchor else path)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_and_tests_exist(page: Path) -> None:
    text = page.read_text()
    missing = [name for name in SOURCE.findall(text) if not (ROOT / name).exists()]
    module = ""
    for path, function in TEST.findall(text):
        module = path or module  # `::name` alone continues the module before it
        if path and not (ROOT / path).exists():
            missing.append(path)
        elif function and module and f"def {function}" not in (ROOT / module).read_text():
            missing.append(f"{module}::{function}")
    assert missing == []


def test_every_decision_is_in_the_index_under_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    titles = {page.name: page.read_text().splitlines()[0] for page in folder.glob("0*.md")}
    index = (folder / "README.md").read_text()
    listed = {
        name: f"# {number}. {title}" for number, title, name in re.findall(r"\| (\d+) \| \[(.+)\]\((.+)\) \|", index)
    }
    assert listed == titles


def test_the_architecture_names_what_the_code_has() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "agentgrid"
    code = "\n".join(path.read_text() for suffix in ("*.py", "*.sql") for path in package.rglob(suffix))
    names = {*re.findall(r"`([A-Za-z_][\w.]*)`", page), *re.findall(r"\b_[a-z_]+\b", page)}
    paths = {name for name in names if (package / name.replace(".", "/")).is_dir() or (package / name).is_file()}
    assert [name for name in sorted(names - paths) if name.rpartition(".")[2] not in code] == []


def test_the_architecture_names_functions_where_they_are_defined() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    prose = [(path, name) for name, path in re.findall(r"`([A-Za-z_][\w.]*)` (?:in |\()`([\w/]+\.py)`", page)]
    diagrams = re.findall(r"([\w/]+\.py) +([A-Za-z_][\w.]*)", page)
    places = {*prose, *diagrams}
    assert len(places) > 40
    missing = [
        f"{path} {name}"
        for path, name in sorted(places)
        if not re.search(
            rf"^\s*(?:(?:async )?def|class) {name.rpartition('.')[2]}\b|^{name}\b.*=",
            (ROOT / "agentgrid" / path).read_text(),
            re.MULTILINE,
        )
    ]
    assert missing == []
