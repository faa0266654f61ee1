# One word per task. `make` lists them.
VENV_PYTHON := .venv/bin/python
# Most tests wait for processes: two at a time take little more than half as long, on two cores as well.
PYTEST_ARGS ?= -n 2 --dist loadfile
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-matrix test-localstack test-hosts check format generate golden lock images e2e bench bench-quick bench-breakdown bench-rotation bench-classification kill soak fuzz test-suite bench-sqs bench-ecs crowd clean

help:  ## list the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-20s %s\n", $$1, $$2}'

setup:  ## find a Python, make .venv from the lock file
	@scripts/setup.sh

demo: setup  ## an unmodified boto3 program in `kecs run`
	@echo '$$ kecs run --timings -- python examples/quickstart/app.py'
	@PATH="$(CURDIR)/.venv/bin:$$PATH" kecs run --timings -- python examples/quickstart/app.py

test:  ## all tests and checks, as CI runs them
	@scripts/setup.sh --clients
	@scripts/backends.sh ministack
	@$(MAKE) --no-print-directory check
	$(VENV_PYTHON) -m pytest -q --hypothesis-profile=ci $(PYTEST_ARGS)

test-hosts: setup .cache/botocore  ## every operation at every host of every service
	PYTHONPATH=.cache/botocore $(VENV_PYTHON) tests/hosts/run.py

test-matrix: setup  ## every form of request against all backends
	@scripts/backends.sh ministack
	$(VENV_PYTHON) -m pytest -q $(PYTEST_ARGS) tests/matrix

test-localstack: setup  ## the same against LocalStack's open core
	@scripts/backends.sh localstack
	unshare -n sh -c 'ip link set lo up && KECS_LOCALSTACK=1 exec $(VENV_PYTHON) -m pytest -q -p no:xdist tests/matrix/test_localstack.py'

check: setup  ## ruff, format, mypy strict, import contracts
	$(VENV_PYTHON) -m ruff check -q .
	$(VENV_PYTHON) -m ruff format -q --check .
	$(VENV_PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo

format: setup  ## let ruff mend what it can
	$(VENV_PYTHON) -m ruff check -q --fix . ; $(VENV_PYTHON) -m ruff format -q .

.cache/botocore: scripts/botocore.lock | setup
	@rm -rf $@
	. scripts/system-roots.sh; $(VENV_PYTHON) -m uv pip install -q --no-deps --require-hashes --target $@ -r scripts/botocore.lock

generate: setup .cache/botocore  ## tables and models from botocore, the chart's schema
	PYTHONPATH=.cache/botocore $(VENV_PYTHON) scripts/generate_tables.py
	PYTHONPATH=.cache/botocore $(VENV_PYTHON) scripts/generate_cbor_table.py
	PYTHONPATH=.cache/botocore $(VENV_PYTHON) scripts/generate_ecs_model.py
	$(VENV_PYTHON) scripts/generate_chart_schema.py

golden: setup  ## rewrite golden files; review the diff
	KECS_UPDATE_GOLDEN=1 $(VENV_PYTHON) -m pytest -q tests

lock: setup  ## resolve requirements.lock anew
	$(VENV_PYTHON) -m uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-header \
		--group dev pyproject.toml -o requirements.lock

images: setup  ## container images; see docs/images.md
	@scripts/images.sh $(TARGETS)

e2e: setup  ## the cases of tests/e2e on the cluster that KUBECONFIG names; see docs/kubernetes.md
	@test -n "$$KUBECONFIG" || { echo 'error: KUBECONFIG is not set'; echo; echo 'hint: name the cluster to test on: it is installed into and uninstalled from'; exit 2; }
	KECS_E2E=1 $(VENV_PYTHON) -m pytest -q -x -o addopts= --import-mode=importlib -p no:anyio tests/e2e $(E2E_ARGS)

bench: setup  ## the relay beside nginx, haproxy, mitmdump: 20 min
	$(VENV_PYTHON) -m benchmarks.relay --json docs/performance/relay.json --page docs/performance/relay.md $(BENCH_ARGS)

bench-quick: setup  ## a part of that, BENCH_ARGS="--arms ours,nginx-sni"
	$(VENV_PYTHON) -m benchmarks.relay --quick $(BENCH_ARGS)

bench-breakdown: setup  ## where the CPU goes, ours and nginx's, by perf
	$(VENV_PYTHON) -m benchmarks.relay.breakdown --page docs/performance/breakdown.md

bench-rotation: setup  ## new connections while a root is replaced
	@scripts/setup.sh --clients
	@benchmarks/rotation_clients/install.sh
	$(VENV_PYTHON) benchmarks/rotation.py

bench-classification: setup .cache/botocore  ## what it costs to say what a request is for
	PYTHONPATH=.cache/botocore $(VENV_PYTHON) benchmarks/classification.py --page docs/performance/classification.md

kill: setup  ## everything is killed under load: back how soon?
	$(VENV_PYTHON) -m pytest -q -s -p no:xdist tests/kill

soak: setup  ## 15 min of everything at once: nothing may grow
	nice -n 5 $(VENV_PYTHON) benchmarks/soak.py --minutes $(or $(MINUTES),15) --page docs/performance/soak.md --json docs/performance/soak.json

test-suite: setup  ## moto's own tests, directly and by `kecs run`
	PYTHONPATH=tests $(VENV_PYTHON) -m suites.run --page docs/suites.md $(SUITE_ARGS)

bench-sqs: setup  ## CPU of SQS calls while a queue gets deeper
	$(VENV_PYTHON) benchmarks/sqs_depth.py --page docs/performance/sqs.md

bench-ecs: setup  ## CPU of ECS calls while the state gets larger
	nice -n 5 $(VENV_PYTHON) benchmarks/controlplane_store.py --page docs/performance/controlplane.md

crowd: setup  ## fifty ECS clients at once for a minute
	KECS_CROWD_S=$(or $(SECONDS),60) $(VENV_PYTHON) -m pytest -q -p no:xdist tests/clients/test_ecs_crowd.py

fuzz: setup  ## parsers of client bytes, by coverage, SECONDS each
	$(VENV_PYTHON) tests/fuzz/run.py --seconds $(or $(SECONDS),60)

clean:  ## remove what set-up and tests made
	rm -rf .venv .cache tests/clients/js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
