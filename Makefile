# The only door: people and CI run these targets and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BASELINE := tests/contract/baseline.binpb
LOCK := $(BIN)/uv pip compile pyproject.toml clients/python/pyproject.toml --extra cli --group dev --universal \
	--python-version 3.11 --no-emit-index-url --no-header --generate-hashes \
	--no-emit-package perdure --no-emit-package perdure-server --quiet --output-file requirements.txt
CHAOS := $(if $(EXECUTOR_KILLS),--executor-kills $(EXECUTOR_KILLS)) $(if $(SERVER_KILLS),--server-kills $(SERVER_KILLS)) \
	$(if $(SEED),--seed $(SEED)) $(if $(STORE),--store $(STORE)) $(if $(DATABASE_KILLS),--database-kills $(DATABASE_KILLS))
FUZZ := $(if $(CASES),--cases $(CASES)) $(if $(SEED),--seed $(SEED)) $(if $(CASE),--case $(CASE)) $(if $(ONLY),--only $(ONLY)) \
	$(if $(STORE),--store $(STORE)) $(if $(PROCESSES),--processes $(PROCESSES))
RACE := $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))
SOAK := $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000) --from $(or $(FROM),1))

.DEFAULT_GOAL := help

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.txt pyproject.toml clients/python/pyproject.toml clients/python/generate_stubs.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Perdure needs Python 3.11 or newer: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)
	@echo "installing what is needed into $(VENV); this happens once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e clients/python -e .
	@touch $@

install: $(READY) ## make the one environment that every target uses

up: $(READY) ## start a control plane and an executor on this machine (SQLite, loopback)
	$(BIN)/perdure-server up

demo: $(READY) ## run a playbook on processes that are killed: make demo [WORK_TREE=PATH]
	@$(BIN)/python examples/release-report/demo.py $(if $(WORK_TREE),--work-tree "$(WORK_TREE)")

test: $(READY) ## run every test but the long ones
	$(BIN)/pytest -n 2 --dist loadfile tests

soak: $(READY) ## play seeds of the simulation, all cores at once: make soak [SEEDS=1000] [FROM=1], or SEED=n alone with every step
	$(BIN)/python -m tests.simulation $(SOAK)

chaos: $(READY) ## kill 200 executors and 50 control planes under load and judge what is left; EXECUTOR_KILLS= SERVER_KILLS= SEED= STORE=postgresql DATABASE_KILLS=
	$(BIN)/python -m tests.chaos $(CHAOS)

fuzz: $(READY) ## ask servers 100,000 things that nobody should: bent tokens, manifests, requests, streams, files; CASES= SEED= ONLY=kind,... STORE=sqlite|postgresql|both, SEED=n CASE=n for one again
	$(BIN)/python -m tests.fuzz $(FUZZ)

race: $(READY) ## have people, time and stops decide an approval at once, at two control planes on PostgreSQL, 1,000 rounds of each; ROUNDS= SEED=
	$(BIN)/python -m tests.race $(RACE)

bench: $(READY) ## measure speed beside the fastest raw inserts; STORE=sqlite|postgresql|both CASES=a,b BENCH_PEERS=1 BENCH="--help"
	$(BIN)/python -m tests.bench $(if $(STORE),--store $(STORE)) $(if $(CASES),--cases $(CASES)) $(BENCH)

mutants: $(READY) ## plant bugs in copies of the source, see each caught by the tests or the simulation named for it, and list them by rule; MUTANTS=NAME for one
	$(BIN)/python -m tests.mutants $(MUTANTS)

check: $(READY) ## check format, lint, types, imports, the protos and their compatibility, the pages, and that stubs are fresh
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy examples/release-report/*.py
	$(BIN)/buf lint
	$(BIN)/pytest -q tests/architecture tests/contract tests/docs
	$(BIN)/python clients/python/generate_stubs.py --check

format: $(READY) ## format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(READY) ## compile protos/ into the Python client again
	$(BIN)/python clients/python/generate_stubs.py

proto-baseline: $(READY) ## take protos/ as they are as the promise that `make check` holds them to
	$(BIN)/buf build --exclude-imports --exclude-source-info --output $(BASELINE)

lock: $(READY) ## resolve requirements.txt again, hashed and without addresses
	$(LOCK)

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

.PHONY: help install up demo test soak chaos fuzz race mutants bench check format proto proto-baseline lock clean
