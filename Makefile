# What needs nothing but Python >= 3.11, make and a package index: env, run, test, check, bench, lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help env run test check bench growth faults peers budget lock dev clean

help:            ## Show the targets.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

env: $(VENV)/env.stamp   ## Make .venv from the lock file.

dev: $(VENV)/dev.stamp   ## The same, with what the tests need.

run: env         ## Start the gateway: what this machine has, or a demo.
	@$(BIN)/llama-gateway up

test: dev        ## Run all tests.
	@$(BIN)/python -m tests.needs
	@$(BIN)/python -m pytest -n 2 --dist loadfile -q

check: dev       ## Lint, format, types, layers, docs, policies; fast.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m gateway.catalogue.build --check
	@$(BIN)/python -m deploy.grafana.source --check
	@$(BIN)/python -m pytest -q tests/docs
	@$(BIN)/llama-gateway check policies/*.yaml

bench: dev       ## Measure, with the peers it installs, about 12 minutes; writes build/bench.*.
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.bench.reloading

growth: dev      ## How cost grows with bodies, deployments, callers, streams and cache; writes build/growth.*.
	@$(BIN)/python -m tests.bench.growth

faults: dev      ## The faults of Failover Bench at real times; writes build/faults.md.
	@$(BIN)/python -m tests.faults

peers: dev       ## The same faults before LiteLLM's proxy and Portkey's gateway, 7 minutes; writes build/peers-faults.*.
	@$(BIN)/python -m tests.faults.peers

budget: dev      ## Accept what a request costs now, in calls and allocations, as the budget that the tests hold.
	@$(BIN)/python -m tests.bench.budget --accept

# The stamps hold until the lock changes; pip verifies every hash.
$(VENV)/env.stamp: requirements.lock pyproject.toml
	@$(MAKE) --no-print-directory $(VENV)/bin/python
	@echo "Installing from requirements.lock ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/env.stamp
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) was found. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "python3 has no venv module: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

# Needs uv, which nothing else does.
lock:            ## Resolve both lock files anew.
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q \
	  pyproject.toml --all-extras --group build --group dev -o requirements-dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q \
	  pyproject.toml --extra bedrock --extra litellm --extra tracing --group build -c requirements-dev.lock -o requirements.lock

clean:           ## Remove what the targets made.
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
