# The two commands: `make run` shows Tutorwatch at work, `make test` checks it. Each sets itself up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Every command starts processes, the tests hundreds: compiled modules are kept, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test soak check browser setup bench lock clean

run: setup
	@$(BIN)/tutorwatch run

test: check browser
	@$(BIN)/pytest --numprocesses auto --maxschedchunk 1

soak: setup ## The fault tests, many times over, and the longer benchmarks once; ends with the table of docs/faults.md
	@TUTORWATCH_TEST_SOAK=1 $(BIN)/pytest tests/faults tests/benchmarks --numprocesses auto --maxschedchunk 1

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --confidence-level medium --configfile pyproject.toml --recursive database listener migrations rules scripts telling web

browser: ## For the tests: Chromium, from Debian's packages where none is installed
	@test -n "$$TUTORWATCH_TEST_BROWSER" || command -v chromium google-chrome >/dev/null || { \
		echo "Installing Chromium for the browser tests ..."; \
		{ apt-get update --quiet --quiet; apt-get install --yes --quiet --quiet chromium; } >/dev/null 2>&1; } \
		|| { echo "No Chromium: install one, or set TUTORWATCH_TEST_BROWSER to a browser of that family"; exit 1; }

setup: $(VENV)/installed

$(VENV)/installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tutorwatch needs Python 3.11 or later; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) (once, about a minute) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

bench: setup ## The results of benchmarks.md; some of them: make bench BENCH="drain --quick"
	@$(BIN)/python -m benchmarks $(BENCH)

lock: setup ## Renew the lock files after a change of pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade pyproject.toml --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade --all-extras --constraint requirements.txt pyproject.toml --output-file requirements-dev.txt
	@echo setuptools | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade --constraint requirements-dev.txt - --output-file requirements-build.txt

clean: ## Removes what make made, the demo's database included
	rm -rf $(VENV) .data build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
