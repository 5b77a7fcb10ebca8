# Everything runs in environments of this folder, built on first use from lock files; only Python 3.11+ is needed.
#   make PYTHON=python3.12 ...     uses another interpreter

PYTHON ?= python3
PIP = -m pip --quiet --disable-pip-version-check --no-input

FAST_TESTS = $(wildcard tests/unit tests/integration tests/conformance)
FROZEN_CONTRACT = protos/imagebatch.v1.binpb

.DELETE_ON_ERROR:
.PHONY: help demo test faults soak bench bench-quick bench-quality bench-tools test-protobuf7 venv lint format generate check-generated freeze lock postgres

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## describe real photographs, or your own with IMAGES=folder
	@.venv/bin/imagebatch demo $(if $(IMAGES),--images "$(IMAGES)")

test: .venv/.installed ## unit, integration and conformance tests
	.venv/bin/pytest -n logical --maxprocesses 4 --dist loadfile $(FAST_TESTS)

faults: .venv/.installed ## break things: kills, full disks, hostile images
	.venv/bin/pytest -n 2 --dist worksteal tests/faults

soak: .venv/.installed ## the same for hours: SCALE=10 times as many kills, mutations and requests
	IMAGEBATCH_FAULTS_SCALE=$(or $(SCALE),10) .venv/bin/pytest -n 2 --dist worksteal tests/faults

test-protobuf7: .venv-protobuf7/.installed ## the client's tests on protobuf 7
	.venv-protobuf7/bin/pytest tests/unit/test_generated.py $(wildcard tests/unit/client)

bench: .venv-bench/.installed ## measure everything beside its limit and its peers; an hour
	.venv-bench/bin/python -m benchmarks

bench-quick: .venv-bench/.installed ## the same with small numbers, in minutes: whether each row works
	.venv-bench/bin/python -m benchmarks --quick

bench-quality: .venv/.installed ## what describe and verify get right on known photographs, and how fast operations are
	.venv/bin/python -m benchmarks.quality.fetch
	.venv/bin/python -m benchmarks.quality
	.venv/bin/python -m benchmarks.quality.verify
	.venv/bin/python -m benchmarks.quality.speed

venv: .venv/.installed ## the environment that everything else uses

lint: .venv/.installed ## style, types, import rules and the contract
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/buf lint
	.venv/bin/buf format --diff --exit-code --path protos/imagebatch
	$(if $(wildcard $(FROZEN_CONTRACT)),.venv/bin/buf breaking --against $(FROZEN_CONTRACT))

format: .venv/.installed ## lay code and protos out
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/buf format --write --path protos/imagebatch

generate: .venv-generate/.installed ## write generated/ from protos/
	.venv-generate/bin/python scripts/generate.py

check-generated: .venv-generate/.installed ## fail if generated/ is not what protos/ gives
	@rm -rf .venv-generate/fresh
	@.venv-generate/bin/python scripts/generate.py --out .venv-generate/fresh
	@diff -r -x __pycache__ generated .venv-generate/fresh && echo "generated/ is fresh" \
	  || { echo "generated/ is stale or was edited by hand: run 'make generate' and commit it"; exit 1; }

freeze: .venv/.installed ## make this contract the one that `make lint` holds later ones against
	.venv/bin/buf build --exclude-source-info --path protos/imagebatch -o $(FROZEN_CONTRACT)

# LOCK=--upgrade takes the newest versions that pyproject.toml allows; without it only what must change does.
lock: .venv-lock/.installed ## resolve pyproject.toml into the lock files, for Python 3.11 and later
	$(COMPILE) pyproject.toml --extra dev -o requirements.lock
	$(COMPILE) --group generate -o requirements-generate.lock
	$(COMPILE) pyproject.toml --group protobuf7 -o requirements-protobuf7.lock

COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(LOCK)

postgres: ## install PostgreSQL's programs, for the tests that need them
	$(call install_program,initdb,postgresql,PostgreSQL)

bench-tools: postgres ## install the servers that the benchmarks' peers need: Redis, PostgreSQL
	$(call install_program,redis-server,redis-server,Redis)

# install_program: the program that must be found, Debian's package, the name
define install_program
	@if ls /usr/lib/postgresql/*/bin/$(1) >/dev/null 2>&1 || command -v $(1) >/dev/null; then \
	  echo "$(3) is installed"; \
	elif ! command -v apt-get >/dev/null; then \
	  echo "no apt-get here: install $(3) with your system's packages, so that $(1) is found"; exit 1; \
	elif [ "$$(id -u)" = 0 ]; then \
	  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(2); \
	elif command -v sudo >/dev/null; then \
	  sudo apt-get update && sudo apt-get install -y --no-install-recommends $(2); \
	else \
	  echo "run as root: apt-get install $(2)"; exit 1; \
	fi
endef

# Each environment's stamp: made again when its lock, or what the project says of itself, changes.

.venv/.installed: requirements.lock pyproject.toml
	$(call new_environment,.venv)
	@echo "installing into .venv; the first time takes some minutes"
	@.venv/bin/python $(PIP) install -r requirements.lock
	@.venv/bin/python $(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv-generate/.installed: requirements-generate.lock
	$(call new_environment,.venv-generate)
	@.venv-generate/bin/python $(PIP) install -r requirements-generate.lock
	@touch $@

.venv-protobuf7/.installed: requirements-protobuf7.lock pyproject.toml
	$(call new_environment,.venv-protobuf7)
	@.venv-protobuf7/bin/python $(PIP) install -r requirements-protobuf7.lock
	@.venv-protobuf7/bin/python $(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv-bench/.installed: requirements.lock benchmarks/requirements.txt pyproject.toml
	$(call new_environment,.venv-bench)
	@.venv-bench/bin/python $(PIP) install -r requirements.lock
	@.venv-bench/bin/python $(PIP) install --no-deps --no-build-isolation -e .
	@.venv-bench/bin/python $(PIP) install -r benchmarks/requirements.txt
	@touch $@

.venv-lock/.installed:
	$(call new_environment,.venv-lock)
	@.venv-lock/bin/python $(PIP) install 'uv>=0.9'
	@touch $@

define new_environment
	@command -v $(PYTHON) >/dev/null \
	  || { echo "$(PYTHON) was not found: install Python 3.11 or later, or name one, as in make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); 3.11 or later is needed, as in make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) can't build environments: install its venv package (on Debian: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv $(1)
endef
