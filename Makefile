# Every command a person or CI runs. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

HOST := target/release/metrics-host
COMPONENT := target/wasm32-wasip2/component/items_component.wasm

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: setup
setup: ## install what a build needs beyond rustup: the pinned toolchain and the wasm target
	@tools/setup.sh

.PHONY: component
component: setup ## build the component that spin.toml names
	tools/build-component.sh items-component

.PHONY: build
build: component ## build metrics-host and the component
	cargo build --locked --release --workspace --bin metrics-host

.PHONY: run
run: build ## serve the items API on 127.0.0.1:8080, its metrics on 127.0.0.1:9464
	$(HOST) serve

.PHONY: spin
spin: build ## serve the items API under `spin up`, with metrics-host as its sidecar
	@tools/spin.sh

.PHONY: test-component
test-component: component ## that the component asks for no more than items-component/imports.txt says, and is no larger than agreed
	cargo test --locked --package items-component --test it -- artefact::

.PHONY: test-components
test-components: component ## build the components that only tests serve
	tools/build-component.sh misbehaving-component

.PHONY: rules
rules: setup ## write the configuration of Prometheus and Alertmanager from alerts/source
	@cargo run --quiet --locked --package alerts -- generate

.PHONY: test-tools
test-tools: ## install what only tests need: Prometheus, Alertmanager, Chromium, valgrind
	@tools/need.sh promtool prometheus
	@tools/need.sh amtool prometheus-alertmanager
	@tools/need.sh chromium chromium
	@tools/need.sh valgrind valgrind

.PHONY: test
test: component test-components test-tools ## everything a change must pass
	cargo test --locked --release --workspace
	@$(COUNT_INSTRUCTIONS)
	@tools/side-by-side.sh tools/test-dashboards.sh tools/test-compose.sh tools/test-image.sh

# The same selection of packages as `cargo test`, so that nothing of them is compiled twice.
COUNT_INSTRUCTIONS = cargo build --quiet --locked --release --workspace --bin instructions --example hot_paths \
	&& target/release/instructions

.PHONY: test-instructions
test-instructions: setup ## count the instructions of the hot paths: within 5 % of bench/instructions.json
	@tools/need.sh valgrind valgrind
	@$(COUNT_INSTRUCTIONS)

.PHONY: instructions-baseline
instructions-baseline: setup ## write bench/instructions.json anew, after a change that is meant
	@tools/need.sh valgrind valgrind
	@$(COUNT_INSTRUCTIONS) --write

.PHONY: test-faults
test-faults: build test-components ## break what surrounds the service, for minutes: every answer is counted once all the same
	FAULTS=full cargo test --locked --release --package metrics-host --test it -- --test-threads=1 faults::

.PHONY: e2e
e2e: build test-tools ## drive the four alerts against real servers: pending, firing, notified, resolved
	cargo test --locked --release --workspace --test e2e -- --nocapture

.PHONY: evidence
evidence: build test-tools ## drive every alert for real, in about 12 minutes, and write evidence/report
	cargo build --locked --release --package evidence
	target/release/evidence all
	target/release/evidence verify

.PHONY: evidence-ci
evidence-ci: setup test-tools ## run the pipeline's steps and the planted faults, and record them in evidence/report/ci
	cargo build --locked --release --package evidence
	target/release/evidence ci evidence/report

.PHONY: evidence-verify
evidence-verify: setup test-tools ## check the report in evidence/report: every number is computed again from the raw files
	cargo build --locked --release --package evidence
	target/release/evidence verify evidence/report

.PHONY: test-running
test-running: ## test a service that runs already: ITEMS_URL=http://… METRICS_URL=http://… make test-running
	@test -n "$${ITEMS_URL:-}" && test -n "$${METRICS_URL:-}" || { echo "set ITEMS_URL and METRICS_URL" >&2; exit 2; }
	cargo test --locked --release --package metrics-host --test it -- --test-threads=1 items:: counts::
	@echo "Not run, since they need a host of their own:"
	@cargo test --quiet --locked --release --package metrics-host --test it -- --list | sed -n 's/: test$$//p' | grep -vE '^(items|counts)::'

.PHONY: lint
lint: lint-format lint-versions lint-workflows lint-deploy lint-alerts lint-secrets lint-dependencies lint-rust ## everything that can be said without running it

.PHONY: lint-format
lint-format: setup ## formatting
	cargo fmt --all --check

# The runner of planted faults narrows it down.
LINTED := --workspace

.PHONY: lint-rust
lint-rust: setup ## clippy on both targets with warnings denied
	cargo clippy --locked --release $(LINTED) --all-targets -- --deny warnings
	cargo clippy --locked --profile component --target wasm32-wasip2 --package items-component --package misbehaving-component -- --deny warnings

.PHONY: lint-dependencies
lint-dependencies: setup ## licences, sources and bans of the dependencies: deny.toml
	cargo fetch --locked
	@tools/linter.sh cargo-deny --locked --offline check bans licenses sources

