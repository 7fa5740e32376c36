# Every task of the project. `make help` lists them; CI runs the same ones (.ci/run).
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
KILLS ?= 1000
AWAY_S ?= 600
SEEDS ?= 100000
JOBS ?= $(shell expr $$(nproc) + 1)
# Thousands of databases are made and synchronised by the tests: in memory, where there is room for them.
SCRATCH ?= $(or $(TMPDIR),$(shell df -k /dev/shm 2>/dev/null | awk 'NR > 1 && $$4 > 4000000 {print $$6}'),/tmp)

.DEFAULT_GOAL := help
.PHONY: help serve demo test e2e soak check format bench docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: .venv/serve ## run the gateway on 127.0.0.1:8080; ARGS="…" go to `tollway serve`
	@TOLLWAY_PUSH_ALLOW_CIDRS="$${TOLLWAY_PUSH_ALLOW_CIDRS-127.0.0.0/8,::1/128}"; \
	export TOLLWAY_PUSH_ALLOW_CIDRS; exec $(BIN)/tollway serve $(ARGS)

demo: .venv/serve ## one organisation's day, played against doubles and printed
	@$(BIN)/tollway demo

test: .venv/dev ## all tests, on SQLite and PostgreSQL, JOBS at once; ARGS="…" go to pytest
	TMPDIR=$(SCRATCH) $(BIN)/pytest --cov -n $(JOBS) --dist worksteal $(ARGS)
	@$(if $(ARGS),,$(MAKE) --no-print-directory coverage)

coverage:
	$(BIN)/coverage report --fail-under=100 --include='tollway/domain/*,tollway/limits/*,tollway/metering/*,tollway/billing/*'
	$(BIN)/coverage report --fail-under=90 --omit='tollway/domain/*,tollway/limits/*,tollway/metering/*,tollway/billing/*'

e2e: .venv/dev ## the installed command against a real Prometheus
	.ci/peers
	$(BIN)/pytest -m e2e -n 2 --dist loadfile $(ARGS)

soak: .venv/dev ## killed, starved, restored, simulated: KILLS=1000 AWAY_S=600 SEEDS=100000
	$(BIN)/python -m tests.soak --kills $(KILLS) --away-s $(AWAY_S)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --jobs 2
	$(BIN)/python -m tests.simulation_limits --seeds $$((10 * $(SEEDS))) --jobs 2

check: .venv/dev ## types, lint, format, generated docs, lock files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m docs.generate --check
	$(BIN)/pip check

format: .venv/dev ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev ## ratios, measured side by side in one run
	$(BIN)/python -m bench

docs: .venv/dev ## renew the generated parts of docs/
	$(BIN)/python -m docs.generate

lock: ## renew the lock files, with packages that are at least a week old
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install -q uv
	requirements/lock .venv/lock/bin/uv

clean: ## remove what these tasks made, but not ./data
	rm -rf .venv .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Tollway needs Python 3.11 or later; name one with PYTHON=…"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/serve: requirements/serve.lock pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r $<
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: requirements/dev.lock .venv/serve
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@
