"""`agentgrid dev`: runs everything that AgentGrid needs on this machine."""
