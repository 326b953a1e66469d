.PHONY: help setup demo test test-all lint bench
VENV := .venv
BIN := $(VENV)/bin
PHOTOS ?=
# A thread each: two processes whose threads wait for each other are slower than one.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

help: ## list what can be made
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

setup: $(VENV)/.done  ## a virtual environment in .venv with everything inside

$(VENV)/.done: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup  ## train, index and query on sample pictures, or on PHOTOS=folder
	$(BIN)/mocosearch demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: setup  ## the fast tests
	$(PYTEST)

test-all: setup  ## every test, the slow ones too
	$(PYTEST) -m ''

lint: setup  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup  ## the speed and memory figures, each against its baseline
	$(BIN)/python -m benchmarks
