# The commands of the project. Each sets up what it needs, in .venv and .tools, and leaves the rest of the machine alone.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
export PATH := $(CURDIR)/.tools/bin:$(PATH)
export UV_NO_PROGRESS := 1

.PHONY: help demo test check docs pictures engines bench lock format sbom clean
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

# Everything above and torch with its companions, apart from the worker's environment: 6 GB on Linux.
.venv-engines/.engines: requirements/engines.lock pyproject.toml | $(UV)
	test -x .venv-engines/bin/python || $(UV) venv --quiet --python ">=3.11" .venv-engines
	$(UV) pip install --quiet --python .venv-engines --require-hashes -r requirements/engines.lock
	$(UV) pip install --quiet --python .venv-engines --no-deps -e .
	@touch $@

engines: .venv-engines/.engines ## what training and conversion need, in .venv-engines (6 GB)

demo: .venv/.base ## real faces in a real video, no broker, no GPU: results in demo-output/
	.venv/bin/streamer demo --out demo-output

# The tests and checks of what needs torch run where `make engines` has been, and always in CI.
WITH_ENGINES := $(if $(filter true,$(CI)),yes,$(if $(wildcard .venv-engines/.engines),yes))
ENGINES_TESTS := tests/engines
NEEDS_TORCH := engines/(models|training|evaluation|shipping|temporal|data|losses|runtime/torch|cli/train)|tests/engines

# Two lanes side by side: real servers wait more than they work. One is shown as it goes, the other one when it is over.
# Budget: 30 minutes on two cores with Kafka, models, cameras and browser set up from nothing. Tests of your choice:
# .venv/bin/python -m pytest tests/unit/bus
test: .venv/.dev $(if $(WITH_ENGINES),.venv-engines/.engines) ## all tests; sets up Kafka, models and the browser where it can
	@$(MAKE) --no-print-directory --keep-going --jobs=2 test-parts test-systems

.PHONY: test-parts test-systems
PYTEST := AFFECT_STREAMER_TEST_SETUP=1 .venv/bin/python -m pytest
when_over = @log=$$(mktemp); $(1) >"$$log" 2>&1; status=$$?; cat "$$log"; rm "$$log"; exit $$status
test-parts:
	$(PYTEST) tests/unit tests/golden tests/contract tests/readers tests/integration $(PYTEST_ARGS)
test-systems:
	$(call when_over,$(PYTEST) tests/cameras tests/fleet tests/operating $(PYTEST_ARGS))
ifdef WITH_ENGINES
	$(call when_over,$(subst .venv/,.venv-engines/,$(PYTEST)) $(ENGINES_TESTS) $(PYTEST_ARGS))
else
	@echo "Skipped: $(ENGINES_TESTS), which needs torch. 'make engines' sets it up (6 GB); then 'make test' runs it too."
endif

check: .venv/.dev $(if $(WITH_ENGINES),.venv-engines/.engines) ## format, lint, types, import direction
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
ifdef WITH_ENGINES
	.venv-engines/bin/mypy
else
	.venv/bin/mypy --exclude '$(NEEDS_TORCH)'
	@echo "Types of what needs torch were not checked: 'make engines' sets it up."
endif
	.venv/bin/lint-imports

# Sphinx reads what changed only; -E would read all of it. A test makes the whole site too.
docs: .venv/.dev ## the site of docs/, in docs/_build/index.html; a link that leads nowhere is an error
	.venv/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build

pictures: .venv/.dev ## the pictures in docs/images, of a real demo in Chromium
	.venv/bin/python -m tests.pictures

bench: .venv/.dev ## throughput against this machine's own bound; JSON in bench-output/
	.venv/bin/streamer bench throughput --out bench-output

format: .venv/.dev ## put every file into its form
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format --quiet .

# The tool has an environment of its own, or it would be in its own list.
sbom: .venv/.base ## what a worker is made of, as CycloneDX, in dist/sbom.json
	mkdir -p dist
	$(UV) tool run --quiet --from 'cyclonedx-bom>=7,<8' cyclonedx-py environment --pyproject pyproject.toml \
	  --mc-type application --output-reproducible --of JSON -o dist/sbom.json .venv/bin/python
	@echo dist/sbom.json

lock: | $(UV) ## make the locks anew from pyproject.toml
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml -o requirements/base.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml --extra parquet --extra web --extra notebook --group dev -c requirements/base.lock -o requirements/dev.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml --extra engines --extra rtx --extra parquet --extra web --extra notebook --group dev -o requirements/engines.lock

clean: ## remove what these commands made in this folder
	rm -rf .venv .venv-engines .tools .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-output bench-output docs/_build dist
