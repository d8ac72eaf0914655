"""What the account researcher looks up. Where its tools come from is decided here, and nowhere else."""

import agentgrid as ag
from activities.crm import enrich_company, enrich_usage, fetch_account

# As reviewed in mcp/news.json, without the tool that subscribes to mails. The server is `services/company_news.py`; it needs no network.
news = ag.mcp("news", include=["company_news"])

TOOLS = (fetch_account, enrich_company, enrich_usage, *news)
