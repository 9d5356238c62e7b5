.DEFAULT_GOAL := help
PYTHON := .venv/bin/python

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: setup
setup: .venv/installed ## install the service and its tools into .venv

.venv/installed: requirements-dev.lock
	python3 -m venv .venv
	.venv/bin/pip install -q --require-hashes -r requirements-dev.lock
	.venv/bin/python environment.py
	touch $@

.PHONY: demo
demo: setup ## play a month and a day of a made-up shop, without accounts or settings
	$(PYTHON) -m flask --app app demo

.PHONY: test
test: setup ## run the tests
	$(PYTHON) -m pytest

.PHONY: lint
lint: setup ## check style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict

.PHONY: format
format: setup ## format the code and apply ruff's fixes
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

.PHONY: pixel
pixel: ## make webhooks/pixel.min.js from webhooks/pixel.js (needs Node.js)
	.ci/pixel

.PHONY: faults
faults: setup ## kill, stop and lock the running service (short form; needs strace)
	$(PYTHON) -m pytest tests/faults tests/machines

.PHONY: shops
shops: setup ## tell twenty random shops, and a few orders in every order of arrival
	$(PYTHON) -m pytest tests/integration/test_random_shop.py --shops 20
	$(PYTHON) -m pytest --every-order -k "order_of_arrival or whichever_is_told_first" \
		tests/integration
	$(PYTHON) -m pytest --every-order -m histories tests/integration

.PHONY: bench
bench: setup ## run each benchmark in its short form and write bench/RESULTS.md (needs wrk and PostgreSQL)
	$(PYTHON) -m bench.results

.PHONY: screenshots
screenshots: setup ## take the pictures of the docs from the running dashboard (needs Chromium)
	$(PYTHON) -m tests.screenshots

.PHONY: check
check: ## run everything that a change must pass
	.ci/run
