# The front door. `make quickstart` and `make test` work on a fresh Debian or Ubuntu machine
# with Python 3.11+, git and make. Debian packages, installed when missing: python3-venv (set-up),
# chromium (the browser tests) and, where there is such a package, kubernetes-client (kubectl, for
# the tests of cluster/).
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup quickstart papers-smoke test bench check format requirements clean
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.ready ## Make .venv from the pinned, hashed requirements
$(VENV)/.ready: requirements.txt pyproject.toml infra/setup.sh
	@bash infra/setup.sh

quickstart: setup ## Run jobs/quickstart.yaml to the end (minutes, no GPU, no network)
	@$(BIN)/kdray run jobs/quickstart.yaml
	@echo "Serve the best student, then open http://127.0.0.1:8000 : $(BIN)/kdray serve jobs/serve-quickstart.yaml"

papers-smoke: setup ## Try every job of jobs/papers on a few drawn images, one step each
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && failed=0; \
	for job in jobs/papers/*.yaml; do \
	    printf '%s ' "$$job"; start=$$(date +%s); \
	    if $(BIN)/kdray run "$$job" --smoke --plain --set base.storage.uri="$$folder" >"$$folder/log" 2>&1; \
	    then echo "ok, $$(($$(date +%s) - start)) s"; else echo FAILED; cat "$$folder/log"; failed=1; fi; \
	done; exit $$failed

test: setup ## Run the whole test suite
	@command -v chromium >/dev/null 2>&1 || bash infra/debian-packages.sh chromium
	@command -v kubectl >/dev/null 2>&1 || bash infra/debian-packages.sh kubernetes-client \
	    || echo 'No kubectl: the tests of cluster/ that need it are skipped.' >&2
	@$(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder

bench: setup ## Measure what kdray promises of its speed (two hours on a quiet machine)
	@for what in step data record search explain 'serve --chaos-minutes 10'; do $(BIN)/kdray bench $$what --markdown || exit 1; echo; done

check: setup ## ruff, mypy --strict, the import order
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup ## Format the code and mend what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

requirements: ## Pin all requirements again, with hashes and without an index address
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-header --no-annotate --no-emit-index-url --output-file requirements.txt --quiet

clean: ## Remove the environment and caches (never results)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
