# `make help` lists what there is. Every target sets the environment up if need be.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
export VENV
BIN := $(abspath $(VENV))/bin
# What a target's command gets besides, e.g. make test ARGS="tests/configs -x".
ARGS ?=
CONFIG ?= configs/sample.pbtxt
DATA ?= data/sample
# Test processes: one for each core, four at most; each imports TensorFlow.
WORKERS ?= auto
# Its protoc (21.6) writes modules that load under protobuf 3.20 as under 6.
GRPCIO_TOOLS := grpcio-tools==1.49.1

# Trust what the system trusts, as pip does: uv alone brings its own certificates.
ifneq ($(wildcard /etc/ssl/certs/* /etc/pki/tls/certs/*),)
export UV_SYSTEM_CERTS ?= true
endif

# Beam's worker pools start a plain `python`: it must be the environment's.
IN_ENV := PATH="$(BIN):$$PATH"

.PHONY: help
help: ## List the targets
	@echo "Targets (make TARGET):"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1|\2/p' Makefile | \
		while IFS='|' read -r name what; do printf '%-14s %s\n' "$$name" "$$what"; done
	@echo "Settings (make TARGET NAME=value):"
	@echo "  CONFIG       $(CONFIG)"
	@echo "  DATA         $(DATA)"
	@echo "  VENV         $(VENV)"
	@echo "  WORKERS      test processes ($(WORKERS))"
	@echo "  PYTHON       which Python; the one that fits is found by itself"
	@echo "  ARGS         further arguments of run, test, types, lock; the targets of test-debian13"

.PHONY: setup
setup: ## Find Python, install the locked dependencies into .venv (a no-op when done)
	@sh scripts/set_up.sh

.PHONY: run
run: setup ## Run the whole pipeline on the sample data (others: CONFIG=... DATA=...)
	@$(IN_ENV) pocketrec run --config "$(CONFIG)" --data "$(DATA)" $(ARGS)

.PHONY: demo
demo: setup ## Eight days of a pipeline that retrains itself, in some fifteen minutes
	@$(IN_ENV) python -m examples.retraining $(ARGS)

.PHONY: test
test: setup ## Run the tests (ARGS="tests/configs -x", WORKERS=0 for one process)
	@$(IN_ENV) python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-debian13
test-debian13: ## make test and make run in a Debian 13 root, on the newest TFX (as root)
	@scripts/debian13.sh $(or $(ARGS),test run)

.PHONY: image-steps
image-steps: ## The Dockerfile's steps and a run, in that root (ARGS=image-steps)
	@$(or $(PYTHON),python3) scripts/dockerfile_steps.py pipeline run --no-cache \
	  --config /src/configs/sample.pbtxt --data /src/data/sample --output /tmp/image-run

.PHONY: lint
lint: setup ## Check the format and lint with ruff
	@$(IN_ENV) ruff format --check --quiet --diff .
	@$(IN_ENV) ruff check .

.PHONY: format
format: setup ## Format the code and fix what ruff can fix
	@$(IN_ENV) ruff check --fix .
	@$(IN_ENV) ruff format .

.PHONY: types
types: setup ## Check the types with mypy
	@$(IN_ENV) python -m mypy $(ARGS)

.PHONY: check
check: lint types lock-check test ## All of lint, types, lock-check and test

.PHONY: lock
lock: ## Make the lock files from pyproject.toml (ARGS=--upgrade for newer versions)
	@uv=$$(sh scripts/set_up.sh --print-uv) && "$$uv" run --quiet --no-project --isolated \
		--python '>=3.9' --with packaging --with tomli python -B -m scripts.lock $(ARGS)

.PHONY: lock-check
lock-check: setup ## Tell whether the lock files fit pyproject.toml (no network needed)
	@$(IN_ENV) python -m scripts.lock --check

.PHONY: proto
proto: ## Make the Python modules anew from configs/*.proto
	@uv=$$(sh scripts/set_up.sh --print-uv) && python=$$(sh scripts/set_up.sh --find 3.10) && \
	"$$uv" run --quiet --no-project --isolated --python "$$python" \
		--with '$(GRPCIO_TOOLS)' --with 'setuptools<81' \
		python -W ignore -m grpc_tools.protoc --proto_path=. --python_out=. --pyi_out=. \
		configs/recommender.proto configs/experiment.proto

.PHONY: notebook
notebook: setup ## Run the example notebook anew and store what its cells put out
	@$(IN_ENV) python -m scripts.notebook examples/on_device_recommendation.ipynb

.PHONY: dist
dist: setup ## Build the distributions into dist/: pocketrec, and pocketrec-device's wheel
	@rm -rf dist build device/build
	@uv=$$(sh scripts/set_up.sh --print-uv) && \
	"$$uv" build --quiet --no-build-isolation --python "$(BIN)/python" --out-dir dist . && \
	"$$uv" build --quiet --no-build-isolation --python "$(BIN)/python" --out-dir dist \
		--wheel device
	@rm -rf build device/build ./*.egg-info device/*.egg-info
	@ls -1 dist

.PHONY: clean
clean: ## Remove what builds, tests and linters left (not the environment)
	@rm -rf build dist device/build ./*.egg-info device/*.egg-info
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path './.venv*' -prune -o -path ./.tools -prune -o -path ./.git -prune -o \
		-name __pycache__ -type d -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## clean, and remove the environment and our own uv
	@rm -rf .venv* .tools
