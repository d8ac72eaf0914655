# The project's commands. They need only Python 3.11 or newer; the first use creates .venv.

PYTHON ?= python3
# Two for each core of the smallest machine: each runs its own Temporal and PostgreSQL, and mostly waits for them.
TEST_PROCESSES ?= 4
ARGS ?=
# Runs mypy and pyright on a user's project. Slow, so it belongs to the checks, not to the tests.
TYPED := tests/architecture/test_typed.py

BIN := .venv/bin
INSTALLED := .venv/.installed
# Installing the project builds the console from these files, so that CI and `make dev` serve the version in the tree.
CONSOLE := hatch_build.py $(shell find console -name node_modules -prune -o -type f -print)
BUILT := agentgrid/api/console/_dist/.source-hash

# Container images often disable compiled modules. Here dozens of processes start from the same files, each a second slower without them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help dev test soak fuzz check fmt bench lock

help:
	@echo 'make dev     run Temporal, PostgreSQL, projector, API, worker and console on this machine (ARGS="--help")'
	@echo 'make test    run the whole test suite on real servers (ARGS="tests/projector -k reset")'
	@echo 'make soak    kill and freeze every process during hundreds of runs (ARGS="--runs 500 --seed 7 --minutes 5")'
	@echo 'make check   check formatting, lint, types and import contracts'
	@echo 'make fmt     format, and apply automatic fixes'
	@echo 'make bench   measure what AgentGrid costs compared with plain Temporal (ARGS="--runs 500 --write")'
	@echo 'make fuzz    search longer than `make test` for requests, or sequences of them, that break the API'
	@echo 'make lock    update requirements.lock from pyproject.toml'

dev: $(BUILT)
	@$(BIN)/agentgrid dev $(ARGS)

# Work stealing mostly keeps a module's tests together, so that their shared fixtures are created once, and leaves no core idle.
test: $(BUILT)
	@$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal --ignore $(TYPED) $(ARGS)

soak: $(INSTALLED)
	@$(BIN)/python -m tests.faults $(ARGS)

# Runs every check, even after one has failed.
check: $(INSTALLED)
	@failed=; \
	for command in 'ruff format --check .' 'ruff check .' 'mypy' 'lint-imports' 'pytest $(TYPED)'; do \
	    echo "== $$command"; $(BIN)/$$command || failed="$$failed $${command%% *}"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

fmt: $(INSTALLED)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(BUILT)
	@$(BIN)/python -m tests.bench.command $(ARGS)

# `make test` sends the same few requests every time.
fuzz: $(INSTALLED)
	@AGENTGRID_FUZZ_EXAMPLES=$${AGENTGRID_FUZZ_EXAMPLES:-40} AGENTGRID_MACHINE_EXAMPLES=$${AGENTGRID_MACHINE_EXAMPLES:-150} \
	    $(BIN)/pytest tests/api/test_document.py tests/e2e/test_machine.py --timeout 3600 $(ARGS)

# The development group names the project itself; the override says that this is the folder, not a package of that name.
lock: $(INSTALLED)
	@echo 'agentgrid @ file://$(CURDIR)' | $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --overrides /dev/stdin \
	    --group dev --all-extras --universal --python-version 3.11 --no-emit-package agentgrid \
	    --no-header --no-annotate --no-emit-index-url --generate-hashes --output-file requirements.lock

# Only packages whose hashes are in the lock file are installed, including uv and the build backend, which builds without downloading anything.
# The project itself has no hash. uv installs in seconds what takes pip half a minute; where uv fails (it reads no pip.conf), pip takes over.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps
LOCKED := --require-hashes -r requirements.lock
PROJECT := --no-build-isolation -e .
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("this needs Python 3.11 or newer: make PYTHON=...")'
	@echo '== installing into .venv, with the web console: takes minutes the first time, seconds later'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@awk '/^[^ ]/ { uv = /^uv==/ } uv' requirements.lock > .venv/uv.lock
	@test -x $(BIN)/uv || $(PIP) --require-hashes -r .venv/uv.lock || true
	@{ $(UV) $(LOCKED) && $(UV) $(PROJECT); } || { $(PIP) $(LOCKED) && $(PIP) $(PROJECT); }
	@touch $@

$(BUILT): $(INSTALLED) $(CONSOLE)
	@$(BIN)/python hatch_build.py
