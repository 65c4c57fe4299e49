# Everything a person does with this checkout. `make` lists it.
# A machine needs Python 3.11 to 3.13 and make; the rest goes into .venv.

PYTHON ?= python3
# Python of `make test-minimum`: 3.11 or 3.12, since the oldest supported versions have no packages for 3.13.
MINIMUM_PYTHON ?= $(PYTHON)
# Test processes side by side. Each takes up to 6 GB for the largest backbones.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
MINIMUM := .venv-minimum
PIP_INSTALL := -m pip install --disable-pip-version-check --quiet
QUICK := not slow and not gpu and not network
# Who has nothing left to do takes over from others: slow tests stand side by side in a few files.
PYTEST_OPTIONS := -n $(WORKERS) --dist worksteal

# TensorFlow's notes about the CPU would bury what the commands say.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help quickstart lint test test-fast test-minimum benchmark docs docs-serve vgg16-weights lite2-weights clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(VENV)/.installed ## Install, then train and test a classifier on the example images
	$(BIN)/python examples/quickstart.py

lint: $(VENV)/.installed-test ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## Check style and types, then run all tests and doctests
	$(BIN)/pytest $(PYTEST_OPTIONS)

test-fast: lint ## The same without the slow tests
	$(BIN)/pytest $(PYTEST_OPTIONS) -m "$(QUICK)"

test-minimum: $(MINIMUM)/.installed ## Run the quick tests on the oldest supported versions
	$(MINIMUM)/bin/pytest $(PYTEST_OPTIONS) -m "$(QUICK)"

benchmark: $(VENV)/.installed-benchmark ## Run the benchmarks and draw them; ONLY="heads forward" picks some
	$(BIN)/python benchmarks/run_all.py $(if $(ONLY),--only $(ONLY))

docs: $(VENV)/.installed-docs ## Build the documentation into site/
	$(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.installed-docs ## Show the documentation in a browser while you write it
	$(BIN)/mkdocs serve

vgg16-weights: $(VENV)/.installed-convert ## Make the ImageNet weights of VGG16, where Keras cannot download them
	$(BIN)/python tools/convert_vgg16.py

lite2-weights: $(VENV)/.installed ## Make the ImageNet weights of EfficientNet-Lite2
	$(BIN)/python tools/convert_efficientnet_lite2.py

clean: ## Remove the environments and everything that was built
	rm -rf $(VENV) $(MINIMUM) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written after its install succeeded, and is out of date once setup.cfg is newer.
# The package is installed editable, so that the environment runs the code in the checkout.

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --editable .
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(BIN)/python $(PIP_INSTALL) --editable ".[$*]"
	touch $@

$(MINIMUM)/.installed: setup.cfg pyproject.toml tools/minimum_requirements.py
	$(MINIMUM_PYTHON) -m venv --clear $(MINIMUM)
	$(MINIMUM)/bin/python tools/minimum_requirements.py > $(MINIMUM)/constraints.txt
	$(MINIMUM)/bin/python $(PIP_INSTALL) --constraint $(MINIMUM)/constraints.txt --editable ".[test]"
	touch $@
