# Two commands for a start:  make quickstart  and  make test.  Each sets up .venv first, with exact versions.
# Needs Python 3.11 or newer, git and make.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PEERS := $(VENV)/peers
SUPPLIES := build

.PHONY: help setup quickstart test real browser soak lint types docs check bench startup clean

help: ## List these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## Set up .venv with everything, as CI has it

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (a few minutes, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[train,local,plots,ray,dev]'
	@touch $@

quickstart: $(READY) ## Train, measure, write the card and push to a local Hub: a real model, about 5 minutes
	@$(BIN)/python examples/real_inputs.py smollm2 $(SUPPLIES)/smollm2
	@$(BIN)/python examples/real_inputs.py topics $(SUPPLIES)/topics.jsonl
	@$(BIN)/hubkit run-and-publish examples/quickstart.yaml --local-hub $(SUPPLIES)/hub

test: $(READY) ## Run the tests (under 2 minutes)
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

real: $(READY) ## Run the tests on real pretrained models (several minutes)
	$(BIN)/python -m pytest -m real --numprocesses 2 --dist loadfile

browser: $(READY) ## Test the local Hub's pages in a real browser (Chromium or Chrome)
	$(BIN)/python -m pytest -m browser

soak: $(READY) ## Break a push in every way that is known (`make soak SHORT=1`: a few minutes)
	HUBKIT_SOAK=$(if $(SHORT),short,long) $(BIN)/python -m pytest -m soak --numprocesses 4 --dist loadgroup

lint: $(READY) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types
	$(BIN)/mypy

docs: $(READY) ## Check that the generated docs are what the code says (`make docs WRITE=1` writes them)
	$(BIN)/python docs/generate.py $(if $(WRITE),,--check)

check: test lint types docs real browser soak ## All that CI runs

bench: $(PEERS) ## Measure hubkit beside its peers (under 20 minutes; `make bench QUICK=1`: one round)
	$(BIN)/python benchmarks/bench.py $(SUPPLIES)/bench $(if $(QUICK),--quick)

$(PEERS): $(READY)
	@echo "Adding the peers to $(VENV)"
	$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[train,local,plots,ray,dev,bench]'
	@touch $@

startup: $(READY) ## Measure start-up and card latency
	$(BIN)/python benchmarks/startup.py

clean: ## Remove what these commands made
	rm -rf $(VENV) $(SUPPLIES) .pytest_cache .mypy_cache .ruff_cache .hypothesis
