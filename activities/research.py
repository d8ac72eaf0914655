"""The account researcher's tools. This is the only place that decides where they come from."""

import agentgrid as ag
from activities.crm import enrich_company, enrich_usage, fetch_account

# As reviewed in mcp/news.json, without the tool that subscribes to emails. The server is `services/company_news.py`, which needs no network.
news = ag.mcp("news", include=["company_news"])

TOOLS = (fetch_account, enrich_company, enrich_usage, *news)
