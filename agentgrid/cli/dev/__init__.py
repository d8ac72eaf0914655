"""`agentgrid dev`: everything that AgentGrid needs, on this machine, by one command."""
