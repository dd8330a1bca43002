# `make` lists the targets. Needs make and Python 3.11 or newer; a C compiler and node only help.

VENV ?= .venv
BIN = $(VENV)/bin
# The first of these that is new enough; `make PYTHON=…` chooses another.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(shell \
	$(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))) python3)
# Tests wait for processes and disks: a worker more than two cores.
# What the tests are run with: `make test TESTS=tests/wire PYTEST_ARGS=-x`.
TESTS ?=
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder
# Passed on to the command of demo, serve and bench.
ARGS ?=

SOURCES = src tests tools bench setup.py
INSTALL = pyproject.toml setup.py constraints.txt tools/bootstrap.py \
	$(wildcard src/heliograph/kernels/*.py src/heliograph/kernels/*.px?)

.DEFAULT_GOAL := help
.PHONY: help demo serve test check fmt lint types bench peers clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1: \2/p' Makefile

demo: $(VENV)/.server  ## the service with a simulated cluster, on the embedded store
	$(BIN)/heliograph demo $(ARGS)

serve: $(VENV)/.server  ## the service alone
	$(BIN)/heliograph serve $(ARGS)

test: $(VENV)/.test  ## the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS) $(TESTS)

check: lint types test  ## format, lint, strict types, architecture and all other tests

fmt: $(VENV)/.test  ## format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix-only --quiet $(SOURCES)

lint: $(VENV)/.test  ## format (asked, not done) and lint
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

types: $(VENV)/.test  ## strict types
	$(BIN)/mypy

bench: $(VENV)/.test  ## the benchmarks
	@for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done

peers: $(VENV)/.server  ## fetch the real peers that some tests talk to (Debian and its kin)
	$(BIN)/python tools/peers.py
	$(BIN)/python tools/wandb_clients.py

clean:  ## remove what was made here; not your data
	rm -rf $(VENV) .cache build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info src/*.egg-info
	rm -f src/heliograph/kernels/*.so src/heliograph/kernels/*.c

# Stamps: an environment is made again only when what it is made of has changed.
$(VENV)/.server: $(INSTALL)
	$(PYTHON) tools/bootstrap.py $(VENV) server
	touch $@

$(VENV)/.test: $(INSTALL)
	$(PYTHON) tools/bootstrap.py $(VENV) server postgres test
	touch $@ $(VENV)/.server
