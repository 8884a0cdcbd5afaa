# The verbs of this project. `make demo` and `make test` do all the set-up themselves.
VENV := .venv
RUN := $(VENV)/bin
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: setup demo test unit lint fmt types e2e chaos soak fuzz bench docs lock clean

setup: $(VENV)/.ready ## Python packages into .venv, system packages from the distribution

$(VENV)/.ready: pyproject.toml requirements/dev.txt scripts/setup.sh
	@scripts/setup.sh $(VENV)
	@touch $@

demo: setup ## Bring up the local grid and deploy the example
	@scripts/demo.sh $(RUN)

test: setup lint types ## Everything, end-to-end tests included
	@scripts/test.sh $(RUN)

unit: setup ## Only the tests that need no root
	$(RUN)/pytest tests/unit

e2e: setup ## Only the tests with real machines
	$(RUN)/pytest tests/e2e

chaos: setup ## Pull the plug at every journal boundary: in memory thousands of times, then on real machines; needs root
	PYTHONPATH=. $(RUN)/python -m tests.chaos.memory --runs 5000
	PYTHONPATH=. $(RUN)/python -m tests.chaos.grid

soak: setup ## Fifty deployments with ordered faults on real machines; needs root
	PYTHONPATH=. $(RUN)/python -m tests.chaos.soak

fuzz: setup ## A hundred thousand odd inputs; none may end in a traceback
	PYTHONPATH=. $(RUN)/python -m tests.fuzz

lint: setup
	$(RUN)/ruff check src tests bench scripts
	$(RUN)/ruff format --check src tests bench scripts
	$(RUN)/lint-imports

fmt: setup
	$(RUN)/ruff check --fix src tests bench scripts
	$(RUN)/ruff format src tests bench scripts

types: setup
	$(RUN)/mypy

bench: setup ## The table of budgets, as ratios to one hand-written script
	@PYTHONPATH=. $(RUN)/python bench/bench.py

docs: setup ## Write the generated pages
	$(RUN)/python scripts/generate_docs.py

lock: setup ## Pin every Python package with hashes
	env -u PIP_FIND_LINKS $(RUN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
		--all-extras --output-file requirements/dev.txt pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .coverage* build dist
