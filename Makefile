# What you can do here; `make help` lists it. Everything happens in this folder: .venv, .cache, demo.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Steps depend on each other through the one virtual environment.
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
EXTRAS := onnxrt,pytorch,openvino,tensorflow,tensorflow-lite,deployment,parquet,examples,dev
INSTALLED := $(VENV)/.installed

# The first Python that is new enough; `make PYTHON=/path/to/python` overrides.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Weights and data; set AUTOQ_ASSETS to share them between checkouts.
export AUTOQ_ASSETS ?= $(CURDIR)/.cache/autoq-assets

BENCHMARKS = $(filter-out common __init__ __main__,$(basename $(notdir $(wildcard benchmarks/*.py))))

.PHONY: help setup demo test lint format bench peers clean distclean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## Create .venv and install autoq into it

demo: $(INSTALLED)  ## Tune EfficientNet-Lite0 (ImageNet) on this machine and report
	@$(BIN)/python -m examples.onnxrt.prepare efficientnet-lite0
	@$(BIN)/autoq tune "$$AUTOQ_ASSETS/efficientnet-lite0/job.yaml" --workspace demo

test: $(INSTALLED)  ## Run all tests, on real models
	@$(BIN)/python -m examples.onnxrt.prepare
	@$(BIN)/python -m examples.pytorch.prepare --quick
	@$(BIN)/python -m examples.tensorflow.prepare
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile $(PYTEST_ARGS)

lint: $(INSTALLED)  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## Measure the figures of the README on this machine
	@$(BIN)/python -m examples.onnxrt.prepare
	@$(BIN)/python -m examples.pytorch.prepare
	@$(BIN)/python -m examples.tensorflow.prepare resnet18 mobilenet_v2 classifier text
	@$(BIN)/pytest -q test/unit/pytorch_examples/test_prepared_pytorch_examples.py
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

peers: $(INSTALLED)  ## Run autoq beside INC, NNCF and ONNX Runtime's quantizers (hours; goes on where it stopped)
	@$(BIN)/python -m benchmarks.peers run $(PEERS_ARGS)

clean:  ## Remove what was built; keeps .venv and downloads
	rm -rf build dist demo htmlcov *.egg-info .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	@rm -f $(INSTALLED)

distclean: clean  ## Remove .venv and downloads, too
	rm -rf $(VENV) .cache

$(INSTALLED): pyproject.toml setup.py
	@test -n "$(PYTHON)" || { echo "error: autoq needs Python 3.11 or newer (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "error: $(PYTHON) cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing autoq[$(EXTRAS)] into $(VENV); the first time this downloads PyTorch, TensorFlow and ONNX Runtime"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --editable '.[$(EXTRAS)]'
	@touch $@
