"""Text by agents, tools and people is data: hostile text in every field of an approval and of a run, viewed in a browser.

The rows are inserted as the projector and a worker would write them, and the API serves them.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import Page, Request, expect

from agentgrid.db.session import writing
from agentgrid.db.tables import Command, Log
from tests.api import factories
from tests.console.conftest import Pages, shown
from tests.console.stack import Stack

TRAP = "trapped"
"""A function of the page that no payload may call."""
CALL = f"{TRAP}()"
AWAY = "https://evil.example"
SCRIPTS = [
    f"<script>{CALL}</script>",
    f"<ScRiPt src={AWAY}/x.js></ScRiPt>",
    f"<script>{CALL}//",
    f"</script><script>{CALL}</script>",
    f"</textarea><script>{CALL}</script>",
    f"</title></style><script>{CALL}</script>",
    f"<!--><script>{CALL}</script-->",
    f"<![CDATA[<script>{CALL}</script>]]>",
    f'"><script>{CALL}</script>',
    f"'-{CALL}-'",
    f"`${{{CALL}}}`",
    f"{{{{constructor.constructor('{CALL}')()}}}}",
    f"${{{CALL}}} #{{{CALL}}} <%= {CALL} %> {{{{{CALL}}}}}",
    f"&lt;script&gt;{CALL}&lt;/script&gt;",
    f"&#60;img src=x onerror={CALL}&#62;",
    f"\\u003cscript\\u003e{CALL}\\u003c/script\\u003e",
    f"+ADw-script+AD4-{CALL}+ADw-/script+AD4-",
]
HANDLERS = [
    f"<img src=x onerror={CALL}>",
    f"<img src={AWAY}/pixel.png>",
    f"<svg onload={CALL}>",
    f"<svg><script>{CALL}</script></svg>",
    f"<svg><animate onbegin={CALL} attributeName=x dur=1s>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={CALL}>",
    f"<body onload={CALL}>",
    f"<details open ontoggle={CALL}>x</details>",
    f"<input autofocus onfocus={CALL}>",
    f"<select autofocus onfocus={CALL}>",
    f"<video><source onerror={CALL}></video>",
    f"<marquee onstart={CALL}>x</marquee>",
    f"<div onmouseover={CALL} style=position:fixed;inset:0>x</div>",
    f"<button formaction=javascript:{CALL}>Approve</button>",
    f"<form action={AWAY}><input name=key></form>",
    f'" autofocus onfocus="{CALL}" x="',
    f"' onmouseover='{CALL}",
]
ADDRESSES = [
    f"javascript:{CALL}",
    f"JaVaScRiPt:{CALL}",
    f"java\tscript:{CALL}",
    f"\x01javascript:{CALL}",
    f"data:text/html,<script>{CALL}</script>",
    f"vbscript:{CALL}",
    f"<a href=javascript:{CALL}>read the letter</a>",
    f"<iframe src=javascript:{CALL}></iframe>",
    f"<iframe srcdoc='<script>parent.{CALL}</script>'></iframe>",
    f"<object data=javascript:{CALL}></object><embed src={AWAY}>",
    f"<meta http-equiv=refresh content='0;url={AWAY}'>",
    f"<base href={AWAY}/>",
    f"<link rel=stylesheet href={AWAY}/x.css>",
    f"[approve](javascript:{CALL}) ![x]({AWAY}/p.png)",
    f"[x]: {AWAY} 'x' <{AWAY}> {AWAY}/?q=secret",
    "//evil.example/x",
]
STYLES = [
    "<style>*{display:none}</style>",
    f"<style>@import '{AWAY}/x.css';</style>",
    f"background:url({AWAY}/x.png)",
    f"x;}}body{{background:url({AWAY}/y.png)}}",
    "expression(alert(1))",
]
UNSEEN = [
    "refund \u202edna eurt\u202c all",
    "\u2066isolated\u2069 \u061c \u200e\u200f",
    "zero\u200bwidth\u200d\u2060joined\ufeff",
    "tags \U000e0041\U000e0042\U000e007f",
    "ansi \x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x9b2J",
    "bell \x07 back\x08\x08\x08space \x7f \r\x0c\x0b",
    "lone \ud800 surrogate \udfff",
    "blank \u3164\u2800\uffa0\u115f letters",
    "lines \u2028 and \u2029 paragraphs",
    "private \ue000 \U000f0000 and \ufffe nothing",
    "soft\u00adhyphen and \u034f joiner \u180e",
]
ALIKE = ["\u0440ay\u0440al.com", "refund_tick\u0435t", "\u0391pprove"]
LARGE = ["x" * 20_000, "e\u0301" + "\u0301" * 3_000, " " * 5_000 + "hidden at the end", "\n" * 2_000]
PAYLOADS = SCRIPTS + HANDLERS + ADDRESSES + STYLES + UNSEEN + ALIKE + LARGE
KEYS = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "__defineGetter__",
    "then",
    "",
    "length",
    "dangerouslySetInnerHTML",
]
MARKED = re.compile("^U\\+[0-9A-F]{4,6}$")


def nested(depth: int) -> Any:
    value: Any = f"<img src=x onerror={CALL}>"
    for _ in range(depth):
        value = [value]
    return value


def test_there_are_enough_payloads():
    assert len(set(PAYLOADS)) >= 60


@dataclass(frozen=True)
class Hostile:
    """The ids of the rows with hostile text."""

    run_id: str
    approval_ids: list[str]
    step: str
    """The key of a step with a hostile value and result."""
    command_id: str


@pytest.fixture
async def hostile(stack: Stack) -> AsyncIterator[Hostile]:
    """A run in which every text is hostile: an agent's calls, prose, what it looked at, explicit approvals, results, errors and logs."""
    namespace = stack.loop.settings.temporal_namespace
    run = factories.run(
        namespace=namespace, workflow="support_triage", status="waiting", waiting_on="approval", reference="<b>ref",
        note=UNSEEN[0], tags=["<i>tag", UNSEEN[2]], current_step=HANDLERS[0] + UNSEEN[0], agents=["triager"],
    )  # fmt: skip
    arguments: dict[str, Any] = {f"a{n}": text for n, text in enumerate(PAYLOADS)}
    arguments |= {key: HANDLERS[0] for key in KEYS} | {text: n for n, text in enumerate(UNSEEN + ALIKE + HANDLERS)}
    arguments |= {"deep": nested(150), "huge": 10**400, "tiny": 1e-320, "list": PAYLOADS, "none": None}
    calls = [
        factories.approval(
            run, agent="triager", turn=1, step_event_id=50 + n, payload={"size": 90_000, "value": value}, arguments=small,
            title=SCRIPTS[n], tool=tool, risk="destructive", shape="hostile00000000a",
        )
        for n, (value, small, tool) in enumerate(
            [
                (arguments, {k: str(v)[:120] for k, v in list(arguments.items())[60:76]}, "refund_tick\u0435t"),
                ({"a": SCRIPTS[0]}, {"__proto__": SCRIPTS[0], "constructor": 1}, "post_reply"),
                ({"a": HANDLERS[0]}, {"__proto__": HANDLERS[0], "constructor": 2}, "post_reply"),
            ]
        )
    ]  # fmt: skip
    over = {"kind": "explicit", "tool": None, "tool_version": None, "risk": None, "policy": None, "shape": None}
    titles = [*SCRIPTS[3:9], *UNSEEN, *ALIKE]
    explicit = [
        factories.approval(
            run, title=storable(title), step_event_id=60 + n, payload={"size": 9, "value": shown}, **over
        )
        for n, (title, shown) in enumerate(zip(titles, PAYLOADS, strict=False))
    ]
    explicit.append(
        factories.approval(
            run, title="Two megabytes", step_event_id=59, **over,
            payload={"size": 2_000_000, "preview": ("".join(HANDLERS) * 9)[:2048], "truncated": True},
        )
    )  # fmt: skip
    error = {"type": HANDLERS[1], "message": f"{HANDLERS[0]} {UNSEEN[4]}"}
    more: dict[str, Any] = {"parent": 10, "closed_at": run.created_at + timedelta(seconds=90)}
    steps = [
        factories.step(run, 10, kind="agent", name="triager", title=HANDLERS[3], status="running"),
        factories.step(run, 30, kind="model", name="triager", turn=1, output={"size": 9, "value": {"text": "\n\n".join(PAYLOADS)[:30_000]}}, **more),
        *(
            factories.step(
                run, 100 + n, name=ALIKE[1], title=storable(text[:200]), input={"size": 9, "value": {"q": text}},
                output={"size": 9, "value": {"answer": PAYLOADS, "deep": nested(150)}}, **more,
            )
            for n, text in enumerate(PAYLOADS)
        ),
        factories.step(run, 48, status="failed", error=error, title=UNSEEN[0], **more),
        factories.step(run, 50, status="waiting", turn=1, parent=10, approval_id=calls[0].approval_id),
    ]  # fmt: skip
    written: list[dict[str, Any]] = [
        {"message": storable(text[:4_000]), "fields": {"value": text[:2_000], **dict.fromkeys(KEYS, text[:80])}}
        for text in PAYLOADS
    ]
    place: dict[str, Any] = {"execution_id": run.execution_id, "workflow_id": run.workflow_id, "worker": "<u>w"}
    place |= {"logged_at": run.created_at, "level": "info", "logger": f"tools.{ALIKE[1]}"}
    logs = [Log(**place, **line) for line in written]
    command = Command(
        command_id=str(uuid.uuid4()), kind="tool.policy", status="refused", created_at=run.created_at, principal="both",
        target=HANDLERS[1] + UNSEEN[0], reason=ALIKE[0] + UNSEEN[2] + SCRIPTS[0], outcome={"message": HANDLERS[0]}, body={"reason": HANDLERS[0]},
    )  # fmt: skip
    engine = stack.loop.api.plane.engine
    await factories.insert(engine, run, factories.execution(run), *steps, *calls, *explicit, *logs, command)
    approval_ids = [approval.approval_id for approval in (calls[0], explicit[0], explicit[-1])]
    yield Hostile(run.run_id, approval_ids, f"{run.execution_id}.101", command.command_id)
    async with writing(engine) as session:
        for row in (*steps, *calls, *explicit):
            await session.delete(await session.merge(row))


