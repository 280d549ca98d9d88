# `make help` lists the targets. Variables of run, record and replay:
#   SOURCE= camera number, video file, folder, address or testcard   SECONDS= stop after so much of it
#   OUT= folder for results   MODEL= model folder   HEADLESS=1 no window   KEYPOINTS= extractor processes
#   LABELS="wave, clap"   SEQUENCES= of each   SUBJECT= who performs   (record: OUT= the data set)
#   RECORDING= a .mcap file   STAGE= keypoints or another topic   SPEED= 0 as fast as possible

.DEFAULT_GOAL := run
SHELL := /bin/sh
BIN := .venv/bin
UV_VERSION := 0.13.9
unexport PYTHONDONTWRITEBYTECODE # else every process that starts compiles TensorFlow anew: 8 s
export SOURCE OUT MODEL LABELS SUBJECT RECORDING

.PHONY: help run record replay test lint check docs animation lock upgrade clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

START = exec $(BIN)/python -m services.launch --keypoints "$(or $(KEYPOINTS),1)" $(if $(filter-out 0 no false,$(HEADLESS)),--headless) \
  $(if $(SECONDS),--seconds "$(SECONDS)") $${SOURCE:+--source "$$SOURCE"} $${OUT:+--out "$$OUT"}

run: .venv/ready ## Set up .venv if need be, and run the pipeline
	@$(START) $${MODEL:+--model "$$MODEL"}

record: .venv/ready ## Record labelled sequences
	@$(START) --record "$$LABELS" $${SUBJECT:+--set "recorder.subject=\"$$SUBJECT\""} \
	  $(if $(SEQUENCES),--set recorder.sequences="$(SEQUENCES)")

replay: .venv/ready ## Play a recording of the bus instead of a camera
	@$(START) $${MODEL:+--model "$$MODEL"} --replay "$$RECORDING" $(if $(STAGE),--stage "$(STAGE)") \
	  $(if $(SPEED),--speed "$(SPEED)")

test: .venv/ready ## Run the tests
	@$(BIN)/python -m pytest $(PYTEST)

lint: .venv/ready ## Check format, lint, types, import contracts, spelling, Procfiles and settings
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/codespell
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho check
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho -f Procfile.record check
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho -f Procfile.replay check
	@$(BIN)/python -m common.config >/dev/null

check: PYTEST = --durations=10 --cov
check: lint test ## All that must pass: lint and tests, with coverage

# The set-up says in one sentence what is missing: a Python of the right age, or a system library.
.venv/ready: requirements.lock .ci/setup
	@.ci/setup $(UV_VERSION)

docs: .venv/ready ## Write the reference from the code, and build the documentation to build/site
	@$(BIN)/python -m docs.tools.reference
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

animation: .venv/ready ## Make the animated image of the README from the test card
	rm -rf out/animation
	@$(START) --source testcard --seconds 13.2 --headless --out out/animation --set camera.fps=12.5
	@$(BIN)/python -m docs.tools.animation out/animation/overlay.mp4 docs/images/overlay.webp

COMPILE = $(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file requirements.lock

lock: .venv/ready ## Compile requirements.lock after a change of dependencies
	@$(COMPILE)

upgrade: .venv/ready ## Compile requirements.lock with the newest versions, and install them
	@$(COMPILE) --upgrade
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirements requirements.lock
	@touch .venv/ready

clean: ## Remove .venv
	rm -rf .venv
