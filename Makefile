# Everything a person or CI runs. Each target does its own set-up and may be run again.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest
STAMP := $(VENV)/.installed
CACHE := $(or $(HOLDFAST_CACHE),$(HOME)/.cache/holdfast)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

$(STAMP): requirements/dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: install it, or name one with PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V)"; exit 1; }
	@echo "installing the locked dependencies into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(STAMP) ## Install everything that development needs into .venv

.PHONY: demo demo-down
demo: $(STAMP) ## Watch Holdfast do its job on a real cluster that is made on this machine (or set HOLDFAST_KUBECONFIG)
	@$(BIN)/python -m demo
demo-down: $(STAMP) ## End the demo's cluster
	@$(BIN)/python -m demo --down

.PHONY: test test-unit test-model test-kopf test-apiserver test-testbed test-e2e test-e2e-tamper test-e2e-vllm
test: $(STAMP) programs ## Run every tier, in lanes side by side; the first failure ends it
	@MAKE='$(MAKE)' $(BIN)/python -m lanes

test-unit: $(STAMP) ## Each part by itself, without a cluster; some minutes
	@$(PYTEST) tests/unit
test-model: $(STAMP) ## The promises under any order of events, kills and faults
	@$(PYTEST) tests/model
test-kopf: $(STAMP) programs ## The handlers under a running kopf
	@$(PYTEST) tests/kopf
test-apiserver: $(STAMP) programs ## CRDs, guards and the operator against a real API server
	@$(PYTEST) tests/apiserver
test-testbed: $(STAMP) programs ## The test bed itself: start, end, clean-up, images
	@$(PYTEST) tests/testbed_tests
test-e2e: $(STAMP) programs ## A real node, real engines, a real gateway
	@$(PYTEST) tests/e2e -m "not vllm and not tamper"
test-e2e-tamper: $(STAMP) programs ## The tamper table: every way of bytes into a pod, every way in which they may be others
	@$(PYTEST) tests/e2e -m tamper
test-e2e-vllm: $(STAMP) programs ## The same with vLLM (an image of 1.9 GB)
	@$(PYTEST) tests/e2e -m vllm

.PHONY: bench-weights
bench-weights: $(STAMP) ## How quickly weights are fetched and verified, against hf download and the machine (4 GiB; HOLDFAST_BENCH_GIB)
	@$(BIN)/python bench/weights.py

.PHONY: programs
programs: $(STAMP) # the test bed's programs; from the cache once they are built
	@$(BIN)/python -m testbed build

.PHONY: lint format
lint: $(STAMP) ## Style, types and the arrows between the folders
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --cache-dir $(CACHE)/mypy operator tests
	@$(BIN)/lint-imports --no-cache
format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

.PHONY: testbed-up testbed-down
testbed-up: $(STAMP) ## Start a real single-node Kubernetes on this machine
	@$(BIN)/python -m testbed up
testbed-down: $(STAMP) ## End it
	@$(BIN)/python -m testbed down

.PHONY: crds generate lock
crds: $(STAMP) ## Write the CustomResourceDefinitions from the models
	@$(BIN)/python -m holdfast.api.crd --write crds charts/holdfast/files/crds
generate: crds ## Write everything that is generated: CRDs, references, rendered manifests
	@$(BIN)/python -m holdfast.api.reference --write docs/reference/api.md
	@$(BIN)/python -m holdfast.cli.reference --write docs/reference/cli.md
	@$(BIN)/python manifests/render.py --helm "$$($(BIN)/python -c 'from testbed.programs import Programs; print(Programs().path("helm"))')"

lock: $(STAMP) ## Resolve the dependencies anew, with hashes and without addresses
	@for name in runtime dev; do \
	  group=$$([ $$name = dev ] && echo "--group dev" || true); \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-header $$group pyproject.toml -o requirements/$$name.txt; \
	done