def storable(text: str) -> str:
    """The text as a text column can store it."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


class Trap:
    """Records what a page must not do: call the trap, send requests to another origin, or render elements from text."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.called: list[str] = []
        self.foreign: list[str] = []
        self._origin = origin
        self._own: Counter[str] = Counter()

    async def set(self) -> None:
        """Start recording, with the page's current elements as the baseline."""
        self._own = Counter(
            await self.page.evaluate("() => [...document.querySelectorAll('body *')].map(e => e.localName)")
        )
        await self.page.expose_function(TRAP, lambda *_: self.called.append(self.page.url))
        self.page.on("dialog", lambda dialog: self.called.append(dialog.message))
        self.page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self._origin, "data:", "blob:")):
            self.foreign.append(request.url)

    async def check(self, *, forms: int = 0) -> Counter[str]:
        """Check that the texts had no effect, and return the marks on the page. `forms`: the number of forms of the page itself."""
        tags, marks, attributes = await self.page.evaluate(
            """() => {
              const all = [...document.querySelectorAll("body *")];
              return [
                all.map(e => e.localName),
                all.filter(e => e.localName === "mark").map(e => e.textContent),
                all.flatMap(e => [...e.attributes].map(a => `${a.name}=${a.value}`))
                  .filter(a => /^(on|srcdoc|formaction)|^(href|src|action|data)=\\s*(?!\\/|#|blob:|https?:\\/\\/(127|localhost))/i.test(a)),
              ];
            }"""
        )
        never = {
            "script",
            "iframe",
            "object",
            "embed",
            "img",
            "video",
            "math",
            "form",
            "base",
            "meta",
            "marquee",
            "style",
            "link",
            "source",
        }
        counts = Counter(tags) - Counter(form=forms)
        assert not {tag: counts[tag] for tag in never if counts[tag] > self._own[tag]}, self.page.url
        assert not [attribute for attribute in attributes if not attribute.startswith("data-")], self.page.url
        assert not self.called
        assert not self.foreign
        text = await self.page.locator("body").inner_text()
        assert not re.search(
            "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\u200b\\u200e\\u200f\\ufeff\\ud800-\\udfff]",
            text,
        )
        return Counter(marks)


