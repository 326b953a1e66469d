.PHONY: help setup demo test test-all lint docs bench dist
VENV := .venv
BIN := $(VENV)/bin
PHOTOS ?=
# One thread per process: processes whose threads wait for each other are slower than one process.
# Three processes on two cores, because many tests wait for other processes or for time to pass.
# Bytecode is written, whatever the environment says: hundreds of processes import the same modules.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --dist loadfile

help: ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

setup: $(VENV)/.done  ## a virtual environment in .venv with mocosearch and all that tests need

$(VENV)/.done: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup  ## index and query sample pictures, or PHOTOS=folder
	$(BIN)/mocosearch demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: setup  ## the fast tests
	$(PYTEST)

$(VENV)/.partners: $(VENV)/.done
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev,cluster,partners]'
	touch $@

test-all: $(VENV)/.partners  ## all tests, including the slow ones
	$(PYTEST) -m ''

lint: setup  ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: setup  ## write the option tables in docs/ from the help texts
	$(BIN)/python -m docs.options

bench: setup  ## measure speed and memory, each against its baseline
	$(BIN)/python -m benchmarks

dist: setup  ## build a wheel and a source distribution in dist/, and test both
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist
	MOCOSEARCH_DIST=dist $(PYTEST) -m '' tests/cli/test_wheel.py
