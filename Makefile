# The two commands: `make serve` and `make test`. Both install what they need, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILABLE := $(VENV)/.compilable
PEERS := $(VENV)/.peers
GUIDE := service/guide/index.html

.PHONY: help install serve demo test lint compile unit browser bench bench-quick openapi pictures docs clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## Create .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "nearfit needs Python 3.11 or later: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[keops,dev,docs]'
	@touch $@

# Numba looks at the file of a compiled function only, not at those it calls in other files.
$(COMPILABLE): $(INSTALLED) $(wildcard service/backends/native/*.py service/api/*.py service/estimators/*.py)
	@find service -name '*.nb[ic]' -delete
	@touch $@

serve: $(COMPILABLE) $(GUIDE) ## Start the service with the sample dataset
	$(BIN)/nearfit serve

demo: $(COMPILABLE) ## Predict on real data over HTTP, and stop
	$(BIN)/nearfit demo

test: $(COMPILABLE) ## Lint, types, contracts, tests
	$(MAKE) --jobs 2 lint compile
	$(MAKE) unit

lint: $(INSTALLED) ## Style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict service tests benchmarks
	$(BIN)/lint-imports

compile: $(COMPILABLE) ## What the service else compiles at its first start
	$(BIN)/python -c 'from service.main import warm_up; warm_up()'

unit: $(COMPILABLE) ## The tests alone, a file a core
	$(BIN)/python -m pytest -m 'not browser' --numprocesses logical --maxprocesses 4 --dist loadfile

browser: $(COMPILABLE) ## The tests of the pages, in Debian's chromium
	$(BIN)/python -m pytest tests/browser

$(PEERS): $(INSTALLED) pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[keops,dev,docs,bench]'
	@touch $@

bench: $(PEERS) $(COMPILABLE) ## Measure everything, and write docs/benchmarks.md anew
	$(BIN)/python -m benchmarks

bench-quick: $(PEERS) $(COMPILABLE) ## See that all benchmarks run, on less data
	$(BIN)/python -m benchmarks --quick

openapi: $(INSTALLED) ## Write openapi/openapi.json anew
	$(BIN)/python -m service.api.export_openapi

pictures: $(INSTALLED) ## Draw the pictures of docs/ anew
	$(BIN)/python docs/pictures/draw.py

docs: $(GUIDE) ## Build the guide, which the service has at /guide

$(GUIDE): $(INSTALLED) mkdocs.yml CHANGELOG.md openapi/openapi.json $(shell find docs -type f)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

clean: ## Remove what the commands made
	rm -rf $(VENV) service/guide .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
