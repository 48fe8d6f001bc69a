# Every target sets up what it needs; this takes Python >= 3.10, a Rust toolchain and package indexes.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STATE  := $(shell cat pyproject.toml constraints.txt $$(find native/src native/Cargo.* -type f | sort) | cksum | cut -d' ' -f1)
USABLE := $(VENV)/.usable-$(STATE)
READY  := $(VENV)/.ready-$(STATE)

PIP    := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# Installs in a third of pip's time; `make setup` has it.
UV     := $(BIN)/uv pip install --quiet
DIST   := dist
EMPTY  := build/wheel-venv
OLDEST := build/oldest-venv
TF     := build/tensorflow-venv
TF_READY := $(TF)/.ready-$(STATE)-$(shell cksum < constraints-tensorflow.txt | cut -d' ' -f1)
TORCH  := build/torch-venv
CLIENTS := build/clients-venv
CLIENTS_READY := $(CLIENTS)/.ready-$(STATE)-$(shell cksum < constraints-clients.txt | cut -d' ' -f1)
RAY    := build/ray-venv
RAY_READY := $(RAY)/.ready-$(STATE)
NOTEBOOKS := build/notebooks-venv
NOTEBOOKS_READY := $(NOTEBOOKS)/.ready-$(STATE)-$(shell cksum < constraints-notebooks.txt | cut -d' ' -f1)
TORCH_READY := $(TORCH)/.ready-$(STATE)-$(shell cksum < constraints-torch.txt | cut -d' ' -f1)
PYTEST := -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
OWN_ENV  := tensorflow or torch or triton or browser or notebooks or ray
# What calls the dependencies; the rest is made of it, and `make test` runs all with the newest ones.
CALLING  := $(addprefix tests/unit/,artifacts cli data frameworks hub images networks ops \
	quantization registry runtime serving tasks test_imports.py test_settings.py)
UNMARKED := not (accuracy or network or slow or $(OWN_ENV))

.PHONY: help setup demo test test-marked test-oldest test-tensorflow test-torch test-triton test-browser test-notebooks test-ray lint explore fuzz format docs bench wheel check-wheel test-wheel constraints clean

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

setup: $(READY)  ## Create .venv with the package, its native module and the tools

$(READY): $(USABLE)
	$(PIP) uv
	$(UV) --python $(VENV) --constraint constraints.txt --editable '.[dev]'
	@rm -f $(VENV)/.ready-* && touch $@

