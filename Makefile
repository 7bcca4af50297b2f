# Two commands on a bare machine: `make demo` and `make test`. Either sets everything up.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= demo_output
WORKERS ?= 2

export RAY_USAGE_STATS_ENABLED = 0
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: help demo test test-slow test-cluster check format bench clean
.DEFAULT_GOAL := help

help: ## Show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

# uv is fast; plain `pip install --require-hashes -r constraints.txt` gives the same versions.
# Byte-compiling halves Ray's start-up, which otherwise can run into its fixed time limit.
$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(STAMP)

demo: $(STAMP) ## Run the main job from start to end on an embedded data set (OUT=demo_output)
	$(BIN)/python experiments/demo.py --output $(OUT)

test: $(STAMP) ## Run the quick tests (ARGS="tests/body -k lbs" for some, WORKERS=0 in one process)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

test-slow: $(STAMP) ## Run the others: killed processes, several nodes, long trainings, then test-cluster
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m slow --ignore tests/cluster $(ARGS)
	$(if $(ARGS),,$(MAKE) test-cluster)

test-cluster: $(STAMP) ## Start hosts in network namespaces and run the whole job on them (needs root; half an hour)
	$(BIN)/python -m pytest -n 0 -rs tests/cluster $(ARGS)

check: $(STAMP) ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --level error

format: $(STAMP) ## Put every file into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Run every benchmark; results go to benchmarks/RESULTS.md
	@for script in benchmarks/[a-z]*.py benchmarks/cluster/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

clean: ## Remove the environment and everything that was made
	rm -rf $(VENV) demo_output runs .pytest_cache .ruff_cache .hypothesis *.egg-info
