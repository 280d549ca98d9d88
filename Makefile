# make run   sets up .venv from the lock if need be, and starts the Procfile
#            SOURCE= camera number, video file, folder, address or testcard   SECONDS= stop after so much of it
#            OUT= folder for results   MODEL= model folder   HEADLESS=1 no window   KEYPOINTS= extractor processes
# make record  the same with a recorder: LABELS="wave, clap"   SEQUENCES= of each   SUBJECT= who   OUT= the data set
# make replay  plays RECORDING= a .mcap file, STAGE= keypoints or another topic, SPEED= 0 as fast as it goes
# make test  the tests      make check  format, lint, types, contracts, spelling, settings, and the tests
# make lock  compiles requirements.lock anew from pyproject.toml

.DEFAULT_GOAL := run
SHELL := /bin/sh
BIN := .venv/bin
UV_VERSION := 0.13.9
unexport PYTHONDONTWRITEBYTECODE # else every process that starts compiles TensorFlow anew: 8 s
export SOURCE OUT MODEL LABELS SUBJECT RECORDING

.PHONY: run record replay test lint check lock clean

START = exec $(BIN)/python -m services.launch --keypoints "$(or $(KEYPOINTS),1)" $(if $(filter-out 0 no false,$(HEADLESS)),--headless) \
  $(if $(SECONDS),--seconds "$(SECONDS)") $${SOURCE:+--source "$$SOURCE"} $${OUT:+--out "$$OUT"}

run: .venv/ready
	@$(START) $${MODEL:+--model "$$MODEL"}

record: .venv/ready
	@$(START) --record "$$LABELS" $${SUBJECT:+--set "recorder.subject=\"$$SUBJECT\""} \
	  $(if $(SEQUENCES),--set recorder.sequences="$(SEQUENCES)")

replay: .venv/ready
	@$(START) $${MODEL:+--model "$$MODEL"} --replay "$$RECORDING" $(if $(STAGE),--stage "$(STAGE)") \
	  $(if $(SPEED),--speed "$(SPEED)")

test: .venv/ready
	@$(BIN)/python -m pytest $(PYTEST)

lint: .venv/ready
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/codespell
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho check
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho -f Procfile.record check
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho -f Procfile.replay check
	@$(BIN)/python -m common.config >/dev/null

check: PYTEST = --durations=10
check: lint test

# The set-up says in one sentence what is missing: a Python of the right age, or a system library.
.venv/ready: requirements.lock .ci/setup
	@.ci/setup $(UV_VERSION)

lock: .venv/ready
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file requirements.lock

clean:
	rm -rf .venv