$(USABLE):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.10 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "expected Python 3.10 or newer"; exit 1; }
	@command -v cargo >/dev/null || { echo "cargo was not found: install a Rust toolchain (rustup)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "cannot create a virtual environment (on Debian: apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(PIP) --editable .
	@rm -f $(VENV)/.usable-* && touch $@

demo: $(USABLE)  ## Detect objects in the example photos; print the results and draw them into out/
	$(BIN)/python examples/demo.py

test: setup  ## Run the tests (no network needed beyond the set-up)
	$(BIN)/python $(PYTEST) -m "$(UNMARKED)"

test-marked: setup  ## Run the tests that need package indexes, labeled photos, or a long time
	$(BIN)/python $(PYTEST) -m "(accuracy or network or slow) and not ($(OWN_ENV))"

test-oldest: wheel  ## Run what calls dependencies with their oldest allowed versions
	@rm -rf $(OLDEST) && $(PYTHON) -m venv --without-pip $(OLDEST)
	$(UV) --python $(OLDEST) --resolution lowest-direct --only-binary :all: \
		"furiosa-model-zoo[dev] @ $$(ls $$PWD/$(DIST)/*.whl)" 'numpy<2'
	FURIOSA_MODELS_TEST_PROFILE=brief $(OLDEST)/bin/python $(PYTEST) -W default -m "$(UNMARKED)" $(CALLING)

test-tensorflow: $(TF_READY)  ## Run the tests that need TensorFlow, in an environment of their own
	$(TF)/bin/python $(PYTEST) -m "tensorflow and not slow" tests/e2e/frameworks

$(TF_READY): | $(READY)
	@rm -rf $(TF) && $(PYTHON) -m venv --without-pip $(TF)
	$(UV) --python $(TF) --constraint constraints.txt \
		--constraint constraints-tensorflow.txt --editable '.[tensorflow]' hypothesis pytest \
		pytest-timeout pytest-xdist
	@touch $@

test-torch: $(TORCH_READY)  ## Run the tests that need PyTorch, in an environment of their own
	OMP_NUM_THREADS=1 $(TORCH)/bin/python $(PYTEST) -m "torch and not accuracy" tests/e2e/frameworks/torch \
		tests/e2e/training tests/e2e/test_focoos_document.py tests/unit/networks/torch_sink \
		tests/unit/training tests/unit/data tests/unit/export

$(TORCH_READY): | $(READY)
	@rm -rf $(TORCH) && $(PYTHON) -m venv --without-pip $(TORCH)
	$(UV) --python $(TORCH) --no-cache --constraint constraints.txt \
		--constraint constraints-torch.txt --editable '.[train]' hypothesis pytest pytest-timeout \
		pytest-xdist
	@touch $@

test-triton: $(CLIENTS_READY)  ## Test the server with Triton's client, in an environment of its own
	$(CLIENTS)/bin/python -m pytest -m "triton" tests/e2e/triton

test-browser: $(CLIENTS_READY)  ## Test the page of the server in Chromium, which must be installed
	$(CLIENTS)/bin/python -m pytest -m "browser" tests/e2e/browser

test-ray: $(RAY_READY)  ## Run a data set through Ray, in an environment of its own
	$(RAY)/bin/python -m pytest -m "ray" tests/e2e/ray

$(RAY_READY): | $(READY)
	@rm -rf $(RAY) && $(PYTHON) -m venv --without-pip $(RAY)
	$(UV) --python $(RAY) --constraint constraints.txt --editable '.[ray]' \
		hypothesis pytest pytest-timeout
	@touch $@

test-notebooks: $(NOTEBOOKS_READY)  ## Run the notebooks, in an environment of their own
	$(NOTEBOOKS)/bin/python -m pytest -m "notebooks" tests/e2e/test_notebooks.py

$(NOTEBOOKS_READY): | $(READY)
	@rm -rf $(NOTEBOOKS) && $(PYTHON) -m venv --without-pip $(NOTEBOOKS)
	$(UV) --python $(NOTEBOOKS) --constraint constraints.txt \
		--constraint constraints-notebooks.txt --editable '.[notebooks,video]' hypothesis pytest pytest-timeout
	@touch $@

$(CLIENTS_READY): | $(READY)
	@rm -rf $(CLIENTS) && $(PYTHON) -m venv --without-pip $(CLIENTS)
	grep -vE '^(greenlet|ml_dtypes)==' constraints.txt > $(CLIENTS)/constraints.txt
	$(UV) --python $(CLIENTS) --constraint $(CLIENTS)/constraints.txt \
		--constraint constraints-clients.txt --editable '.[serve]' hypothesis playwright \
		pytest pytest-timeout 'tritonclient[http]'
	@touch $@

lint: setup  ## Run ruff, mypy, clippy, rustfmt, stubtest and the Rust tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml furiosa_models._native
	$(BIN)/python native/notice.py --check
	cd native && cargo fmt --check && cargo clippy --quiet --all-targets -- -D warnings && cargo test --quiet
	cd native/fuzz && cargo fmt --check && cargo clippy --quiet --all-targets -- -D warnings && cargo test --quiet

explore: setup  ## Run the property tests with many new examples; takes long
	FURIOSA_MODELS_TEST_PROFILE=explore $(BIN)/python $(PYTEST) --timeout 1800 -m "hypothesis and $(UNMARKED)"

fuzz: SECONDS ?= 60
fuzz: setup  ## Fuzz the file readers and the kernels, SECONDS each; needs a nightly toolchain
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz was not found: cargo install cargo-fuzz"; exit 1; }
	$(PIP) --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.all $(SECONDS)

docs: setup  ## Build the documentation into site/
	$(UV) --python $(VENV) --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --config-file build/mkdocs.yml
	cd build/docs && find . -name '*.md' -exec sh -c 'cp "$$1" "../../site/$$1"' _ {} \;

bench: BENCH ?=
bench: setup  ## Measure ours beside the peers: all, or BENCH="decode load"; into benchmarks/results/
	$(BIN)/python benchmarks/run.py $(BENCH)

wheel: setup  ## Build a wheel into dist/: for manylinux2014 if Zig is installed, else for this platform
	@rm -rf $(DIST)
	@if $(BIN)/python -m ziglang version >/dev/null 2>&1; \
	then $(BIN)/maturin build --quiet --release --out $(DIST) --zig --compatibility manylinux2014; \
	else $(BIN)/maturin build --quiet --release --out $(DIST); fi
	@ls $(DIST)

check-wheel: wheel  ## Check the wheel's metadata, its stable ABI, and what it links
	$(BIN)/uvx --quiet twine check --strict $(DIST)/*.whl
	$(BIN)/uvx --quiet abi3audit --strict $(DIST)/*.whl
	@if [ "$$(uname)" = Linux ]; then $(BIN)/uvx --quiet auditwheel show $(DIST)/*.whl; fi

test-wheel: check-wheel  ## Install the wheel into an empty venv, and test it outside the checkout
	@rm -rf $(EMPTY) && $(PYTHON) -m venv $(EMPTY)
	$(EMPTY)/bin/python -m pip install --quiet --constraint constraints.txt $(DIST)/*.whl pytest
	outside=$$(mktemp -d) && cp tests/installed/*.py $$outside && here=$$PWD && cd $$outside && \
		FURIOSA_MODELS_FROM_WHEEL=1 $$here/$(EMPTY)/bin/python -m pytest -q -W error \
		-o 'markers=installed: needs no checkout' . && rm -r $$outside

constraints: setup  ## Update constraints.txt to the newest allowed versions
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev,docs]'
	@{ head -2 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable \
		| sed 's/$$/; python_version >= "3.11"/'; } > constraints.new && mv constraints.new constraints.txt

format: setup  ## Format Python and Rust
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format . && cd native && cargo fmt && cd fuzz && cargo fmt

clean:  ## Remove build outputs
	rm -rf $(VENV) out build dist native/target native/fuzz/target furiosa_models/*.so
