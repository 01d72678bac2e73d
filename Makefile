# What people type. `make up` and `make test` need Python >= 3.11 and make, and nothing else.
#
#   make up               the whole system on this machine, with a simulated community
#   make up DATA=DIR      the same, with real recordings replayed as live devices
#   make test             unit, integration and story tests on the embedded servers
#   make check            format, lint, types, and the arrows between the rooms
#
# JOBS is how many test files run at a time; DATA (or VIGIL_DATA) is the folder with the recordings;
# QUICK=1 shortens what is long.

VENV := .venv
PY := $(VENV)/bin/python
JOBS ?= 2
# Each job starts servers of its own; a file's tests stay together.
PYTEST := $(PY) -m pytest -q -n $(JOBS) --dist loadfile
ifdef DATA
export VIGIL_DATA := $(abspath $(DATA))
endif
ifdef QUICK
export QUICK
endif

.PHONY: up smoke test check stack-test faults bench bench-edge bench-board ops-check audit restore-drill wheelhouse deb install-check accuracy sla drill console-test lock clean

up: $(VENV)/.up
	@$(PY) -m deploy.embedded

smoke: $(VENV)/.up
	@$(PY) -m tests.smoke

test: $(VENV)/.dev
	@$(PYTEST) -m "not stack"

check: $(VENV)/.dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

# The same tests on mosquitto, Apache Kafka and PostgreSQL; migrations and queries on TimescaleDB.
stack-test: $(VENV)/.dev
	@VIGIL_TEST_STACK=real $(PYTEST) -m "stack or integration or story"

faults bench accuracy sla drill: $(VENV)/.dev
	@$(PY) -m tests.$@

# All that an ops team relies upon, in one command (about 8 min; ONLY="load pages" runs some of it): metrics, rules,
# boards, runbooks; units, compose, images and Kubernetes; a check of a running installation; a real Prometheus and
# Alertmanager at the running rooms; a database destroyed and brought back; every process replaced under load; many
# devices; what documents tell to type; a Debian package installed into an empty folder.
ops-check: $(VENV)/.dev
	@$(PY) -m tests.ops

# What we are made of (CycloneDX), and what is known against it, where the advisory data can be had.
audit: $(VENV)/.dev
	@$(PY) -m deploy.sbom
	@$(PY) -m deploy.sbom audit

# The database is destroyed under load, and brought back.
restore-drill: $(VENV)/.dev
	@$(PY) -m tests.restore

# The pinned packages, hashes checked, for images and hosts; Debian packages of them (PART=platform|fallback|edge).
PART ?= platform
wheelhouse deb: $(VENV)/.dev
	@$(PY) -m deploy.packages $@ $(if $(filter deb,$@),$(PART))

install-check: $(VENV)/.dev
	@PART=$(PART) $(PY) -m tests.install

bench-edge: $(VENV)/.dev
	@$(PY) -m tests.bench.edge

# The board's memory in a real Chromium through 10,000 alerts.
bench-board: $(VENV)/.dev
	@$(PY) -m tests.bench.board

console-test: $(VENV)/.dev
	@$(PY) -m pytest -q tests/console

# Newest versions that fit pyproject.toml, for all supported Pythons and systems at once.
lock: $(VENV)/.dev
	@$(PY) -m pip install --quiet uv
	@$(PY) -m deploy.embedded.lock

clean:
	rm -rf $(VENV) var

# --- The packages: installed once, and again when what is pinned has changed. ---

PIP := $(PY) -m pip --disable-pip-version-check install --quiet --no-deps
OLD := Vigil needs Python 3.11 or later with venv (Debian and Ubuntu: apt install python3-venv). Found:

$(VENV)/.up: constraints.txt pyproject.toml | $(PY)
	@echo "Installing what runs Vigil into $(VENV) (once) ..."
	@sed '/^# For development only:/,$$d' constraints.txt > $(VENV)/up.txt
	@$(PIP) --require-hashes -r $(VENV)/up.txt
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: constraints.txt pyproject.toml | $(PY)
	@echo "Installing what runs and tests Vigil into $(VENV) (once) ..."
	@$(PIP) --require-hashes -r constraints.txt
	@$(PIP) --no-build-isolation --editable .
	@touch $(VENV)/.up $@

# A name on the PATH is no promise that it runs (version managers leave such), so each is asked.
$(PY):
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			"$$python" -m venv $(VENV) && exit 0; \
		fi; \
	done; \
	echo "$(OLD) $$(python3 --version 2>/dev/null || echo no python3 that runs)" >&2; rm -rf $(VENV); exit 1