async def test_hostile_texts_are_shown_as_text_and_do_nothing(page_of: Pages, stack: Stack, hostile: Hostile):
    page = await page_of("both")
    trap = Trap(page, stack.url())
    await trap.set()

    async def go(path: str) -> None:
        await page.goto(stack.url() + path)
        await shown(page)

    call, explicit, large = hostile.approval_ids
    await go(f"/approvals/{call}")
    await expect(page.get_by_text(SCRIPTS[0], exact=True).first).to_be_attached()
    await expect(page.get_by_text("Written by the agent, not verified")).to_be_visible()
    marks = await trap.check()
    assert {"U+202E", "U+200B", "U+001B", "U+E0041", "U+FEFF", "U+3164", "U+2028", "U+E000"} <= marks.keys()
    assert {"\u0440", "\u0435", "\u0391"} <= {mark for mark in marks if not MARKED.match(mark)}

    await go(f"/approvals/{explicit}")
    await expect(page.get_by_role("article").get_by_role("heading", level=2)).to_have_text(SCRIPTS[3])
    await trap.check()
    await go(f"/approvals/{large}")
    await expect(page.get_by_text("The start of a large value")).to_be_visible()
    await trap.check()

    await go("/approvals?whose=all")
    await expect(page.get_by_role("button").filter(has_text=SCRIPTS[4])).to_be_visible()
    assert "U+202E" in await trap.check()

    await go(f"/runs/{hostile.run_id}")
    lines = page.get_by_role("list", name="Log lines").get_by_role("listitem")
    await expect(lines.filter(has_text=SCRIPTS[0]).first).to_be_attached()
    assert {"U+202E", "U+001B"} <= (await trap.check()).keys()
    await expect(page.get_by_role("treegrid", name="Steps").get_by_role("row").nth(2)).to_be_visible()
    await go(f"/runs/{hostile.run_id}?step={hostile.step}")
    panel = page.get_by_role("tabpanel")
    await expect(panel).to_contain_text("ScRiPt")
    await page.get_by_role("tab", name="Output").click()
    await expect(panel).to_contain_text("answer")
    await trap.check()

    await go("/")
    await expect(page.get_by_role("main")).to_contain_text(HANDLERS[0])
    assert "U+202E" in await trap.check()
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("dialog").get_by_role("option").filter(has_text="<b>ref").first).to_be_visible()
    assert "U+202E" in await trap.check()
    await go("/runs")
    await expect(page.get_by_role("main")).to_contain_text("<b>ref")
    await trap.check()
    await go(f"/audit?at={hostile.command_id}")
    await expect(page.get_by_role("main")).to_contain_text(SCRIPTS[0])
    assert {"\u0440", "U+200B"} <= (await trap.check(forms=1)).keys()
    assert await page.evaluate("() => 1 + 1") == 2  # the page still responds
