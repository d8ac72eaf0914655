"""Records histories of the TypeScript SDK: `python -m tests.projector.record_typescript`, after `npm install` in this folder.

It starts its own Temporal server, lets `record.js` run every workflow in `workflows.js` once, and saves their histories to
`tests/projector/histories/typescript_*.json.gz`. The tests themselves need neither Node nor npm packages.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, CreateNexusEndpointRequest
from temporalio.client import Client

from agentgrid.servers import TemporalServer
from tests.projector.record import Recorder, settled

FOLDER = Path(__file__).parent
QUEUE = "typescript"
ENDPOINT = "typescript-clerk"


async def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        async with TemporalServer(Path(home), in_memory=True) as server:
            client = await Client.connect(server.address)
            await prepare(client)
            node = await asyncio.create_subprocess_exec(
                *("node", "record.js", server.address, client.namespace, QUEUE, ENDPOINT),
                cwd=FOLDER,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await node.communicate()
            if node.returncode:
                raise SystemExit(node.returncode)
            await settled()
            for name, workflow_ids in json.loads(out).items():
                await Recorder(client, QUEUE).save(f"typescript_{name}", *workflow_ids)


async def prepare(client: Client) -> None:
    word = {"TsWord": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=word)
    )
    target = EndpointTarget(worker=EndpointTarget.Worker(namespace=client.namespace, task_queue=QUEUE))
    await client.operator_service.create_nexus_endpoint(
        CreateNexusEndpointRequest(spec=EndpointSpec(name=ENDPOINT, target=target))
    )


if __name__ == "__main__":
    asyncio.run(main())
