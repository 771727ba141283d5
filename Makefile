# What people do with this project; `make` alone lists it.
# ARGS reaches the program: make run ARGS="--port 9000".

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo run test lint secrets audit types unit integration e2e fuzz chaos accuracy lock clean
.NOTPARALLEL:

# Without byte code TensorFlow takes three times as long to import.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# The first Python that TensorFlow has builds for.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& command -v "$$name" && exit; done)
NEED_PYTHON = command -v "$(PYTHON)" > /dev/null || { echo "Python 3.11, 3.12 or 3.13 was not found (python3 is \
	`python3 --version 2>&1`). Install one, or name it: make $@ PYTHON=/path/to/python3.11" >&2; exit 1; }

# Cases that `make fuzz` sends.
FUZZ_CASES ?= 20000

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Make .venv and install what the product needs
	@$(NEED_PYTHON); exec "$(PYTHON)" energy_forecasting/launcher/environment.py

install-dev: ## Make .venv and install what developing needs on top
	@$(NEED_PYTHON); exec "$(PYTHON)" energy_forecasting/launcher/environment.py --dev

demo: install ## Start everything, train four real meters, show their forecasts, serve
	@exec $(BIN)/python -m energy_forecasting demo $(ARGS)

run: install ## Start everything and serve
	@exec $(BIN)/python -m energy_forecasting run $(ARGS)

test: install-dev lint types ## Lint, types and every test
	@exec $(BIN)/python -m pytest $(ARGS)

lint: install-dev ## Style, format and the arrows between the rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory secrets

# Made up, for tests and examples; ruff asks for a word at each of the others (S105 to S107).
NO_SECRETS := s3cret|never-shown|^replace-with-|^X-API-Key$$|^(true|false)$$

secrets: ## Look for passwords, tokens and keys in what git knows; without the network
	@if git rev-parse --is-inside-work-tree > /dev/null 2>&1; then \
		git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --no-verify \
			--exclude-lines 'noqa: S10[5-7]' --exclude-secrets '$(NO_SECRETS)'; \
	else echo "Not a git checkout: nothing was looked through for secrets."; fi

audit: ## Ask the network for known weaknesses of the pinned packages
	@$(NEED_PYTHON); "$(PYTHON)" -m venv .venv-audit
	@.venv-audit/bin/pip install --quiet --upgrade pip-audit
	@exec .venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

types: install-dev ## Types
	@exec $(BIN)/mypy

unit: install-dev ## Unit tests and the examples in docstrings
	@exec $(BIN)/python -m pytest tests/unit energy_forecasting $(ARGS)

integration: install-dev ## Tests against a real Redis and real stores
	@exec $(BIN)/python -m pytest tests/integration $(ARGS)

e2e: install-dev ## Tests that start the whole stack as an operator would
	@exec $(BIN)/python -m pytest tests/e2e $(ARGS)

fuzz: install-dev ## Some 20,000 odd requests, made from the OpenAPI document: make fuzz FUZZ_CASES=50000
	@exec env FUZZ_CASES=$(FUZZ_CASES) $(BIN)/python -m pytest tests/integration/api/test_fuzz.py \
		--hypothesis-profile=long $(ARGS)

chaos: install-dev ## Storms over the real stack: make chaos ARGS="--seed 7 --tasks 200 --storms workers,replies"
	@exec $(BIN)/python -m tests.chaos $(ARGS)

accuracy: ## Measure the product against its opponents: make accuracy ARGS="--data F --meta F --out F"
	@exec $(BIN)/python benchmarks/accuracy.py $(ARGS)

PIN := $(BIN)/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
NOTE := \# Made by `make lock`: every version that was tested together. Do not edit.

lock: install-dev ## Pin the newest versions that requirements*.txt allow
	@$(PIN) --output-file requirements.lock requirements.txt
	@$(PIN) --constraint requirements.lock --output-file requirements-dev.lock requirements-dev.txt
	@for file in requirements.lock requirements-dev.lock; do \
		printf '%s\n' '$(NOTE)' | cat - "$$file" > "$$file.draft" && mv "$$file.draft" "$$file"; done

clean: ## Remove caches and pictures; models, logs and var stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo_output test_output
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
