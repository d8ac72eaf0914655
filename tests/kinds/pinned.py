"""Two versions of one workflow, each pinned to the deployment in which it began."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior

from tests.kinds.activities import SOON, plain


@workflow.defn(name="Pinned", versioning_behavior=VersioningBehavior.PINNED)
class PinnedOne:
    @workflow.run
    async def run(self, wait: bool) -> str:
        await workflow.execute_activity(plain, "a", start_to_close_timeout=SOON)
        if wait:
            await workflow.sleep(timedelta(seconds=2))
        return "one"


@workflow.defn(name="Pinned", versioning_behavior=VersioningBehavior.PINNED)
class PinnedTwo:
    @workflow.run
    async def run(self, wait: bool) -> str:
        return "two"
