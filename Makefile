# Each goal does its own set-up: Python 3.11, pip, make and git are all it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench
PLATFORM_STAMP := $(VENV)/.platform
UV_VERSION := 0.13.9
export PYTHONHASHSEED := 0
export TF_CPP_MIN_LOG_LEVEL := 2
# Byte code is written when a module is first used: three quarters of what is installed never are.
unexport PYTHONDONTWRITEBYTECODE

# Matrices are small: a second thread of BLAS waits for the first, and takes the core of other tests.
test quick check-long: export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help report test quick lab dashboard platform gateway bench check-long chaos golden lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is not Python 3.11"; exit 1; }
	@echo "setting up $(VENV) (once; about 3 GB on disk)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION) || $(BIN)/python -m pip --version
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock 2>$(VENV)/uv.log \
	  && $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . \
	  || { echo "uv could not install (see $(VENV)/uv.log); falling back to pip"; \
	       $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock \
	       && $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . ; }
	@touch $@

report: $(STAMP)  ## prices to report, on the bundled history
	@$(BIN)/cloudarb run pipelines/weekly.yaml

# What runs in a kernel comes first (tests/conftest.py): it is the longest, so no core idles at the end.
# Notebook 06 takes minutes: a long test runs it with smaller figures.
SCOPES := --dist loadscope --no-loadscope-reorder
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout 300 --ignore=notebooks/06_research.ipynb
test: $(STAMP) $(PLATFORM_STAMP)  ## lint, types, unit and property tests, notebooks, the pipeline on real data
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy & types=$$!; \
	  $(BIN)/python -m pytest -n 2 $(SCOPES) --durations 40 -m "not long" $(NBVAL) notebooks tests; \
	  tests=$$?; wait $$types && exit $$tests

QUICK := not (slow or fit or solver or kernel or long)
quick: $(STAMP)  ## while you work, a minute or two: lint, types, and each test that is done in half a second
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -n 2 --dist loadscope -m "$(QUICK)" tests

lab: $(STAMP)  ## open the notebooks in JupyterLab, on this machine only, with a token
	@$(BIN)/cloudarb lab

dashboard: $(STAMP)  ## the notebooks as an app without code, on this machine only, with a token
	@$(BIN)/cloudarb dashboard

# Server, observation, events and research methods: parts that `make report` does without.
$(PLATFORM_STAMP): $(STAMP) requirements-platform.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --requirements requirements-platform.lock 2>$(VENV)/uv.log \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-platform.lock
	@touch $@

platform: $(PLATFORM_STAMP)  ## install what serves and observes (docs/platform.md)

gateway: $(PLATFORM_STAMP)  ## two servers of prices, runs and plans behind a gateway, on this machine only
	@$(BIN)/cloudarb gateway

# Peers that only benchmarks compare with, pinned in a lock of their own: not part of the product.
$(BENCH_STAMP): $(STAMP) requirements-bench.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --requirements requirements-bench.lock 2>$(VENV)/uv.log \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

bench: $(BENCH_STAMP) $(PLATFORM_STAMP)  ## the tables of figures of README and docs, printed afresh
	@for part in store collection pipeline forecast review_hazard joint_moves significance allocation risk controls serving; do $(BIN)/python -m benchmarks.$$part || exit 1; done

check-long: $(PLATFORM_STAMP)  ## thousands of faults and long walks; resumes, and writes benchmarks/results
	@$(BIN)/python -m pytest -m long tests
	@$(BIN)/python -m benchmarks.check_long
	@$(BIN)/python -m benchmarks.mutation

chaos: $(PLATFORM_STAMP)  ## kills, stalls, full disks, clock jumps, lost packets: what is lost (docs/platform.md)
	@$(BIN)/python -m benchmarks.chaos --page docs/platform.md

golden: $(STAMP)  ## run the notebooks and store the outputs of their contract cells
	@$(BIN)/python -m benchmarks.refresh_golden

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
  --custom-compile-command 'make lock' pyproject.toml --extra test
PLATFORM := --extra serve --extra observe --extra events --extra research --extra kubernetes
lock: $(STAMP)  ## resolve pyproject.toml anew into requirements.lock and the locks of bench and platform
	@$(BIN)/$(LOCK) --upgrade -o requirements.lock
	@$(BIN)/$(LOCK) --extra bench --constraint requirements.lock -o requirements-bench.lock
	@$(BIN)/$(LOCK) $(PLATFORM) --constraint requirements.lock -o requirements-platform.lock

clean:  ## remove the environment, the built store and scratch reports
	rm -rf $(VENV) data/store reports/scratch .snakemake .pytest_cache .mypy_cache .ruff_cache
