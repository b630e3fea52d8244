# Every target with its one-line help: `make`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
UV := .tools/bin/uv
RUN := $(UV) run --no-sync
PYTEST_ARGS ?=
# A file stays on one process, as its fixtures do; slow folders begin.
BY_FILE := --dist loadfile --no-loadscope-reorder
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo demo-loop up test test-fast check bench bench-online chaos real-data clean

help: ## Print every target with its help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install uv, the locked environment, Java if there is none, and Spark's jars
	@infra/bootstrap.sh

demo: setup ## From nothing to an explained fraud decision (at most 10 minutes, downloads not counted)
	@$(RUN) throughline demo

demo-loop: setup ## The demo's world shifts: drift, a challenger, sign-offs, stages; an incident; a card forgotten
	@$(RUN) throughline demo --loop

up: setup ## Dagster UI, daemon, folder, controller and service; Ctrl-C stops them all
	@$(RUN) throughline up

test: setup ## The whole suite, doctests included, three at a time (under 25 minutes on 2 cores)
	@$(RUN) pytest -n 3 $(BY_FILE) $(PYTEST_ARGS)

test-fast: setup ## The part without Spark and long proofs, three at a time (about 2 minutes on 2 cores)
	@$(RUN) pytest -n 3 $(BY_FILE) -m "not spark and not slow" $(PYTEST_ARGS)

check: setup ## Lint, format, types, import contracts, sizes, and what documents say
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports --no-cache
	$(RUN) pytest -q tests/docs tests/unit/test_house.py

bench: setup ## Benchmarks against peers: a table and JSON
	@$(RUN) python -m benchmarks

bench-online: setup ## The service against a hand-written twin, an echo and model servers, under load
	@$(RUN) python -m benchmarks online

chaos: setup ## Break every dependency under load, kill, overload, roll out; fails when a floor is missed
	@$(RUN) python -m benchmarks.chaos

real-data: setup ## Real card data through ingest, training and serving: make real-data FILE=...
	@$(RUN) python -m benchmarks.real_data $(if $(FILE),"$(FILE)")

clean: ## Forget the local platform's state (tables, models, logs); the environment stays
	rm -rf .throughline
