"""The API for MCP clients, at `/mcp`: the grid's tools and the API's reads, as MCP tools.

It translates: every MCP call becomes requests to the API's own routes, made with the caller's own credential (`inner.py`). So it can do nothing that the
same key could not do without it, and nothing of it is checked, limited, recorded or hidden in a different way. Which routes there are is one table
(`route_tools.py`); no decision, policy, key or principal is in it. Only `server.py` and what it imports load the package `mcp`, at the first request.
"""
