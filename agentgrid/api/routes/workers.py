"""Workers and task queues, as currently reported by Temporal."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.taskqueue.v1 import PollerInfo
from temporalio.api.worker.v1 import WorkerHeartbeat, WorkerSlotsInfo

from agentgrid.api.access import V1
from agentgrid.api.deps import CurrentPrincipal, Plane
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.workers import Poller, TaskQueueList, TaskQueueOut, WorkerList, WorkerOut, WorkerSlots
from agentgrid.control import workers
from agentgrid.control.plane import ControlPlane
from agentgrid.db import runs, tools, workflows
from agentgrid.db.session import reading
from agentgrid.protocol import shown_build

router = make_router(tags=["workers"], prefix=V1)

MAX_QUEUES = 200


def _time(stamp: Timestamp) -> datetime | None:
    return stamp.ToDatetime(tzinfo=UTC) if stamp.seconds else None


def _slots(info: WorkerSlotsInfo) -> WorkerSlots:
    return WorkerSlots(used=info.current_used_slots, available=info.current_available_slots)


def _status(beat: WorkerHeartbeat) -> Literal["live", "stale", "shutting_down"]:
    if workers.is_stale(beat):
        return "stale"
    return "shutting_down" if workers.is_stopping(beat) else "live"


def _worker(beat: WorkerHeartbeat) -> WorkerOut:
    version = beat.deployment_version
    build = shown_build(version.build_id)
    return WorkerOut(
        worker_id=beat.worker_instance_key,
        identity=beat.worker_identity,
        host=beat.host_info.host_name or None,
        process=beat.host_info.process_id or None,
        task_queue=beat.task_queue,
        status=_status(beat),
        started_at=_time(beat.start_time),
        last_heartbeat_at=_time(beat.heartbeat_time),
        sdk=f"{beat.sdk_name} {beat.sdk_version}".strip(),
        # Without a deployment the SDK derives the build id from modules that aren't the worker's own.
        build=f"{version.deployment_name}.{build}" if version.deployment_name and build else None,
        workflow_slots=_slots(beat.workflow_task_slots_info) if beat.HasField("workflow_task_slots_info") else None,
        activity_slots=_slots(beat.activity_task_slots_info) if beat.HasField("activity_task_slots_info") else None,
    )


@router.get("/workers", summary="List workers, newest heartbeat first")
async def list_workers(plane: Plane) -> WorkerList:
    """`stale` after 150 s without a heartbeat. `503` while Temporal, the only source, is unreachable."""
    beats = sorted(await workers.heartbeats(plane), key=lambda beat: -beat.heartbeat_time.ToNanoseconds())
    return WorkerList(items=[_worker(beat) for beat in beats])


@router.get("/task-queues", summary="List task queues, those without a worker first")
async def list_task_queues(plane: Plane, principal: CurrentPrincipal) -> TaskQueueList:
    """Queues named in the catalog or by open runs, with their pollers. `served: false` means that runs on this queue wait for a worker."""
    async with reading(plane.engine) as session:
        of_workflows = await workflows.queues(session)
        of_tools = await tools.queues(session)
        open_runs = await runs.open_by_task_queue(session, scope=principal.workflows)
    names = sorted({*of_workflows, *of_tools, *open_runs}, key=lambda name: (-open_runs.get(name, 0), name))
    limit = asyncio.Semaphore(workers.PARALLEL)

    async def one(name: str) -> TaskQueueOut:
        async with limit:
            pollers, served = await _pollers(plane, name)
        return TaskQueueOut(
            name=name,
            served=served,
            pollers=pollers,
            workflows=of_workflows.get(name, []),
            tools=of_tools.get(name, []),
            open_runs=open_runs.get(name, 0),
        )

    items = await asyncio.gather(*(one(name) for name in names[:MAX_QUEUES]))
    return TaskQueueList(items=sorted(items, key=lambda queue: (queue.served, -queue.open_runs, queue.name)))


def _poller(info: PollerInfo, kind: Literal["workflow", "activity"]) -> Poller:
    return Poller(identity=info.identity, kind=kind, last_access_at=_time(info.last_access_time))


async def _pollers(plane: ControlPlane, name: str) -> tuple[list[Poller], bool]:
    of_workflows = await workers.task_queue(plane, name, workers.WORKFLOW)
    of_activities = await workers.task_queue(plane, name, workers.ACTIVITY)
    pollers = [_poller(poller, "workflow") for poller in of_workflows.pollers]
    pollers += [_poller(poller, "activity") for poller in of_activities.pollers]
    return pollers, workers.is_polled(of_workflows) or workers.is_polled(of_activities)
