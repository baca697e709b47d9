# make demo   install into .venv, edit the embedded benchmark with five methods, show the results
# make test   what continuous integration runs: lint, types, tests
# make lint   ruff and mypy
# make check  is the embedded model edited as well as the committed baseline says?
# make baseline  make that baseline anew, margins above the noise of a second seed
# make docs   write the reference pages anew from the code: docs/reference
# make audit  look the pinned versions up among the known vulnerabilities
# make faults  break runs on purpose and write what was lost: docs/faults.md
# make bench  edits a second with and without sharing and batching: docs/speed.md
# make parity  compare the methods with the official implementations' vectors: docs/parity.md
# make clean  remove .venv, caches and builds (runs/ stays)

PYTHON ?= python3
VENV ?= .venv
DEMO_SAMPLES ?= 20

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint check baseline docs audit faults bench parity clean

demo: $(VENV)/installed
	$(BIN)/icd-bench run --method icd,ddim,npi,sdedit,identity --bench scenes --limit $(DEMO_SAMPLES)
	$(BIN)/icd-bench report

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

CHECKED := --method icd,npi,sdedit --set npi.steps=20 --set sdedit.steps=20 --bench scenes --subset ci
BASELINE := baselines/scenes-ci.json

check: $(VENV)/installed
	rm -rf runs/check
	$(BIN)/icd-bench run $(CHECKED) --out runs/check
	$(BIN)/icd-bench check runs/check --baseline $(BASELINE) --pictures runs/check-worst

# The old file stays until the new one is whole.
baseline: $(VENV)/installed
	rm -rf runs/baseline runs/baseline-noise runs/baseline.json
	$(BIN)/icd-bench run $(CHECKED) --out runs/baseline
	$(BIN)/icd-bench run $(CHECKED) --seed 1 --out runs/baseline-noise
	$(BIN)/icd-bench baseline make runs/baseline --noise runs/baseline-noise --out runs/baseline.json --seconds 3
	$(BIN)/icd-bench check runs/baseline --baseline runs/baseline.json
	mv runs/baseline.json $(BASELINE)

docs: $(VENV)/installed
	$(BIN)/python -m icd_bench.reference docs/reference

# pip-audit has an environment of its own: its dependencies are not the package's.
audit: $(VENV)/audit/bin/pip-audit
	$(VENV)/audit/bin/python .ci/audit

$(VENV)/audit/bin/pip-audit:
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7'

faults: $(VENV)/installed-test
	ICD_BENCH_CRASHES=30 $(BIN)/python -m pytest -q -p no:xdist tests/run tests/fuzz --fault-table docs/faults.md

bench: $(VENV)/installed
	$(BIN)/python tests/performance/bench.py --json runs/bench.json --docs docs/speed.md

parity: $(VENV)/installed-test
	$(BIN)/python -m pytest -q -p no:xdist tests/methods -k parity --parity-table docs/parity.md

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
