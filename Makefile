# make demo   install into .venv, edit the embedded benchmark with five methods, print the table
# make test   what continuous integration runs: lint, types, tests
# make lint   ruff and mypy
# make clean  remove .venv, caches and builds (runs/ stays)

PYTHON ?= python3
VENV ?= .venv
DEMO_SAMPLES ?= 20

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(BIN)/icd-bench run --method icd,ddim,npi,sdedit,identity --bench scenes --limit $(DEMO_SAMPLES)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "icd-bench needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# Installing is repeated only when what is to be installed has changed.
$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV): torch and its libraries are large, this takes minutes"
	$(INSTALL) -e .
	touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV): torch and its libraries are large, this takes minutes"
	$(INSTALL) -e '.[test]'
	touch $(VENV)/installed $@
