# One command for each habit. Needs Python 3.11 or newer and nothing else: the first use makes .venv.

PYTHON ?= python3
# Two for each core of the smallest machine: each runs its own Temporal and PostgreSQL, and mostly waits for them.
TEST_PROCESSES ?= 4
ARGS ?=
# What mypy and pyright say to a user's project: slow, and of one kind with the other checks.
TYPED := tests/architecture/test_typed.py

BIN := .venv/bin
INSTALLED := .venv/.installed
# Installing builds the console from these; CI and `make dev` then serve what is in the tree.
CONSOLE := hatch_build.py $(shell find console -name node_modules -prune -o -type f -print)
BUILT := agentgrid/api/console/_dist/.source-hash

# Container images often forbid compiled modules. Here dozens of processes start from the same files, each a second slower without them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help dev test soak fuzz check fmt bench lock

help:
	@echo 'make dev     Temporal, PostgreSQL, projector, API, worker and console on this machine (ARGS="--help")'
	@echo 'make test    the whole test suite, on real servers (ARGS="tests/projector -k reset")'
	@echo 'make soak    kill and freeze every process while hundreds of runs go on (ARGS="--runs 500 --seed 7 --minutes 5")'
	@echo 'make check   formatting, lint, types, import contracts'
	@echo 'make fmt     format, and fix what can be fixed'
	@echo 'make bench   what AgentGrid costs beside plain Temporal (ARGS="--runs 500 --write")'
	@echo 'make fuzz    search for longer than `make test` for a request, or an order of them, that breaks the API'
	@echo 'make lock    resolve the dependencies of pyproject.toml again into requirements.lock'

dev: $(BUILT)
	@$(BIN)/agentgrid dev $(ARGS)

# Stealing keeps the tests of a module mostly together, so that what they share is made once, and no core idles.
test: $(BUILT)
	@$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal --ignore $(TYPED) $(ARGS)

soak: $(INSTALLED)
	@$(BIN)/python -m tests.faults $(ARGS)

# All of them, also after one has failed.
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

# In `make test` the same few are sent every time.
fuzz: $(INSTALLED)
	@AGENTGRID_FUZZ_EXAMPLES=$${AGENTGRID_FUZZ_EXAMPLES:-40} AGENTGRID_MACHINE_EXAMPLES=$${AGENTGRID_MACHINE_EXAMPLES:-150} \
	    $(BIN)/pytest tests/api/test_document.py tests/e2e/test_machine.py --timeout 3600 $(ARGS)

# The development group names the project itself; the override says that it is this folder and no package of that name.
lock: $(INSTALLED)
	@echo 'agentgrid @ file://$(CURDIR)' | $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --overrides /dev/stdin \
	    --group dev --all-extras --universal --python-version 3.11 --no-emit-package agentgrid \
	    --no-header --no-annotate --no-emit-index-url --generate-hashes --output-file requirements.lock

# Nothing is installed but what the lock has the hash of: uv and the build's backend too, which builds without fetching anything. The project
# itself has none. uv installs in seconds what takes pip half a minute; where it can't (it reads no pip.conf), pip does.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps
LOCKED := --require-hashes -r requirements.lock
PROJECT := --no-build-isolation -e .
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("this needs Python 3.11 or newer: make PYTHON=...")'
	@echo '== installing into .venv, with the web console: minutes the first time, seconds later'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@awk '/^[^ ]/ { uv = /^uv==/ } uv' requirements.lock > .venv/uv.lock
	@test -x $(BIN)/uv || $(PIP) --require-hashes -r .venv/uv.lock || true
	@{ $(UV) $(LOCKED) && $(UV) $(PROJECT); } || { $(PIP) $(LOCKED) && $(PIP) $(PROJECT); }
	@touch $@

$(BUILT): $(INSTALLED) $(CONSOLE)
	@$(BIN)/python hatch_build.py
