# Each target makes what it needs: the environment is .venv/, installed from the locked, hashed files in .ci/.
# A machine needs Python 3.11 or newer (with venv) and make. Another Python: make PYTHON=/path/to/python3.11 test

PYTHON ?=
ARGS ?=
# Two workers: the suite starts real servers and kernels, and is held to six minutes on two cores.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
# Only wheels (nothing is built while installing), exactly the files of the lock, every hash checked.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --no-deps
LOCKED := --only-binary :all: --require-hashes -r

# The environment is .venv and nothing beside it.
unexport PYTHONHOME PYTHONPATH
# The suite starts hundreds of processes of ours: where bytecode is not kept, each compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

# The demo asks for less; where the full environment already is, that serves, and is kept up to date.
DEMO_ENV := $(if $(wildcard $(VENV)/.full),$(VENV)/.full,$(VENV)/.demo)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test check lint format types imports spelling shell bench docs bundle lock clean distclean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO_ENV)  ## a real Jupyter server, idle and busy kernels, the daemon: watch what goes and what stays (about a minute)
	@mkdir -p .demo
	$(BIN)/reaper demo --journal .demo/journal.db $(ARGS)

test: $(VENV)/.full  ## the whole suite; ARGS='-k name -x' are pytest's
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not bench' $(ARGS)

check: lint format types imports spelling shell  ## lint, format, types, layers, spelling (make -k check: all, even after a failure)

lint: $(VENV)/.full
	$(BIN)/ruff check .

format: $(VENV)/.full
	$(BIN)/ruff format --check --output-format concise .

types: $(VENV)/.full
	$(BIN)/mypy

imports: $(VENV)/.full
	$(BIN)/lint-imports

spelling: $(VENV)/.full
	$(BIN)/codespell

shell:
	@if command -v shellcheck >/dev/null 2>&1; then shellcheck .ci/run lcc/*.sh reaper/cli/templates/*.sh; \
	else echo "shellcheck is not installed: shell scripts not checked (.ci/run installs it)"; fi

bench: $(VENV)/.full  ## measure speed and size, print the table
	$(BIN)/python -m tests.bench $(ARGS)

docs: $(VENV)/.full  ## generate the reference pages, build the site into site/
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --clean --strict

bundle: $(DEMO_ENV)  ## an archive that installs without internet, into dist/; PYTHON=... is packed into it
	@$(BIN)/python -m lcc.bundle $(if $(findstring command,$(origin PYTHON)),--pack '$(PYTHON)') $(ARGS)

venv: $(VENV)/.full  ## the full environment, and nothing else

lock:  ## write .ci/lock*.txt anew from pyproject.toml; ARGS=--upgrade takes the newest versions
	@$(find_python); "$$python" -m venv .cache/lock
	.cache/lock/bin/python -m pip install -qq --disable-pip-version-check --only-binary :all: $(UV)
	@echo hatchling | $(LOCK) --extra test --extra dev --extra docs - pyproject.toml -o .ci/lock.txt $(ARGS)
	@echo hatchling | $(LOCK) --extra demo -c .ci/lock.txt - pyproject.toml -o .ci/lock-demo.txt $(ARGS)
	@echo pip | $(LOCK) -c .ci/lock.txt - pyproject.toml -o .ci/lock-run.txt $(ARGS)
	@if grep -nE '://|file:|index|find-links|@' .ci/lock*.txt; then \
	  echo "make lock: a lock file names an address; names, versions and hashes only" >&2; exit 1; fi

clean:  ## remove what was built, not the environment
	rm -rf build dist site .cache .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	rm -rf $(VENV)

# One set of versions for every Python and system (--universal, fewest forks), so that two machines test the same.
LOCK = .cache/lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --fork-strategy fewest \
  --only-binary :all: --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command 'make lock'

# Sets $python, or ends with the reason.
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.11 python3.12 python3.13 python3.14)
define find_python
python=; for candidate in $(PYTHONS); do \
  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
    python=$$candidate; break; \
  fi; \
done; \
if [ -z "$$python" ]; then \
  echo "reaper needs Python 3.11 or newer; tried: $(PYTHONS) ($$($(firstword $(PYTHONS)) --version 2>&1 | head -n 1))." \
    "Name one: make PYTHON=/path/to/python3.11 ..." >&2; \
  exit 1; \
fi
endef

$(BIN)/python:
	@$(find_python); \
	echo "creating $(VENV) with $$python"; \
	"$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "$$python can't make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }

# The locked packages, when the lock changes; ourselves (entry points, version), when pyproject.toml does.
# `pip check` fails when pyproject.toml asks for what the lock has not got: then `make lock`.
$(VENV)/.full-lock: .ci/lock.txt | $(BIN)/python
	@echo "installing $$(grep -c == .ci/lock.txt) locked packages into $(VENV) (a minute or two, once)"
	@$(PIP_INSTALL) $(LOCKED) .ci/lock.txt
	@touch $@

$(VENV)/.demo-lock: .ci/lock-demo.txt | $(BIN)/python
	@echo "installing $$(grep -c == .ci/lock-demo.txt) locked packages into $(VENV) (under a minute, once)"
	@$(PIP_INSTALL) $(LOCKED) .ci/lock-demo.txt
	@touch $@

$(VENV)/.full $(VENV)/.demo: $(VENV)/.%: $(VENV)/.%-lock pyproject.toml
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@$(BIN)/python -m pip check --disable-pip-version-check >&2
	@touch $@
