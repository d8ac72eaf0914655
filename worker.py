"""The worker of the reference project: every workflow and tool in `workflows/` and `activities/`."""

import agentgrid as ag

grid = ag.Grid("backoffice", "workflows", "activities")

if __name__ == "__main__":
    ag.run_worker(grid)
