# `make demo` and `make test` are all a fresh machine needs: Python 3.11, gcc and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := src scripts tests benchmarks docs/tools
DEMO ?= demo
# full: nine subjects, three timepoints. small: three subjects, two timepoints, a fifth of the time.
SIZE ?= full

.PHONY: install demo test check docs tour soak clean lock generate

# Only the environment, in .venv.
install: $(READY)

demo: $(READY)
	$(BIN)/afterglow demo $(DEMO) --size $(SIZE)

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow rules
	$(BIN)/python tests/lint_workflow.py
	$(BIN)/interrogate --quiet src
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The site in build/site opens from the file system; broken links end the build.
docs: $(READY)
	$(BIN)/mkdocs build --strict

# Opens every page of the demo in Chromium, checks it, and writes docs/page-tour.md with its pictures.
tour: $(READY)
	$(BIN)/python benchmarks/page_tour.py $(DEMO)

soak: $(READY)
	$(BIN)/pytest -m soak -n 2

# The lock pins everything the project and its tests install, by name and version only.
lock: $(READY)
	$(BIN)/python -m pip install --quiet "uv>=0.9"
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra docs --no-header --no-annotate --output-file envs/requirements.lock

# config/default.yaml, config/schema.json and docs/configuration.md come from the config model.
generate: $(READY)
	$(BIN)/python -m afterglow.config.generate

$(READY): pyproject.toml envs/requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m afterglow.precompile
	touch $(READY)

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
