# `make demo` is the first thing to try; `make help` lists the rest.
# A Linux machine with an NVIDIA GPU: make TORCH_INDEX=https://download.pytorch.org/whl/cu130 demo

VENV ?= .venv
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)))
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
THREADS ?= 1
DEMO ?= runs/demo

BIN := $(VENV)/bin
READY := $(VENV)/.ready

# threads that wait asleep: on a busy machine spinning ones make a step 20 times slower
export OMP_WAIT_POLICY ?= PASSIVE
ONE_THREAD_EACH := OMP_NUM_THREADS=$(THREADS) MKL_NUM_THREADS=$(THREADS)

KEEP_PAGES := MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=268435456

.DEFAULT_GOAL := help
.PHONY: help env demo test test-slow check format api reproductions docs serve bench clean

help:  ## these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

env: $(READY)  ## a virtual environment in .venv with a CPU torch

# torch comes first and alone, so that only its wheel is looked for on the second index and no CUDA package on a machine without a GPU
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "jensen needs Python 3.11 or later; install one and say: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Making $(VENV) from $(TORCH_INDEX): about a minute, longer on a slow line"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 2 --no-deps \
		--extra-index-url $(TORCH_INDEX) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(READY)  ## train, measure and show an importance-weighted autoencoder on real images, in runs/demo
	$(BIN)/jensen fit iwae-digits --out $(DEMO) --overwrite
	$(BIN)/jensen evaluate $(DEMO)
	$(BIN)/jensen report $(DEMO)

test: $(READY)  ## the test-suite without its slow tests
	$(ONE_THREAD_EACH) $(BIN)/python -m pytest

test-slow: $(READY)  ## the whole test-suite
	$(ONE_THREAD_EACH) $(BIN)/python -m pytest -m ""

check: $(READY) docs  ## format, lint, types, and the documentation without a warning
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(READY)  ## format and sort imports
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format

api: $(READY)  ## write the list of public names after a deliberate change
	$(BIN)/python tests/laws/test_api.py --write

reproductions: $(READY)  ## write the page of published numbers beside ours, from the recipes
	$(BIN)/python -m jensen.recipes.reproductions docs/reproductions.md

docs: $(READY)  ## the documentation, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@! grep -rnoE '<(script|img|link rel="stylesheet")[^>]*(src|href)="?https?:[^ >]*' site --include='*.html' \
		|| { echo "these pages would need a network"; exit 1; }

serve: $(READY)  ## the documentation in a browser, rebuilt on every change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

bench: $(READY)  ## training steps, gradient estimators and evidences beside hand-written PyTorch and the peers
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	env -u OMP_WAIT_POLICY $(KEEP_PAGES) $(BIN)/python benchmarks/iwae_step.py
	env -u OMP_WAIT_POLICY $(KEEP_PAGES) $(ONE_THREAD_EACH) $(BIN)/python benchmarks/bayes_step.py --threads $(THREADS)
	$(ONE_THREAD_EACH) $(BIN)/python benchmarks/gradients.py
	$(ONE_THREAD_EACH) $(BIN)/python benchmarks/evidence.py
	$(ONE_THREAD_EACH) $(BIN)/python benchmarks/draw_step.py --sizes small,attention
	$(ONE_THREAD_EACH) $(BIN)/python benchmarks/ais.py

clean:  ## remove what was built, but no run and not the environment
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests examples benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
