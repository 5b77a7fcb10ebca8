# Everything runs in environments of this folder, built on first use from lock files; only Python 3.11+ is needed.
#   make PYTHON=python3.12 ...     uses another interpreter

PYTHON ?= python3
PIP = -m pip --quiet --disable-pip-version-check --no-input

# The files of long tests come first, so that processes end at about the same time.
FAST_TESTS = $(wildcard tests/conformance tests/integration tests/unit)
# The longest by far begins at once, and the others are shared out beside it.
FAULT_TESTS = $(LONGEST) $(filter-out $(LONGEST),$(wildcard tests/faults/test_*.py))
LONGEST = tests/faults/test_ray.py
# The units, and a whole server: whether other versions of what we stand on work.
SMOKE_TESTS = tests/unit tests/integration/server/test_mixed_batch.py tests/integration/server/test_serving.py
IN_PARALLEL = -n 4 --dist loadfile --no-loadscope-reorder
SLOWEST = --durations 25 --durations-min 5
# What failed beside other tests, on processors that all wait for, runs once more, alone: a fault fails again.
AGAIN_ALONE = .venv/bin/pytest -n 0 --last-failed --last-failed-no-failures none
# The distributions, each before those that need it; installed together for development.
PROJECTS = client . server/imagebatch_vision
PROJECT_FILES = $(PROJECTS:%=%/pyproject.toml)
EDITABLE = $(PIP) install --no-deps --no-build-isolation $(PROJECTS:%=-e %)
# sync: an environment and its lock file. uv does in seconds what takes pip minutes; where uv reaches no index, as where
# pip's configuration leads to another one, pip installs the same, by the same hashes.
sync = UV_SYSTEM_CERTS=1 .venv-uv/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python $(1)/bin/python $(2) \
  || $(1)/bin/python $(PIP) install -r $(2)

# The tests start a thousand Python processes, each of which would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

FROZEN_CONTRACT = protos/imagebatch.v1.binpb

.DELETE_ON_ERROR:
.PHONY: help demo test faults soak bench bench-quick bench-quality bench-tools dist test-dist test-protobuf7 venv lint format settings verify-types generate check-generated freeze protos lock postgres faketime network php prometheus chromium
.PHONY: cluster deploy-secrets image-tools test-deploy

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## describe real photographs, or your own by IMAGES=folder; SECURE=1, RAY=1, PAGE=1; CLUSTER=1: two servers and nodes
	@$(if $(CLUSTER),$(RUN_CLUSTER) --demo,.venv/bin/imagebatch demo $(if $(SECURE),--secure) $(if $(RAY),--ray) $(if $(PAGE),--page)) $(if $(IMAGES),--images "$(IMAGES)")

RUN_CLUSTER = exec env PYTHONPATH="$(CURDIR)" .venv/bin/python scripts/cluster.py

cluster: .venv/.installed ## run what deploy/compose.yaml has as plain processes, until Ctrl-C: servers, PostgreSQL, objects
	@$(RUN_CLUSTER)

test: .venv/.installed ## unit, integration and conformance tests
	.venv/bin/pytest $(IN_PARALLEL) $(SLOWEST) $(FAST_TESTS) || $(AGAIN_ALONE) $(FAST_TESTS)

faults: .venv/.installed ## break things: kills, full disks, hostile images
	.venv/bin/pytest -n 3 --dist worksteal $(SLOWEST) $(FAULT_TESTS) || $(AGAIN_ALONE) tests/faults

soak: .venv/.installed ## the same for hours: SCALE=10 times as many kills, mutations and requests
	IMAGEBATCH_FAULTS_SCALE=$(or $(SCALE),10) .venv/bin/pytest -n 2 --dist worksteal tests/faults

test-protobuf7: .venv-protobuf7/.installed ## the client's tests on protobuf 7
	.venv-protobuf7/bin/pytest tests/unit/test_generated.py $(wildcard tests/unit/client)

