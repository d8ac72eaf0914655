"""Faults under load: real processes are killed and frozen while runs are in progress, and guarantees are checked afterwards.

    stage.py       an installation of separate processes: Temporal on a file, a durable PostgreSQL, APIs, projectors, workers
    processes.py   killing, freezing and restarting processes
    subject/       the project that the workers run, and the ledger of its effects on the outside world
    load.py        clients that start runs and decide approvals, with retries
    monkey.py      the faults, drawn from a seed
    checks.py      the checks of the guarantees

A short soak is part of the test suite, `make soak` is the long one. `--seed` repeats the faults of a seed.
"""
