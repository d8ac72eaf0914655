"""Content publishing: an agent drafts and people review; then publish, wait, verify, and roll back if the check fails."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, Field
from temporalio import workflow

import agentgrid as ag
from activities.cms import publish_page, save_draft, slug_of, unpublish_page, verify_page
from activities.support import search_articles

PATIENCE = timedelta(days=2)
"""How long editors have for a review."""


class ContentInput(BaseModel):
    """What to write about."""

    title: str = Field(min_length=3, max_length=120)
    points: list[str] = Field(min_length=1, max_length=12, description="What the page must say, one point each.")
    author: str = Field(description="Who is responsible for the page.")
    settle_seconds: float = Field(
        default=5.0, ge=0, le=86_400, description="How long to wait before the live page is checked."
    )


class ContentResult(BaseModel):
    """Whether the page was published, and any problems."""

    slug: str
    revision: int
    published: bool
    problems: list[str] = []


class Draft(BaseModel):
    """The text of a page."""

    summary: str = Field(min_length=1, max_length=400, description="One sentence for lists of pages.")
    body: str = Field(min_length=1, max_length=20_000, description="Markdown, without the title.")


writer = ag.agent(
    "writer",
    title="Page writer",
    instructions="""
        You write one page of a help centre. Search the published articles first. Then write the page: say each of the
        points, in plain words and short paragraphs, and nothing else. Link to the articles that a reader needs next, as
        [title](/slug); link to nothing that the search did not return.
    """,
    tools=[search_articles],
    output=Draft,
    budget=ag.Budget(usd=0.30, requests=6),
)


@ag.workflow(title="Content publish", tags=("content",), subject="{title}")
class ContentPublish:
    """Publish a page after a review, and unpublish it if the live page differs from the reviewed one."""

    @workflow.run
    async def run(self, content: ContentInput) -> ContentResult:
        points = "\n".join(f"- {point}" for point in content.points)
        draft = await writer.run(f"title: {content.title}\npoints:\n{points}")
        # Code derives the page's address, so the model can't choose it.
        saved = await save_draft(
            slug_of(content.title), content.title, draft.body, content.author, summary=draft.summary
        )
        try:
            await ag.approval(f"Publish {saved.slug}", show=saved, approvers=["editors"], expires=PATIENCE)
        except (ag.ApprovalRejected, ag.ApprovalExpired) as no:
            return ContentResult(slug=saved.slug, revision=saved.revision, published=False, problems=[no.message])
        await publish_page(saved.slug, saved.revision)
        await workflow.sleep(content.settle_seconds)
        check = await verify_page(saved.slug, saved.revision)
        if not check.ok:
            ag.log.warning("page_rolled_back", slug=saved.slug, problems=list(check.problems))
            await unpublish_page(saved.slug, saved.revision, "; ".join(check.problems))
        return ContentResult(
            slug=saved.slug, revision=saved.revision, published=check.ok, problems=list(check.problems)
        )