dist: .venv/.installed ## build sdists of the three distributions, wheels from them, and the plain protos, into dist/
	@rm -rf dist
	@for project in $(PROJECTS); do \
	  (cd $$project && $(CURDIR)/.venv/bin/python -m hatchling build -t sdist -d $(CURDIR)/dist) || exit 1; \
	done
	@.venv/bin/python $(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
	@.venv/bin/python scripts/plain_protos.py
	@ls -l dist

test-dist: .venv/.installed ## build the distributions, look into them, install them into fresh environments and use them
	.venv/bin/pytest tests/distributions

test-deploy: .venv/.installed ## what deploy/ has: the image built and its server called, manifests, the unit, the composition
	.venv/bin/pytest $(or $(TESTS),tests/deployment)

deploy-secrets: .venv/.installed ## make what deploy/compose.yaml needs: certificates, tokens, passwords, in deploy/secrets/
	.venv/bin/python scripts/deployment_secrets.py deploy/secrets

# What a stock image with Python has, made of Debian's packages, for machines that reach no registry.
.image/base.tar:
	@mkdir -p .image
	mmdebstrap --quiet --variant=essential --include=ca-certificates,libstdc++6,python3,python3-venv \
	  --dpkgopt=force-unsafe-io $(foreach part,doc locale man,--dpkgopt='path-exclude=/usr/share/$(part)/*') \
	  bookworm $@

.PHONY: test-lowest test-pythons
test-lowest: .venv-lowest/.installed ## the units and a server on the lowest versions of dependencies; TESTS=tests/integration for more
	.venv-lowest/bin/pytest $(IN_PARALLEL) $(or $(TESTS),$(SMOKE_TESTS))

PYTHONS = 3.11 3.12 3.13 3.14

test-pythons: $(PYTHONS:%=test-python%) ## the unit tests, and a whole server, on each Python that can be found or fetched

test-python%: .venv-uv/.installed
	@if PATH="$(subst $() ,:,$(wildcard $(HOME)/.pyenv/versions/$*.*/bin)):$$PATH" .venv-uv/bin/uv venv --quiet --clear --seed --python $* .venv-python$* 2>/dev/null; then \
	  ($(call sync,.venv-python$*,requirements.lock)) && .venv-python$*/bin/python $(EDITABLE) \
	  && .venv-python$*/bin/python --version \
	  && .venv-python$*/bin/pytest -q $(IN_PARALLEL) $(SMOKE_TESTS); \
	else \
	  echo "Python $* is not installed and can't be fetched: not tested"; \
	fi

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
	@ls server/imagebatch_server/store/migrations/versions | cut -c1-5 | uniq -d | sed 's/$$/: two migrations have this number/' | (! grep .)
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/buf lint
	.venv/bin/buf format --diff --exit-code --path protos/imagebatch
	$(if $(wildcard $(FROZEN_CONTRACT)),.venv/bin/buf breaking --against $(FROZEN_CONTRACT))

format: .venv/.installed ## lay code and protos out
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/buf format --write --path protos/imagebatch

settings: .venv/.installed ## write docs/settings.md from the settings
	.venv/bin/python scripts/settings_page.py

verify-types: .venv/.installed .venv-types/.installed ## fail unless all that the client offers has a known type
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv-types/bin/basedpyright --verifytypes imagebatch_client --ignoreexternal

generate: .venv-generate/.installed ## write generated/ from protos/
	.venv-generate/bin/python scripts/generate.py

check-generated: .venv-generate/.installed ## fail if generated/ is not what protos/ gives
	@rm -rf .venv-generate/fresh
	@.venv-generate/bin/python scripts/generate.py --out .venv-generate/fresh
	@diff -r -x __pycache__ generated .venv-generate/fresh && echo "generated/ is fresh" \
	  || { echo "generated/ is stale or was edited by hand: run 'make generate' and commit it"; exit 1; }

PAGE_BUILT = server/imagebatch_server/http/static
IN_PAGE = cd server/page && PATH="$(CURDIR)/.venv/bin:$$PATH" npm run --silent

.PHONY: page check-page format-page
page: page-contract ## build the HTTP port's page, from server/page into the server's package; needs Node.js 20
	@$(IN_PAGE) build
	@ls -l $(PAGE_BUILT)

check-page: page-contract ## fail if the built page is not what server/page and protos/ give
	@$(IN_PAGE) lint
	@PAGE_OUT=.build/fresh npm --prefix server/page run --silent build
	@diff -r $(PAGE_BUILT) server/page/.build/fresh && echo "the page is fresh" \
	  || { echo "the page is stale or was edited by hand: run 'make page' and commit it"; exit 1; }

format-page: server/page/node_modules/.installed ## lay the page's source out
	@$(IN_PAGE) format

.PHONY: page-contract
page-contract: .venv/.installed server/page/node_modules/.installed
	@.venv/bin/python scripts/plain_protos.py --out server/page/.build > /dev/null
	@$(IN_PAGE) contract

server/page/node_modules/.installed: server/page/package-lock.json
	@cd server/page && npm ci --prefer-offline --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

freeze: .venv/.installed ## make this contract the one that `make lint` holds later ones against
	.venv/bin/buf build --exclude-source-info --path protos/imagebatch -o $(FROZEN_CONTRACT)

protos: .venv/.installed ## write the contract without validation rules, for every generator: dist/protos/, and one file of it
	.venv/bin/python scripts/plain_protos.py

# LOCK=--upgrade takes the newest versions that pyproject.toml allows; without it only what must change does.
lock: .venv-uv/.installed ## resolve pyproject.toml into the lock files, for Python 3.11 and later
	$(COMPILE) $(PROJECT_FILES) --all-extras --group dev -o requirements.lock
	$(COMPILE) $(PROJECT_FILES) --all-extras --group test --resolution lowest-direct -o requirements-lowest.lock
	$(COMPILE) --group generate -o requirements-generate.lock
	$(COMPILE) client/pyproject.toml --group pyproject.toml:protobuf7 -o requirements-protobuf7.lock

PROJECTS_BY_NAME = imagebatch-client imagebatch imagebatch-vision
COMPILE = .venv-uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links $(PROJECTS_BY_NAME:%=--no-emit-package %) --custom-compile-command "make lock" $(LOCK)

postgres: ## install PostgreSQL's programs, for the tests that need them
	$(call install_program,initdb,postgresql,PostgreSQL)
	$(call install_program,pgbouncer,pgbouncer,PgBouncer)

image-tools: ## install what builds images and checks units, for the tests of deploy/
	$(call install_program,buildah,buildah,buildah)
	$(call install_program,mmdebstrap,mmdebstrap,mmdebstrap)
	$(call install_program,systemd-analyze,systemd,systemd)

faketime: ## install libfaketime, for the test of servers whose clocks differ
	$(call install_program,faketime,faketime,libfaketime)

network: ## install iproute2 and iptables, for the test that cuts a node of a cluster off
	$(call install_program,ip,iproute2,iproute2)
	$(call install_program,iptables,iptables,iptables)

php: ## install PHP and gRPC's generator for it, for the test of a client in PHP
	$(call install_program,php,php-cli php-curl php-google-protobuf,PHP)
	$(call install_program,grpc_php_plugin,protobuf-compiler protobuf-compiler-grpc libprotobuf-dev,gRPC's generator for PHP)

PROMTOOL = .promtool/usr/bin/promtool

prometheus: ## fetch Prometheus' promtool, for the tests of alerts; its server is not installed
	@if command -v promtool >/dev/null || [ -x $(PROMTOOL) ]; then \
	  echo "promtool is installed"; \
	elif ! command -v apt-get >/dev/null; then \
	  echo "no apt-get here: install Prometheus' promtool, so that it is found"; exit 1; \
	else \
	  mkdir -p .promtool && cd .promtool && rm -f *.deb \
	  && (apt-get download prometheus || (apt-get update && apt-get download prometheus)) \
	  && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && rm *.deb; \
	fi

chromium: ## install Chromium, for the tests of the page
	$(call install_program,chromium,chromium fonts-dejavu-core,Chromium)

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

.venv/.installed: requirements.lock $(PROJECT_FILES) | .venv-uv/.installed
	$(call new_environment,.venv)
	@echo "installing into .venv; the first time takes a minute"
	@$(call sync,.venv,requirements.lock)
	@.venv/bin/python $(EDITABLE)
	@touch $@

.venv-generate/.installed: requirements-generate.lock | .venv-uv/.installed
	$(call new_environment,.venv-generate)
	@$(call sync,.venv-generate,requirements-generate.lock)
	@touch $@

.venv-protobuf7/.installed: requirements-protobuf7.lock client/pyproject.toml | .venv-uv/.installed
	$(call new_environment,.venv-protobuf7)
	@$(call sync,.venv-protobuf7,requirements-protobuf7.lock)
	@.venv-protobuf7/bin/python $(PIP) install --no-deps --no-build-isolation -e client
	@touch $@

.venv-lowest/.installed: requirements-lowest.lock $(PROJECT_FILES) | .venv-uv/.installed
	$(call new_environment,.venv-lowest)
	@$(call sync,.venv-lowest,requirements-lowest.lock)
	@.venv-lowest/bin/python $(EDITABLE)
	@touch $@

.venv-bench/.installed: requirements.lock benchmarks/requirements.txt $(PROJECT_FILES) | .venv-uv/.installed
	$(call new_environment,.venv-bench)
	@$(call sync,.venv-bench,requirements.lock)
	@.venv-bench/bin/python $(EDITABLE)
	@.venv-bench/bin/python $(PIP) install -r benchmarks/requirements.txt
	@touch $@

.venv-types/.installed:
	$(call new_environment,.venv-types)
	@.venv-types/bin/python $(PIP) install 'basedpyright>=1.31'  # pyright without a download of its own
	@touch $@

.venv-uv/.installed:
	$(call new_environment,.venv-uv)
	@.venv-uv/bin/python $(PIP) install 'uv>=0.9'
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
