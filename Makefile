# Quiver: the commands a newcomer needs. `make` alone lists them.
#
# CARGO_TARGET_DIR  where cargo builds (default ./target)
# RELEASE_RUSTFLAGS how `make run` and `make bench` compile: for this very processor unless told otherwise
# QUIVER_VENV       the Python environment of the tests (default ./.venv, made when missing)
# CI=true           nothing may be skipped

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
RELEASE_RUSTFLAGS ?= -C target-cpu=native
export QUIVER_VENV ?= $(CURDIR)/.venv

.PHONY: help run test soak check audit bench bench-micro clean-venv

help: ## lists the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: ## builds for release (over half an hour the first time) and serves ./data to this machine only
	RUSTFLAGS="$(RELEASE_RUSTFLAGS)" cargo build --release --package quiver-flight-server --bin quiver
	QUIVER_LOG__FORMAT="$${QUIVER_LOG__FORMAT:-text}" QUIVER_LOG__FILTER="$${QUIVER_LOG__FILTER:-warn}" \
	  exec $(TARGET)/release/quiver serve --dev --data-dir ./data

test: ## Rust tests, then the black-box tests and every client example against a real server
	$(PYTHON) tests/tools/run_tests.py

soak: ## lives of the engine on a simulated disk until one fails or you stop it (SEED=100000 to go on there)
	@cargo test --workspace --lib --no-run
	@from=$${SEED:-100000}; while true; do \
	  to=$$((from + 2000)); echo "-- seeds $$from to $$to"; \
	  QUIVER_SEEDS=$$from..$$to cargo test --quiet --workspace --lib no_life_loses_doubles; \
	  from=$$to; done

check: ## formatting, clippy with warnings as errors, and the rules of the house style
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features quiver-engine/micro --quiet -- --deny warnings
	$(PYTHON) tests/tools/house_style.py

audit: ## licences, sources and advisories of the dependencies (needs cargo-deny and its database)
	@cargo deny --version >/dev/null 2>&1 || { \
	  echo "make audit needs cargo-deny: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny check

bench: ## builds for release and measures Quiver beside its peers on this machine (BENCH="--scale 0.1" for a short run)
	RUSTFLAGS="$(RELEASE_RUSTFLAGS)" cargo build --release --package quiver-flight-server --bin quiver
	$(PYTHON) benches/prepare.py $(TARGET)/release/quiver $(BENCH)

bench-micro: ## micro-benchmarks of the log, encoding, memtables, flush and pruning (QUIVER_BENCH_DIR: the disk to use)
	RUSTFLAGS="$(RELEASE_RUSTFLAGS)" cargo bench --workspace --bench micro --features quiver-engine/micro

clean-venv: ## removes the tests' Python environment
	rm -rf -- "$(QUIVER_VENV)"
