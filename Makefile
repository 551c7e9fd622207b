# `make help` lists what there is. It needs make and Python 3.11 or newer with its headers, venv and a C compiler;
# what of them a Debian lacks, .ci/make_venv installs or names.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

# Two builds in one tree at a time would hand each other half-written files.
FLOCK := $(if $(shell command -v flock),flock .build.lock,)

.DEFAULT_GOAL := help
# The linters before the suite, whose summary is the last line.
.NOTPARALLEL:
.PHONY: help run build tools check test test-wheel test-sanitized lint format bench bench-operations guard fuzz docs clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.installed build ## Install, build and start the demo: a gateway on :8080 over two mock engines
	$(BIN)/python -m kthena_fast demo

build: $(VENV)/.installed ## Compile the twins in place
	@# The folder is what setup.py leaves of an earlier build.
	@[ -d build/cython ] || [ -n "$$KTHENA_FAST_NO_EXTENSIONS" ] || \
		echo "Compiling the hot parts, once: about 90 seconds on two cores (KTHENA_FAST_NO_EXTENSIONS=1 does without)." >&2
	@# Silent, as `bench` is: what that prints may go into a file.
	@$(FLOCK) $(BIN)/python setup.py -q build_ext --inplace

tools: ## Install what the suite runs beside Python: etcd, valgrind, nginx, wrk; kube-apiserver, Helm (in a cache)
	.ci/tools

check: $(VENV)/.tools build ## The suite on this tree, without building a wheel: what one runs while writing
	$(BIN)/python -m pytest -q -m 'not slow'

test: lint test-wheel ## Lint, then the whole suite against an installed wheel, as CI does

test-wheel: $(VENV)/.tools ## The suite against an installed wheel, without the linters
	@# What cannot be installed is said, and only CI insists on it: elsewhere its tests are skipped.
	.ci/tools || [ -z "$$KTHENA_FAST_CI" ]
	PYTHON=$(BIN)/python .ci/test_wheel

test-sanitized: $(VENV)/.tools ## The rooms that have twins, with ASan and UBSan in them
	PYTHON=$(BIN)/python .ci/test_sanitized

lint: $(VENV)/.tools ## ruff, mypy, import-linter, cython-lint, yamllint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(abspath $(BIN)):$$PATH" cython-lint kthena_fast
	$(BIN)/yamllint --strict .

format: $(VENV)/.tools ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.tools build ## What a proxied request costs, beside other proxies: twelve minutes (BENCH=--quick: three)
	@$(BIN)/python -m benchmarks.load $(BENCH)

bench-operations: $(VENV)/.tools build ## Print what the hot operations cost, both twins side by side
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-columns=min,median,ops --durations=0

guard: $(VENV)/.tools build ## Count the instructions of the hot path, and fail where it needs more than is accepted
	$(BIN)/python -m benchmarks.instructions

fuzz: $(VENV)/.tools build ## Search for bytes that break what is promised of them, SECONDS for each property
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

docs: $(VENV)/.tools build ## Write what comes from the code: tables in docs/, and the schema, table and CRDs of the chart
	$(BIN)/python -m tests.docs.generated
	$(BIN)/python -m tests.charts.generated

clean: ## Remove what builds leave behind (not .venv)
	rm -rf build dist wheelhouse *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find kthena_fast tests benchmarks -name '*.so' -delete -o -name '*.py[cod]' -delete

# Silent, or told on stderr: what follows may go into a file.
$(BIN)/python:
	@.ci/make_venv $(PYTHON) $(VENV) >&2

# Without extensions: `make build` compiles them, and the linters need none.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing the gateway and what it needs into $(VENV)." >&2
	@$(PIP) install --upgrade 'pip>=25.1' >&2
	@$(PIP) install --group build >&2
	@KTHENA_FAST_NO_EXTENSIONS=1 $(FLOCK) $(PIP) -q install --no-build-isolation --editable . >&2
	@touch $@

$(VENV)/.tools: pyproject.toml $(VENV)/.installed
	@echo "Installing what tests, linters and benchmarks need into $(VENV)." >&2
	@$(PIP) install --group dev >&2
	@touch $@
