# demo    the main job: a workflow of real jobs, on a real Slurm if it can be had
# test    everything, installing what it needs
# check   formatting, lint, types, the import contracts, the documentation
# format  rewrite the code as the formatter wants it
# docs    rewrite the parts of docs/ that are made from the program
# bench   how fast it is, beside references measured in the same run (NAME=run10k, ARGS=--peers)
# profile where the time of a run goes: the flame graph of docs/performance.md

VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
PYTEST_ARGS ?= -n 2

.PHONY: demo test check format docs bench profile clean

demo: $(VENV)/installed
	@sh examples/demo.sh $(BIN)

test: $(VENV)/installed-for-development
	@sh .ci/packages $(BIN)
	$(BIN)/pytest $(PYTEST_ARGS)

check: $(VENV)/installed-for-development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/make.py --check

format: $(VENV)/installed-for-development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

docs: $(VENV)/installed-for-development
	$(BIN)/python docs/make.py

bench: $(VENV)/installed-for-bench
	$(BIN)/python -m bench $(NAME) $(ARGS)

profile: $(VENV)/installed-for-bench
	$(BIN)/python -m bench.profile $(ARGS)
	$(BIN)/python docs/make.py

$(VENV)/installed: pyproject.toml
	@sh .ci/venv $(PYTHON) $(VENV) .
	@touch $@

$(VENV)/installed-for-development: pyproject.toml
	@sh .ci/venv $(PYTHON) $(VENV) '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-for-bench: pyproject.toml
	@sh .ci/venv $(PYTHON) $(VENV) '.[bench]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) bench/.cache bench/results build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
