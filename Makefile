# The two commands: `make serve` and `make test`. Both install what they need, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILABLE := $(VENV)/.compilable
PEERS := $(VENV)/.peers

.PHONY: help install serve demo test lint unit bench bench-quick openapi pictures clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## Create .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "nearfit needs Python 3.11 or later: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[keops,dev]'
	@touch $@

# Numba looks at the file of a compiled function only, not at those it calls in other files.
$(COMPILABLE): $(INSTALLED) $(wildcard service/backends/native/*.py service/api/*.py service/estimators/*.py)
	@find service -name '*.nb[ic]' -delete
	@touch $@

serve: $(COMPILABLE) ## Start the service with the sample dataset
	$(BIN)/nearfit serve

demo: $(COMPILABLE) ## Predict on real data over HTTP, and stop
	$(BIN)/nearfit demo

test: lint unit ## Everything: lint, types, contracts, tests

lint: $(INSTALLED) ## Style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict service tests benchmarks
	$(BIN)/lint-imports

unit: $(COMPILABLE) ## The tests alone
	$(BIN)/python -m pytest

$(PEERS): $(INSTALLED) pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[keops,dev,bench]'
	@touch $@

bench: $(PEERS) $(COMPILABLE) ## Measure everything, and write docs/benchmarks.md anew
	$(BIN)/python -m benchmarks

bench-quick: $(PEERS) $(COMPILABLE) ## See that all benchmarks run, on less data
	$(BIN)/python -m benchmarks --quick

openapi: $(INSTALLED) ## Write openapi/openapi.json anew
	$(BIN)/python -m service.api.export_openapi

pictures: $(INSTALLED) ## Draw the pictures of docs/ anew
	$(BIN)/python docs/pictures/methods.py

clean: ## Remove what the commands made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
