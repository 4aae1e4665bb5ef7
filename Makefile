# Everything runs in a .venv of the repository's own, made on first use. `make` alone lists the targets.

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := schemas streams trainer_trigger millrace client/millrace_client deploy benchmarks tests
# More arguments for pytest, the benchmarks or the local servers: make test ARGS="-k redact"
ARGS ?=
# Tests mostly wait for servers, so that three workers pay on two cores; each has servers of its own, 1 to 2 GB.
# WORKERS=0: all in one process, as a debugger wants it.
WORKERS ?= 3

# Some names on PATH are shims that fail when they run, so each is tried. Faust has no release for 3.13.
USABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
PYTHON ?= $(shell for each in python3.12 python3.11 python3; do \
	"$$each" -c '$(USABLE)' >/dev/null 2>&1 && echo "$$each" && break; done)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench chaos trainer services services-stop lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | while IFS=: read -r target text; do \
		printf '  make %-14s%s\n' "$$target" "$$text"; done

demo: $(VENV)/$(if $(LIGHT),.runtime,.trainer) ## the whole loop with made-up events, up to a small training; LIGHT=1: without
	@$(BIN)/millrace demo $(if $(LIGHT),--light)

test: $(VENV)/.dev ## all tests; real servers are started where this machine can
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev ## ruff and strict mypy, what CI runs before the tests
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/mypy $(PACKAGES)

bench: $(VENV)/.dev ## events a second through the whole pipeline
	@$(BIN)/python benchmarks/pipeline.py $(ARGS)

chaos: $(VENV)/.dev ## kill, freeze, cut off and corrupt everything under load, then audit
	@$(BIN)/python -m tests.chaos $(ARGS)

trainer: $(VENV)/.trainer ## install what `millrace trainer` needs: PyTorch, 5 GB on Linux

services: $(BIN)/python ## start Kafka, schema registry, Redis, PostgreSQL and S3 on this machine, without Docker
	@$(BIN)/python -m deploy.local start $(ARGS)

services-stop: $(BIN)/python ## stop them; their data stays in .services
	@$(BIN)/python -m deploy.local stop $(ARGS)

lock: $(BIN)/python ## resolve the dependencies again into the three lock files
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --extra training --output-file requirements-dev.lock
	$(LOCK) --extra trainer --constraints requirements-dev.lock --output-file requirements-trainer.lock

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header pyproject.toml

clean: ## remove .venv, caches and build products; not .services
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist client/build client/dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python='$(PYTHON)'; \
	if ! "$$python" -c '$(USABLE)' >/dev/null 2>&1; then \
		echo 'make: no Python 3.11 or 3.12 with venv that runs was found;' \
			'install one (Debian: apt-get install python3-venv) or say make PYTHON=/path/to/python' >&2; \
		exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/.runtime: requirements.lock pyproject.toml client/pyproject.toml | $(BIN)/python
	@echo 'installing Millrace and what it needs into $(VENV)'
	@$(INSTALL) -r requirements.lock
	@$(INSTALL) --no-deps -e client -e .
	@touch $@

# Its wheels are unpacked beside each other, so twice their size is needed for a while.
$(VENV)/.trainer: requirements-trainer.lock $(VENV)/.runtime
	@echo 'installing PyTorch for the training: on Linux 5 GB, some minutes; `make demo LIGHT=1` goes without'
	@$(BIN)/python -c "import shutil, sys; free = shutil.disk_usage('.').free / 1e9; \
		sys.exit(f'make: {free:.0f} GB are free here, and 10 are needed; say make demo LIGHT=1' if free < 10 else 0)"
	@$(BIN)/python -m pip install --disable-pip-version-check -r requirements-trainer.lock | sed '/already satisfied/d'
	@$(BIN)/python -c 'import torch, trl' # a pipe has the status of its end
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo 'installing the development tools into $(VENV)'
	@$(INSTALL) -r requirements-dev.lock
	@touch $@
