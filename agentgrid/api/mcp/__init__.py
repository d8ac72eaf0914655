"""The API for MCP clients, at `/mcp`: the grid's tools and the API's reads, as MCP tools.

It only translates: every MCP call becomes requests to the API's own routes, made with the caller's own credential (`inner.py`). So it allows nothing
that the same key could not do directly, and checks, limits, records and redaction are the same. The available routes are one table
(`route_tools.py`), which excludes decisions, policies, keys and principals. Only `server.py` and its imports load the package `mcp`, on the first
request.
"""
