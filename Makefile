# make run    renders labels, inspects them through the emulated camera, compares with the truth
# make test   lint, types and every test that needs no special machine
# Both create .venv themselves. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LABELS := out/labels

.PHONY: run test lint faults campaign mutants system benchmark clean help

run: $(VENV)/run.stamp  ## render a few hundred labels and inspect them (no hardware needed)
	rm -rf $(LABELS) out/demo
	$(BIN)/python tools/synthesize.py render $(LABELS) --flat --count 400 --unknown-share 0.2 --seed 20261124
	$(BIN)/inspectd demo $(LABELS) --config config/demo.yaml --out out/demo

test: $(VENV)/test.stamp lint  ## what CI runs
	$(BIN)/python -m pytest -q

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(VENV)/test.stamp  ## the fault campaign, with its table
	$(BIN)/python -m pytest -m faults -v

campaign: $(VENV)/test.stamp  ## 500 faults, judged by what the plant saw (17 minutes)
	INSPECTD_ROUNDS=$${INSPECTD_ROUNDS:-500} $(BIN)/python -m pytest tests/plant/test_campaign.py -v

mutants: $(VENV)/mutants.stamp  ## change the heart's code bit by bit: do its tests notice? (about 20 minutes)
	rm -rf out/mutants && mkdir -p out/mutants
	ln -s $(CURDIR)/inspectd $(CURDIR)/tools/inspectd_tools $(CURDIR)/tests $(CURDIR)/pyproject.toml out/mutants
	cd out/mutants && nice $(abspath $(BIN))/mutmut run
	cd out/mutants && PATH=$(abspath $(BIN)):$$PATH python $(CURDIR)/tests/mutants.py $(CURDIR)/docs/mutants.md

system: $(VENV)/test.stamp  ## boots a real systemd (root)
	$(BIN)/python -m pytest -m system -v

benchmark: $(VENV)/test.stamp  ## the line's timing on this machine
	$(BIN)/python tools/benchmark.py line

$(VENV)/run.stamp: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/test.stamp: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[train,test]
	touch $@ $(VENV)/run.stamp

$(VENV)/mutants.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[mutants]
	touch $@

clean:
	rm -rf $(VENV) out

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

-include systemd/install.mk
