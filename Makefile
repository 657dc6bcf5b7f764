# The two commands of the README are `make demo` and `make test`. Each sets up `.venv` by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# The tests start hundreds of processes; each would compile Headwater anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test lint torture bench build clean

help:
	@echo "make demo     run the taxi example and show what it made"
	@echo "make test     run the tests"
	@echo "make lint     ruff, mypy, import-linter"
	@echo "make torture  the slow proofs: 1,000 kills and more"
	@echo "make bench    measure against DuckDB itself, and print the ratios"
	@echo "make build    a wheel and an sdist in dist/"

$(STAMP): pyproject.toml
	@echo "==> setting up $(VENV) (once; a minute or two)"
	@$(PYTHON) -c 'import sys; sys.exit("Headwater needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[polars,pandas]" --group dev
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python examples/taxi/demo.py

test: $(STAMP)
	@echo "==> running the tests"
	@$(BIN)/python -m pytest -n 2 $(TESTS)

lint: $(STAMP)
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> mypy"
	@$(BIN)/mypy
	@echo "==> import-linter"
	@$(BIN)/lint-imports --no-logo

torture: $(STAMP)
	@HEADWATER_KILLS=1000 HEADWATER_EXAMPLES=200 $(BIN)/python -m pytest -n 2 -m "torture or not torture" $(TESTS)

bench: $(STAMP)
	@$(BIN)/python -m bench $(BENCH)

build: $(STAMP)
	@$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) dist bench/work
