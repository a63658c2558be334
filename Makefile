# Whatever Python 3.11 or newer there is; everything else goes into the project's own .venv.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

LOCK = .venv/bin/python -m uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet $(LOCK_FLAGS)
CONSISTENT = --constraints requirements/dev.txt

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench chaos admin lock python

help: ## list the targets, from the comments beside them
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: python ## install, start everything, print the addresses; Ctrl-C ends it
	@exec $(PYTHON) -m tools.local_stack run

test: python ## install, then every check and every test
	@exec $(PYTHON) -m tools.checks test

lint: python ## style, types and import contracts
	@exec $(PYTHON) -m tools.checks lint

format: python ## rewrite the Python files in the house style
	@$(PYTHON) -m tools.installation dev
	@.venv/bin/python -m ruff check --fix-only --quiet src tests tools
	@.venv/bin/python -m ruff format --quiet src tests tools

bench: python ## compare cost, latency and integrity with a reference (BENCH=all: recognition, starts, paint, too)
	@exec $(PYTHON) -m tools.checks bench

chaos: python ## inject faults while people talk, promised against seen (LONG=1: the long forms)
	@exec $(PYTHON) -m tools.checks chaos

admin: python ## create the first superuser of the local database
	@exec $(PYTHON) -m tools.local_stack admin

lock: python ## pin what pyproject.toml asks for (LOCK_FLAGS=--upgrade: the newest)
	@$(PYTHON) -m tools.installation dev
	$(LOCK) --extra backend --extra agents --extra engines --extra speech --extra local --extra dev --output-file requirements/dev.txt
	$(LOCK) $(CONSISTENT) --all-extras --output-file requirements/bench.txt
	$(LOCK) $(CONSISTENT) --extra backend --extra agents --extra engines --extra speech --extra local --output-file requirements/run.txt
	$(LOCK) $(CONSISTENT) --extra backend --output-file requirements/backend.txt
	$(LOCK) $(CONSISTENT) --extra agents --output-file requirements/agents.txt
	$(LOCK) $(CONSISTENT) --extra agents --extra engines --output-file requirements/agents-engines.txt
	$(LOCK) $(CONSISTENT) --extra speech --output-file requirements/speech.txt

python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none is on PATH." >&2; exit 1; }
