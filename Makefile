# Every target is one line of `make help`. Builds are kept outside the clone, so that a fresh one starts warm.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export QFLOW_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/qflow
export CARGO_TARGET_DIR ?= $(QFLOW_CACHE)/target
EXAMPLE ?= examples/hello.py
ARGS ?= -p name=Ada

.PHONY: help build run up down stack stack-down test test-stack lint contract bench bench-compare bench-types soak fuzz images python-images test-compose test-kubernetes
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the `qflow` program
	cargo build --locked --package qflow-cli

# Every version that a machine may have: the services' own default is what a cluster promises.
run: export QFLOW_PYTHON_VERSIONS ?= 3.9,3.10,3.11,3.12,3.13,3.14
run: build ## build, and run an example on the embedded default (EXAMPLE=…, ARGS=…)
	"$$CARGO_TARGET_DIR/debug/qflow" run $(EXAMPLE) $(ARGS)

# With one test among what is built, what it shares with `make test` is built once: dependencies of tests switch features on.
up: ## the shape of a cluster on this machine: two orchestrators on Postgres and Redis, two runners
	cargo build --locked --workspace --bins --test workspace
	deploy/local/cluster up

down: ## ends what `make up` started; its state stays
	deploy/local/cluster down

stack: ## `make up` and what observes it: Prometheus, Alertmanager, exporters, Jaeger, Elasticsearch, Filebeat; prints where to look
	cargo build --locked --workspace --bins --test workspace
	deploy/local/stack up

stack-down: ## ends what `make stack` started; its state stays
	deploy/local/stack down

test: ## everything that Docker and processes can prove; installs what is missing
	deploy/local/test

test-stack: ## what needs a real Jaeger and Elasticsearch, what moves gigabytes, and compose.yml brought up
	deploy/local/test-stack

lint: ## formatting, clippy, rustdoc, licences
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --test stack --test large -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: licences not checked" >&2; fi

contract: ## what is generated from the code is fresh (UPDATE=1 makes it anew)
	cargo build --locked --workspace --bins --test workspace
	cargo test --locked --workspace --test contract --test manifests

bench: ## Qflow against floors of the same minute, as a table with the gates (BENCH="--only 4,8 --strict")
	cargo build --locked --release --quiet --workspace --bins
	"$$CARGO_TARGET_DIR/release/qflow-bench" --results bench/results $(BENCH)

bench-compare: ## the newest result of `make bench` against bench/baseline.json: what got worse beyond noise (BENCH=--strict)
	cargo build --locked --release --quiet --workspace --bins
	"$$CARGO_TARGET_DIR/release/qflow-bench" compare $(BENCH)

bench-types: ## goal 12 by criterion: edges, values, a workflow of 10,000 edges (BENCH=edge/ordinary)
	cargo bench --locked --manifest-path bench/criterion/Cargo.toml -- $(BENCH)

soak: ## what takes an hour: 10,000 runs at once, kills, ten million rows of history; writes docs/SOAK.md (SOAK="--runs 1000 --rows 0")
	cargo build --locked --release --quiet --workspace --bins
	"$$CARGO_TARGET_DIR/release/qflow-soak" --result docs/SOAK.md $(SOAK)

fuzz: ## reads a million hostile files and a million annotations and checks a million hostile values, and notes it in fuzz/RESULTS.md (INPUTS=…, SEED=…)
	QFLOW_FUZZ_INPUTS=$(or $(INPUTS),1000000) QFLOW_FUZZ_SEED=$(or $(SEED),0) CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test --locked --package qflow-python-source --package qflow-types --test fuzzing -- --nocapture 2>&1 | tee /dev/stderr | sed -n "s/^fuzz: /- $$(date -u +%F): /p" >> fuzz/RESULTS.md

images: ## images of the services, built on this machine without a registry
	deploy/images/build

python-images: ## Python images tagged like the official ones, pulled or built
	deploy/local/python-images

test-compose: ## compose.yml with those images, brought up for real, two examples run through it, taken down
	deploy/local/compose-check

test-kubernetes: ## deploy/k8s on a real Kubernetes of one node, built here once (ten minutes and more), brought up and taken down
	deploy/local/kubernetes-check
