# Two commands on a fresh machine: `make demo` and `make test`. The rest is for those who work on volet.

PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check
ARGS ?=

# Compiled modules are kept, whatever the shell says: tests start hundreds of interpreters.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test quick bench lint lock clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    the whole program on embedded parts, on loopback (ARGS='--once' for one scripted session)"
	@echo "make test    what the tests need, then lint and the whole suite"
	@echo "make quick   the tests that need no server, root or browser"
	@echo "make bench   the benchmarks: figures, not verdicts"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make lock    resolve the dependencies anew into requirements/"
	@echo "make clean   remove all that these commands made"

demo: .venv/run.stamp
	@.venv/bin/volet demo $(ARGS)

test: .venv/dev.stamp
	tests/packages.sh
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory quick
	.venv/bin/python -m pytest -m slow -n 3 --dist loadfile $(ARGS)

quick: .venv/dev.stamp
	PYTEST_DEBUG_TEMPROOT=/dev/shm .venv/bin/python -m pytest -m "not slow" -n 3 --dist worksteal -o tmp_path_retention_policy=failed $(ARGS)

bench: .venv/dev.stamp
	tests/packages.sh nginx-light:nginx wrk:wrk
	.venv/bin/python -m pytest tests/bench -q -s -o addopts="--strict-markers --import-mode=importlib" $(ARGS)

lint: .venv/dev.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "volet needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true);" \
	    "install it, or name another: make PYTHON=python3.12 demo" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# Hashes vouch for every file that comes over the network; the project itself is then linked without any.
.venv/run.stamp .venv/dev.stamp: .venv/%.stamp: requirements/%.txt pyproject.toml | .venv/pyvenv.cfg
	$(PIP) install --quiet --require-hashes -r $<
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Each release of a dependency is locked with the hashes of all its files, so one lock serves x86-64 and ARM.
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" PIP_FIND_LINKS= build/lock/bin/pip-compile --quiet --upgrade \
  --generate-hashes --allow-unsafe --strip-extras --build-deps-for wheel \
  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

lock: | .venv/pyvenv.cfg
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	$(COMPILE) --extra demo --output-file requirements/run.txt pyproject.toml
	$(COMPILE) --extra demo --extra dev --constraint requirements/run.txt \
	  --output-file requirements/dev.txt pyproject.toml

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find orchestrator tests migrations -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
