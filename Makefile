# `make demo` and `make test` do all their own set-up, once.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/ready
READY_TEST = $(VENV)/ready-test
CORES ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")

.PHONY: demo test pytest fast-test faults fuzz bench gpu-check docs lint format setup setup-test lock reference clean

# A live bar for the whole grid on a terminal, plain lines elsewhere.
demo: setup
	if [ -t 2 ]; then logger="--logger rich"; fi; $(BIN)/snakemake --cores $(CORES) $$logger

# Linters beside the tests, which often wait.
test: setup-test
	$(MAKE) -j2 lint pytest

# One process more than cores, since some tests wait for a scheduler; one thread each, since tensors are tiny.
pytest: setup-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $$(($(CORES) + 1)) --dist loadfile --no-loadscope-reorder

fast-test: setup-test
	$(BIN)/pytest -m "not slow"

# Kills, full disks and damaged files at random moments; exit 1 if anything is lost (docs/faults.md).
faults: setup-test
	PYTHONPATH=tests $(BIN)/python -m faults $(FAULTS)

# 10,000 files changed at random for each reader (SECURITY.md).
fuzz: setup-test
	STPRUNE_FUZZ_EXAMPLES=10000 $(BIN)/pytest --timeout=0 tests/fuzz

# Ratios measured side by side in one run; with CHECK=1, exit 1 if one misses its goal.
# `pruning`, `timing` and `grid` need the data set sim_freeway: stprune data prepare sim_freeway.
bench: setup
	for name in pruning batches step_cost timing grid; do $(BIN)/python -m benchmarks.$$name $(if $(CHECK),--check) || failed=1; done; test -z "$$failed"

# What only a GPU can show: a line a check, exit 1 if one fails; with DEVICE=cpu, that the checks work.
gpu-check: setup
	$(BIN)/python -m workflow.gpu_check --device $(or $(DEVICE),cuda) --json gpu-check.json

# The site, in build/docs; a broken link is an error. The variable silences an advertisement.
docs: setup-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: setup-test docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/snakemake --lint

format: setup-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

setup: $(READY)

# Everything is pinned and complete, so nothing is resolved and nothing is compiled.
$(READY): requirements.lock requirements-no-deps.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'stprune needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --prefer-binary -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r requirements-no-deps.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

setup-test: $(READY_TEST)

# Tests, linters, benchmarks and documentation need more than running the study does.
$(READY_TEST): requirements-test.lock $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --prefer-binary -r requirements-test.lock
	touch $(READY_TEST)

# Resolve the newest versions that requirements*.in allow; environment.yml gets the pins of the first.
lock:
	rm -rf .venv.lock
	$(PYTHON) -m venv .venv.lock
	.venv.lock/bin/pip install --quiet --disable-pip-version-check -r requirements.in
	.venv.lock/bin/python -m workflow.maintain lock
	.venv.lock/bin/pip install --quiet --disable-pip-version-check -r requirements.in -r requirements-test.in
	.venv.lock/bin/python -m workflow.maintain tests
	rm -rf .venv.lock

# Schemas and config/README.md, from the models that check configurations.
reference: setup
	$(BIN)/python -m workflow.maintain reference

clean:
	rm -rf $(VENV) .venv.lock .mypy_cache .pytest_cache .ruff_cache .snakemake
