# Two commands do everything: `make run` and `make test`. They need Python >= 3.11, make and git.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-slow lint bench harden docs clean

run: $(VENV)/.installed  ## train the quick preset against the tournament bots, evaluate it, draw the figure
	$(BIN)/jaxmarl train rrps --preset quick

test: $(VENV)/.installed-test lint  ## ruff, mypy, pytest
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed-test  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 3000

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed  ## throughput of training; solvers (beside other libraries where the test extras are installed)
	$(BIN)/python scripts/bench/train_rrps.py
	$(BIN)/python scripts/bench/solvers.py
	$(BIN)/python scripts/bench/auctions.py --sizes 1 1024
	$(BIN)/python scripts/bench/markets.py --quick
	$(BIN)/python scripts/bench/markov_games.py --sizes 1 1024

harden: $(VENV)/.installed-test  ## wrong input, kills and full disks, determinism: counts of what was tried and what was lost
	$(BIN)/python scripts/hardening/fuzz.py
	$(BIN)/python scripts/hardening/chaos.py
	$(BIN)/python scripts/hardening/determinism.py

docs: $(VENV)/.installed  ## the documentation, strictly: site/index.html
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python >= 3.11 is needed: install it, or say make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing jax and the rest into $(VENV): about 900 MB, a minute or more"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[gambit]' \
		|| echo "pygambit could not be built (is there a C++ compiler?): the tests that compare with Gambit are skipped"
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) site $${XDG_CACHE_HOME:-$$HOME/.cache}/jaxmarl build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
