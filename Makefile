# `make demo` shows a first result, `make test` runs the tests; both build what they need in .venv.
# Wanted on the machine: Python 3.11 or newer, make, git.

VENV := .venv
BIN := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
PLUGINS := $(patsubst %/pyproject.toml,-e ./%,$(wildcard plugins/*/pyproject.toml))
INSTALL = $(BIN)/python -m pip install
LOWEST := .venv-lowest
BASE_PYTHON ?=

.PHONY: demo test lowest check bench bench-gpu env clean

demo: env
	$(BIN)/cervbench run --method simclr --dataset synthetic --tier quick --folds 0 --labels 10,100 --out demo

# Two processes of one thread each: most tests are too small to use a second one. Whichever runs out takes from
# the other: modules differ by minutes, and by xdist's default one process ends up waiting.
test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# The tests with the lowest versions that are asked for, which uv can choose and pip cannot.
lowest:
	$(MAKE) $(LOWEST)/bin/python VENV=$(LOWEST) BASE_PYTHON=$(or $(BASE_PYTHON),python3.11)
	$(LOWEST)/bin/python -m pip install uv
	$(MAKE) test VENV=$(LOWEST) \
	  INSTALL="$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct"

check: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Saved under .benchmarks and compared with what was saved there before, the first time with nothing: times of
# another machine say nothing about this one. Nothing fails on time.
bench: env
	$(BIN)/python -m pytest tests/benchmarks -o python_files='bench_*.py' -o python_functions='bench_*' \
	  --benchmark-autosave \
	  $(if $(wildcard .benchmarks/*/*.json),--benchmark-compare)

# The rows that leaderboards/throughput.md wants of a GPU.
bench-gpu: env
	$(BIN)/cervbench bench throughput --wanted --device cuda

env: $(VENV)/installed

# One command, so that the core and all plugins agree on one torch, torchvision and timm.
$(VENV)/installed: $(PROJECTS) | $(BIN)/python
	$(INSTALL) -e ".[dev]" $(PLUGINS)
	@touch $@

$(BIN)/python:
	@for python in $(BASE_PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv $(VENV)"; exec "$$python" -m venv $(VENV); \
	  fi; \
	done; \
	echo "no Python 3.11 or newer with venv was found; install one, or name it: make $(MAKECMDGOALS) BASE_PYTHON=/path/to/python3" >&2; \
	exit 1

clean:
	rm -rf $(VENV) $(LOWEST) build dist plugins/*/build plugins/*/dist demo .pytest_cache .mypy_cache .ruff_cache .benchmarks
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name '*.egg-info' -prune -exec rm -rf {} +
