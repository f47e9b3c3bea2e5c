# With only Python >= 3.11 and make: `make sweep` and `make test` set up what they need.
PYTHON ?= python3
BIN := .venv/bin
# Without bytecode, importing MLflow takes seconds each time.
unexport PYTHONDONTWRITEBYTECODE

# The tests of the mathematics and of the config, with one real run and one real sweep.
QUICK := activations batches catalogue checks config diagnostics initializers layers losses models \
	network optimizers plan quadratic schedules space training verdict

.PHONY: sweep test quick torture cluster check format bench parity experiments screenshots clean

sweep: .venv/installed
	$(BIN)/python src/train.py -m init=xavier,he,std001

test: .venv/installed
	$(BIN)/python -m pytest -n auto

quick: .venv/installed
	$(BIN)/python -m pytest -n auto $(QUICK:%=tests/test_%.py) \
		tests/test_train.py::test_he_and_adam_learn_the_digits_with_the_default_steps \
		tests/test_sweep.py::test_a_sweep_is_flat_and_its_trials_are_named_by_what_varies

# How many hostile command lines, how many kills, and the seed of both: see docs/reliability.md.
FUZZ := 10000
KILLS := 100
SEED := 0

# Much of it waits, so that one process more than there are cores is faster.
torture: .venv/installed
	FUZZ=$(FUZZ) KILLS=$(KILLS) SEED=$(SEED) $(BIN)/python -m pytest -m torture tests/torture \
		-n $$($(BIN)/python -c "import os; print(os.cpu_count() + 1)")

# Real parts are started once and shared, so that it is one process. See docs/cluster.md.
cluster: .venv/cluster
	$(BIN)/python -m pytest -m cluster tests/cluster

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Twenty minutes on a machine that does nothing else; writes docs/performance.md.
bench: .venv/bench
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/server.py
	$(BIN)/python benchmarks/engines.py
	$(BIN)/python benchmarks/page.py

parity: .venv/bench
	$(BIN)/python benchmarks/parity.py

# Runs what is published, some half an hour at the most; `make experiments NAMES=dropout` one of it.
experiments: .venv/installed
	$(BIN)/python docs/gallery.py $(NAMES)

screenshots: .venv/installed
	$(BIN)/python docs/screenshots.py

# Removes what make has made and tools have cached, but no run, no picture and no data.
clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache src/initlab.egg-info

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("initlab needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/cluster: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[cluster]'
	touch $@

.venv/bench: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[bench]'
	touch $@
