"""What the account researcher looks up. Where its tools come from is decided here, and nowhere else."""

from activities.crm import enrich_company, enrich_usage, fetch_account
from activities.support import search_articles

TOOLS = (fetch_account, enrich_company, enrich_usage, search_articles)
