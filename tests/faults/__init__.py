"""Faults under load: real processes are killed and frozen while real work goes on, and promises are checked afterwards.

    stage.py       an installation of separate processes: Temporal on a file, a durable PostgreSQL, APIs, projectors, workers
    processes.py   killing, freezing, starting again
    subject/       the project that its workers run, and the ledger of what they did to the outside world
    load.py        clients that start runs and decide approvals, and insist
    monkey.py      the faults, drawn from a seed
    checks.py      what must be true afterwards

The short form is part of the test suite. `make soak` is the long one; `--seed` repeats the order of faults that a seed gave.
"""
