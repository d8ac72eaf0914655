"""Names that the source checks look for: what workflow code can't use, what blocks a worker, and what must be awaited."""

from __future__ import annotations

from temporalio.worker.workflow_sandbox import SandboxMatcher

REQUESTS = {"delete", "get", "head", "options", "patch", "post", "put", "request"}
ELSEWHERE = SandboxMatcher(
    children={
        # Network libraries, which the sandbox detects late, if at all.
        "aiohttp": SandboxMatcher(use={"ClientSession", "request"}),
        "asyncpg": SandboxMatcher(use={"connect", "create_pool"}),
        "httpx": SandboxMatcher(use=REQUESTS | {"AsyncClient", "Client", "stream"}),
        "psycopg": SandboxMatcher(use={"connect"}),
        "redis": SandboxMatcher(use={"Redis", "from_url"}),
        "requests": SandboxMatcher(use=REQUESTS | {"Session", "session"}),
        "sqlalchemy": SandboxMatcher(use={"create_engine"}),
        "urllib3": SandboxMatcher(use={"PoolManager", "request"}),
        # A workflow's event loop does not support these.
        "asyncio": SandboxMatcher(
            use={
                "create_subprocess_exec",
                "create_subprocess_shell",
                "open_connection",
                "open_unix_connection",
                "run",
                "start_server",
                "start_unix_server",
                "to_thread",
            }
        ),
    }
)
"""Names that are refused in addition to the sandbox's."""

FILES = {"open", "read_bytes", "read_text", "write_bytes", "write_text"}
BLOCKING = SandboxMatcher(
    children={
        "__builtins__": SandboxMatcher(use={"open", "input"}),
        "httpx": SandboxMatcher(
            use={*REQUESTS, "stream"}, children={"Client": SandboxMatcher(use={*REQUESTS, "send", "stream"})}
        ),
        "io": SandboxMatcher(use={"open"}),
        "os": SandboxMatcher(use={"popen", "system", "waitpid"}),
        "pathlib": SandboxMatcher(children={"Path": SandboxMatcher(use=FILES)}),
        "psycopg": SandboxMatcher(use={"connect"}),
        "requests": SandboxMatcher(
            use=REQUESTS,
            children={name: SandboxMatcher(use={*REQUESTS, "send"}) for name in ("Session", "session")},
        ),
        "shutil": SandboxMatcher(use={"copy", "copyfile", "copytree", "move", "rmtree"}),
        "smtplib": SandboxMatcher(use={"SMTP", "SMTP_SSL"}),
        "socket": SandboxMatcher(
            use={"create_connection", "getaddrinfo", "gethostbyname"},
            children={"socket": SandboxMatcher(use={"accept", "connect", "recv", "recvfrom", "send", "sendall"})},
        ),
        "sqlite3": SandboxMatcher(use={"connect"}),
        "subprocess": SandboxMatcher(
            use={"call", "check_call", "check_output", "getoutput", "getstatusoutput", "run"},
            children={"Popen": SandboxMatcher(use={"communicate", "wait"})},
        ),
        "time": SandboxMatcher(use={"sleep"}),
        "urllib": SandboxMatcher(children={"request": SandboxMatcher(use={"urlopen", "urlretrieve"})}),
        "urllib3": SandboxMatcher(
            use={"request"}, children={"PoolManager": SandboxMatcher(use={"request", "urlopen"})}
        ),
    }
)
"""Blocking functions, which block the whole worker if an async function calls them."""

AWAITED = frozenset(
    {("agentgrid", "approval"), ("agentgrid", "sdk", "approvals", "approval"), ("asyncio", "sleep")}
    | {
        ("temporalio", "workflow", name)
        for name in (
            *("execute_activity", "execute_activity_method", "execute_child_workflow", "execute_local_activity"),
            *("start_child_workflow", "sleep", "wait", "wait_condition"),
        )
    }
)
"""Coroutine functions that workflow code calls, besides tools."""
