"""The worker for the fault tests."""

import agentgrid as ag

grid = ag.Grid("faults", "fault_tools", "fault_flows", "fault_agents")