.PHONY: lint-workflows
lint-workflows: ## pins, zizmor, actionlint and schemas of what is in .github
	@tools/lint-workflows.sh

.PHONY: lint-deploy
lint-deploy: ## shellcheck, hadolint, yamllint, compose.yaml against its schema
	@tools/lint-deploy.sh

.PHONY: lint-alerts
lint-alerts: ## what Prometheus and Alertmanager are told, by their own checks
	@tools/lint-alerts.sh

.PHONY: lint-images
lint-images: ## the same by the versions that compose.yaml runs, and workflows by the newest actionlint: pulls images
	@tools/lint-images.sh || test $$? = 77

.PHONY: lint-secrets
lint-secrets: ## what looks like a secret, in the files and in the history
	@tools/lint-secrets.sh

.PHONY: lint-versions
lint-versions: ## that Cargo.toml, spin.toml and CHANGELOG.md agree about the version
	@tools/version.sh >/dev/null

.PHONY: lock-linters
lock-linters: ## write tools/linters/requirements.txt, its package-lock.json and bench/flask/requirements.txt anew
	@tools/lock-linters.sh

.PHONY: fuzz
fuzz: setup ## feed made-up input to what reads a stranger's, FUZZ_SECONDS=60 for each fuzz target
	@tools/fuzz.sh

# PARTS and flags for a shorter run: make bench BENCH="items latency --rounds 2 --seconds 0.5"
.PHONY: bench
bench: component test-components ## measure metrics-host beside a native server, Spin and Flask, into bench/results: 20 minutes, and 10 to build
	cargo build --locked --profile dist --package metrics-host --package bench --bins
	target/dist/bench $(BENCH)

.PHONY: soak
soak: build ## serve mixed traffic for SOAK_SECONDS (600) beside a sidecar: every answer counted once, nothing piles up
	cargo build --locked --release --package bench
	target/release/soak

# Who asks for an image is told that there is none; a step of the pipeline is skipped.
.PHONY: image
image: ## build the container image metrics-host:local
	@tools/image.sh || test $$? = 77 -a -n "$${SKIPPED:-}"

.PHONY: up
up: ## start the whole system with compose: items, Prometheus, Alertmanager, Grafana
	@tools/up.sh

.PHONY: down
down: ## stop it, and keep its data
	@tools/down.sh

# Exit code 77 says that Docker cannot work on this machine; the reason is on the terminal.
.PHONY: test-image
test-image: build ## test the image's last stage, on a base of this machine's files
	@tools/test-image.sh || test $$? = 77

.PHONY: test-compose
test-compose: build ## test compose.yaml, with stand-ins for the images
	@tools/test-compose.sh || test $$? = 77

.PHONY: test-dashboards
test-dashboards: ## test the dashboards' form and their expressions' syntax
	@tools/test-dashboards.sh

# What tools/step.sh runs in the pipeline, and what `make lint test` leaves out: it takes long, or needs the network.
.PHONY: ci
ci: ## the steps of the pipeline, in its order, as far as this machine can; a table at the end
	@tools/ci.sh

.PHONY: audit
audit: setup ## the dependencies against the advisory database
	@tools/audit.sh || test $$? = 77

.PHONY: scan-history
scan-history: ## secrets in the whole history, by gitleaks
	@tools/scan-history.sh || test $$? = 77

.PHONY: test-alerts
test-alerts: build ## the alert rules: their unit tests, runbooks, that metrics-host has what they ask for, and that a test holds each threshold
	@tools/need.sh promtool prometheus
	@tools/need.sh amtool prometheus-alertmanager
	cargo test --locked --package alerts

.PHONY: test-spin
test-spin: build ## `spin build`, and the black-box suite under a real Spin
	@tools/test-spin.sh || test $$? = 77

.PHONY: test-release
test-release: build ## promotion and rollback, against a registry of its own
	@tools/test-release.sh || test $$? = 77

.PHONY: test-offline
test-offline: setup ## a build from vendored crates, without a network: OFFLINE=full for metrics-host too
	@tools/test-offline.sh || test $$? = 77

.PHONY: test-gates
test-gates: setup ## plant one fault per gate: it is stopped by that gate and by no other
	@tools/need.sh promtool prometheus
	@tools/need.sh amtool prometheus-alertmanager
	@tools/test-gates.sh

.PHONY: reproducible
reproducible: setup ## build the component twice, in different places: the same bytes
	@tools/reproducible.sh

.PHONY: release-files
release-files: ## what is released, into target/release-files: image, binary, component, checksums
	@tools/release/build.sh

.PHONY: rollback
rollback: ## run an earlier image, verified: make rollback IMAGE=NAME@sha256:…
	@tools/rollback.sh "$(IMAGE)"

.PHONY: clean
clean: ## remove what was built, and nothing else
	cargo clean
