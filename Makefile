# make run    renders labels, inspects them through the emulated camera, compares with the truth
# make test   lint, types and every test that needs no special machine
# make quick  lint, types and the unit tests, in under 2 minutes and without torch
# Each creates .venv and installs into it what it needs. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LABELS := out/labels
ENGINE := out/engine
WEIGHTS ?= mobilenet_v2-imagenet-features.safetensors
# tests that measure times have the machine for themselves; the others run side by side
ALONE := alone or faults or system
SIDE_BY_SIDE := $(BIN)/python -m pytest -q -n 3 --dist worksteal -m

# two installations into one environment must not run at once
.NOTPARALLEL:
.PHONY: run engine test quick lint unit coverage docs faults campaign mutants system gpu ray benchmark clean help

run: $(VENV)/run.stamp  ## render a few hundred labels and inspect them (no hardware needed)
	rm -rf $(LABELS) out/demo
	$(BIN)/python tools/synthesize.py render $(LABELS) --flat --count 400 --unknown-share 0.2 --wrong-text-share 0.15 --jobs 3 --seed 20261125
	$(BIN)/inspectd demo $(LABELS) --config config/demo.yaml --out out/demo

engine: $(VENV)/test.stamp  ## train and build the shipped engine again, in out/engine (WEIGHTS=file; takes long)
	rm -rf $(ENGINE) && mkdir -p $(ENGINE)
	$(BIN)/python tools/synthesize.py render $(ENGINE)/train --severity gross --count-per-class 1500 --seed 1
	$(BIN)/python tools/synthesize.py render $(ENGINE)/calibration --severity gross --count-per-class 800 --unknowns-per-kind 100 --seed 2
	$(BIN)/python tools/synthesize.py render $(ENGINE)/test --severity gross --count-per-class 1000 --unknowns-per-kind 150 --seed 3
	$(BIN)/python tools/synthesize.py render $(ENGINE)/small --severity small --count-per-class 150 --unknowns-per-kind 150 --seed 4
	$(BIN)/python tools/train.py filter-label --data $(ENGINE)/train --weights $(WEIGHTS) --run $(ENGINE)/run
	$(BIN)/python tools/build_engine.py $(ENGINE)/run --name filter-label --version 2.0.1 --guard-photos $(ENGINE)/train \
		--calibration $(ENGINE)/calibration --test $(ENGINE)/test --alpha 0.0025 --precision auto --out $(ENGINE)/filter-label
	$(BIN)/inspectd engines compare engines/filter-label $(ENGINE)/filter-label --data $(ENGINE)/small

test: $(VENV)/test.stamp lint  ## what CI runs
	$(SIDE_BY_SIDE) "not ray and not ($(ALONE))"
	$(BIN)/python -m pytest -q -m "$(ALONE)"

quick: lint  ## lint, types and unit tests, without torch
	$(SIDE_BY_SIDE) "not slow and not ray and not ($(ALONE))"

lint: $(VENV)/dev.stamp  ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

coverage: $(VENV)/test.stamp  ## which lines the tests run: a table, and pages in out/coverage
	rm -rf out/coverage
	$(BIN)/coverage run -m pytest -q -m "not ray and not faults and not system"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report

unit: $(VENV)/test.stamp  ## every test but the fault campaign and the booted systemd
	$(SIDE_BY_SIDE) "not ray and not ($(ALONE))"
	$(BIN)/python -m pytest -q -m alone

docs: $(VENV)/docs.stamp  ## build the documentation site into out/docs; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

gpu: $(VENV)/test.stamp  ## the run for a machine with a GPU, on the CPU: do its steps work?
	rm -rf out/gpu
	$(BIN)/python tools/benchmark.py gpu --out out/gpu --device cpu --quick

faults: $(VENV)/dev.stamp  ## the fault campaign, with its table
	$(BIN)/python -m pytest -m faults -v

campaign: $(VENV)/dev.stamp  ## 500 faults, judged by what the plant saw (17 minutes)
	INSPECTD_ROUNDS=$${INSPECTD_ROUNDS:-500} $(BIN)/python -m pytest tests/plant/test_campaign.py -v

mutants: $(VENV)/mutants.stamp  ## change the heart's code bit by bit: do its tests notice? (about 20 minutes)
	rm -rf out/mutants && mkdir -p out/mutants
	ln -s $(CURDIR)/inspectd $(CURDIR)/tools/inspectd_tools $(CURDIR)/tests $(CURDIR)/pyproject.toml out/mutants
	cd out/mutants && nice $(abspath $(BIN))/mutmut run
	cd out/mutants && PATH=$(abspath $(BIN)):$$PATH python $(CURDIR)/tests/mutants.py $(CURDIR)/docs/development/mutants.md

system: $(VENV)/dev.stamp  ## boots a real systemd (root)
	$(BIN)/python -m pytest -m system -v

ray: $(VENV)/ray.stamp  ## experiments on a Ray cluster of two nodes on this machine
	$(BIN)/python -m pytest -m ray -v

benchmark: $(VENV)/test.stamp  ## the line's timing on this machine
	$(BIN)/python tools/benchmark.py line

$(VENV)/run.stamp: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/dev.stamp: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[dev]
	touch $@ $(VENV)/run.stamp

$(VENV)/test.stamp: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[train,test]
	touch $@ $(VENV)/dev.stamp $(VENV)/run.stamp

$(VENV)/mutants.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[mutants]
	touch $@

$(VENV)/ray.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[ray]
	touch $@

$(VENV)/docs.stamp: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[train,docs]
	touch $@

clean:
	rm -rf $(VENV) out

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

-include systemd/install.mk
