# Every target works in a fresh clone: the virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup before-demo demo test test-long test-browser test-all lint types check docs notebooks results results-check wheel clean

help:
	@echo "make demo      set up, train a tiny system, then sample and analyze the shipped one"
	@echo "make test      set up and run the tests (4 minutes on two cores)"
	@echo "make test-long whole commands, trainings and processes (6 minutes on two cores)"
	@echo "make test-browser  the pages in a real Chromium (Debian: apt-get install chromium chromium-driver)"
	@echo "make test-all  the slow tests and benchmarks as well"
	@echo "make check     lint, format and types"
	@echo "make docs      the documentation, strictly, into build/docs"
	@echo "make notebooks runs the notebooks into build/notebooks"
	@echo "make results   makes docs/results again from what ships; says first how long that takes, and goes on after a stop"
	@echo "make results-check  tells what in README and docs is not what those files say"

setup: $(READY)

# Linux wheels of torch bring gigabytes of CUDA. Where there is no NVIDIA GPU those for CPUs alone are taken, from an index of their
# own; `make setup TORCH_INDEX=` takes the usual ones. Both packages must come from one index, or they do not fit each other.
TORCH_INDEX ?= $(shell test "$$(uname -s)" = Linux && ! command -v nvidia-smi > /dev/null && echo https://download.pytorch.org/whl/cpu)
SIZE = about $(if $(TORCH_INDEX),2,6) GB
CPU_WHEELS = test -z "$(TORCH_INDEX)" \
	|| { $(BIN)/python -m pip install --quiet --retries 1 --timeout 20 --index-url $(TORCH_INDEX) "torch>=2.6" "torchvision>=0.21" \
	&& $(BIN)/python -c "import torchvision" 2> /dev/null; } \
	|| { echo "The wheels of $(TORCH_INDEX) cannot be had together: the usual ones are taken."; \
		$(BIN)/python -m pip uninstall --quiet --yes torch torchvision; }

$(READY): pyproject.toml
	@echo "Installing into $(VENV): $(SIZE), a few minutes without a word. torch comes from $(or $(TORCH_INDEX),the usual index)."
	$(PYTHON) -m venv $(VENV)
	@$(CPU_WHEELS)
	$(BIN)/python -m pip install --quiet --editable ".[dev,paris]"
	@touch $@

# Before the installation, which is the longest wait.
before-demo:
	@cat docs/demo/before.txt

$(READY): | $(filter before-demo,$(MAKECMDGOALS:demo=before-demo))

demo: before-demo $(READY)
	$(BIN)/mnist-ddm train --preset tiny --out demo/trained
	$(BIN)/mnist-ddm sample --checkpoint demo/trained --routing label --n 25 --steps 25 --out demo/tiny-label.png
	$(BIN)/mnist-ddm sample --routing label --n 25 --steps 25 --out demo/label.png
	$(BIN)/mnist-ddm sample --routing top2 --n 25 --steps 25 --out demo/top2.png
	$(BIN)/mnist-ddm sample --routing full --n 25 --steps 25 --out demo/full.png
	$(BIN)/mnist-ddm sample --routing top2 --n 4 --steps 25 --seed 5 --record --out demo/strips.png
	$(BIN)/mnist-ddm analyze --system mnist --n 32 --steps 20 --out demo/analysis
	$(BIN)/mnist-ddm play --out demo/play.html
	@cat docs/demo/after.txt

test: $(READY)
	$(BIN)/python -m pytest -rs --numprocesses 2 --dist loadgroup

test-long: $(READY)
	$(BIN)/python -m pytest -m long --numprocesses 2 --dist loadgroup

test-browser: $(READY)
	$(BIN)/python -m pytest -m browser tests/browser

test-all: $(READY)
	$(BIN)/python -m pytest -m "" tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	@touch $@

docs: $(VENV)/.docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs build/docs
	@echo "build/docs/index.html"

notebooks: $(VENV)/.docs
	@mkdir -p build/notebooks
	@set -e; for file in notebooks/*.py; do \
		$(BIN)/jupytext --quiet --to ipynb --execute --output build/notebooks/$$(basename $$file .py).ipynb $$file; \
		echo build/notebooks/$$(basename $$file .py).ipynb; \
	done

results: $(READY)
	$(BIN)/python docs/record.py make

results-check: $(READY)
	$(BIN)/python docs/record.py check

wheel: $(READY)
	$(BIN)/python -m build --wheel

clean:
	rm -rf demo runs dist build
