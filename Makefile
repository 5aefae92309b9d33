# The commands of the project. Each sets up what it needs, in .venv and .tools, and leaves the rest of the machine alone.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
export PATH := $(CURDIR)/.tools/bin:$(PATH)
export UV_NO_PROGRESS := 1

.PHONY: help demo test check bench lock format clean
help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

# uv is used when it is there and installed into .tools (not into your system) when it is not.
UV := $(shell PATH="$(PATH)" command -v uv || echo .tools/bin/uv)
.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/bin/python: | $(UV)
	$(UV) venv --quiet --python ">=3.11" .venv

# The base install: what a worker needs. Every package is checked against the hash in the lock.
.venv/.base: requirements/base.lock pyproject.toml | .venv/bin/python
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements/base.lock
	$(UV) pip install --quiet --python .venv --no-deps -e .
	@touch $@

# The base and everything the checks and tests need.
.venv/.dev: requirements/dev.lock .venv/.base
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements/dev.lock
	@touch $@

demo: .venv/.base ## real faces in a real video, no broker, no GPU: results in demo-output/
	.venv/bin/streamer demo --out demo-output

# Budget: 15 minutes on two cores, with Kafka, models and browser set up from nothing.
test: .venv/.dev ## all tests; sets up Kafka, models and the browser where it can
	AFFECT_STREAMER_TEST_SETUP=1 .venv/bin/python -m pytest $(PYTEST_ARGS)

check: .venv/.dev ## format, lint, types, import direction
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv/.dev ## throughput against this machine's own bound; JSON in bench-output/
	.venv/bin/streamer bench throughput --out bench-output

format: .venv/.dev ## put every file into its form
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format --quiet .

lock: | $(UV) ## make the locks anew from pyproject.toml
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml -o requirements/base.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml --all-extras --group dev -c requirements/base.lock -o requirements/dev.lock

clean: ## remove what these commands made in this folder
	rm -rf .venv .tools .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-output bench-output
