# Everything a newcomer needs; each target prepares the environment it needs by itself.
#   make up      the whole stack on http://127.0.0.1:8000, until Ctrl-C
#   make demo    the same, plus a demonstration on it (EXIT=1: stop after it, status tells)
#   make worker  this machine works for a console: JOIN=http://… TOKEN=slipjoin_… the first time
#   make test    the test suite on servers of its own (ARGS="tests/launcher -x" for a part)
#   make looks   every page in every look, with pictures in artifacts/screenshots
#   make lint · make types · make contracts · make check (all of these and the tests)
#   make chaos   break installations by seeds: SEEDS=20 FIRST=1 FAULTS=name,name
#   make chaos-crashes   kill -9 every kind of process, and move jobs between machines
#   make parallel-kills   kill -9 ranks of trainings, twenty times for each way (WAYS="ddp fsdp")
#   make recovery   the same through the whole stack, one process too; seconds until it works again
#   make serving-faults   50 requests a second while replicas, a node and a gateway are killed (RATE=50)
#   make formats   a trained model in every format, with sizes, perplexity and agreement
#   make chaos-mutants   take safeguards out and see that chaos notices
#   make proofs  slow proofs: killed imports and preparations, all nonsense in every parameter
#   make migrate · make messages · make format · make lock · make browser

PYTHON ?= python3
VENV := $(or $(SLIPWAY_VENV),.venv)
PY := "$(VENV)/bin/python"
CODE := console models_app workers launcher
# For tools that import the settings and never connect.
NOWHERE := DATABASE_URL=postgresql://nobody@127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1 \
	SECRET_KEY=no-stack-is-running

# Images of Python often set it, and then each of the many processes of a stack and of the tests
# compiles all that it imports: torch alone takes ten seconds more, a worker three.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := up
.PHONY: up demo worker test chaos chaos-crashes chaos-mutants parallel-kills recovery serving-faults proofs looks lint types compiled contracts check formats migrate \
	messages format lock browser env-run env-worker env-dev

up: env-run
	@exec $(PY) manage.py up

demo: env-run
	@exec $(PY) manage.py up --demo $(if $(filter 1 yes true,$(EXIT)),--exit)

# By the environment, for command lines can be read by everybody on the machine.
worker: export SLIPWAY_JOIN_URL := $(or $(JOIN),$(SLIPWAY_JOIN_URL))
worker: export SLIPWAY_JOIN_TOKEN := $(or $(TOKEN),$(SLIPWAY_JOIN_TOKEN))
worker: env-worker
	@exec $(PY) manage.py worker

test: env-dev
	@exec $(PY) manage.py services --temporary -- $(PY) -m pytest $(if $(ARGS),$(ARGS),-n 3 --dist loadfile --no-loadscope-reorder)

chaos: env-dev
	@$(NOWHERE) $(PY) -m tests.chaos --seeds $(or $(SEEDS),20) --first $(or $(FIRST),1) \
		$(if $(FAULTS),--faults $(FAULTS)) $(ARGS)

chaos-crashes: env-dev
	@$(NOWHERE) CHAOS=full $(PY) -m pytest tests/flows/test_crashes.py tests/flows/test_joining.py \
		tests/flows/test_two_machines.py tests/flows/test_scaling.py -q -s $(ARGS)

# Every format of a trained model, GGUF in stock llama.cpp too (compiled once, some minutes).
formats: env-dev
	@$(PYTHON) -m launcher.bootstrap formats openvino
	@test -x "$(VENV)-llama/bin/python" || $(PY) -m venv "$(VENV)-llama"
	@"$(VENV)-llama/bin/python" -m pip install --quiet llama-cpp-python==0.3.36
	$(PY) benchmarks/formats.py --llama "$(VENV)-llama/bin/python" $(ARGS)

chaos-mutants: env-dev
	@$(NOWHERE) CHAOS=full $(PY) -m pytest tests/chaos/test_mutants.py -q -s $(ARGS)

parallel-kills: env-dev
	@CHAOS=full WAYS="$(WAYS)" $(PY) manage.py services --temporary -- $(PY) -m pytest -q -s \
		tests/workers/lm/training/distributed/test_going_on.py \
		tests/workers/jobs/test_train_on_nodes.py -k "killed or wishes" $(ARGS)

recovery: env-dev
	@$(PY) benchmarks/recovery.py $(if $(WAYS),--forms $(WAYS)) $(ARGS)

serving-faults: env-dev
	@$(PY) benchmarks/serving_faults.py --rate $(or $(RATE),50) $(ARGS)

proofs: env-dev
	@CHAOS=full $(PY) manage.py services --temporary -- $(PY) -m pytest -q \
		tests/workers/jobs/test_dataset_prepare_for_real.py tests/workers/importing/test_killed.py \
		tests/flows/test_fuzz.py tests/console/hf/test_generations.py \
		tests/workers/jobs/test_way_back_for_real.py tests/workers/lm/inference/test_parallel.py $(ARGS)

looks: env-dev
	@LOOKS=full $(PY) manage.py services --temporary -- $(PY) -m pytest -n 3 --dist loadfile \
		tests/browser tests/flows/test_journey.py $(ARGS)

lint: env-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: env-dev
	$(NOWHERE) $(PY) -m mypy --no-incremental $(CODE) manage.py  # a stale cache breaks managers

contracts: env-dev
	$(PY) -c "import sys; from importlinter.cli import lint_imports_command as run; sys.path.insert(0, ''); run()"
	$(NOWHERE) $(PY) manage.py check --fail-level ERROR
	$(PY) manage.py services --temporary -- $(PY) manage.py makemigrations --check --dry-run

# Two at a time: the types take one processor for minutes, and the tests have begun meanwhile.
check: env-dev
	@CONTRACTS=beside $(MAKE) --no-print-directory -j2 lint types compiled contracts test

# By one process, before several would each compile the same: all modules that tests import.
compiled: env-dev
	@$(NOWHERE) $(PY) -m pytest --collect-only -qq >/dev/null 2>&1 || true  # `test` says why

migrate: env-run
	@exec $(PY) manage.py services --reuse -- $(PY) manage.py migrate

messages: env-dev
	$(PY) tools/messages.py

format: env-dev
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

lock: env-dev
	$(PY) -m launcher.lock $(ARGS)

# Chromium, gettext and fonts for the browser tests, where they can be had.
browser:
	@.ci/browser

env-run:
	@$(PYTHON) -m launcher.bootstrap web worker embedded

env-worker:
	@$(PYTHON) -m launcher.bootstrap worker

env-dev:
	@$(PYTHON) -m launcher.bootstrap web worker embedded dev
	@$(PY) -m tests.clients
