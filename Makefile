# Every command a person or CI runs. `make` alone lists them.

# Each recipe is one script of bash, and a step: exit code 77 says that this machine cannot run it.
SHELL := tools/step.sh
.SHELLFLAGS = $@
.ONESHELL:
.DELETE_ON_ERROR:

HOST := target/release/metrics-host
# The target of programs that are built as those of a release.
TARGET = $(shell rustc --print host-tuple)
PROMETHEUS := promtool:prometheus amtool:prometheus-alertmanager
# The profile of the tests is the one of `make build`: nothing is compiled twice.
CARGO_TEST := cargo test --locked --release

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: setup
setup: ## install what a build needs beyond rustup: the pinned toolchain and the wasm target
	@tools/setup.sh

.PHONY: component
component: setup ## build the component that spin.toml names
	tools/build-component.sh items-component

.PHONY: gateway
gateway: setup ## build the gateway component
	tools/build-component.sh metrics-gateway

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
test-component: component ## check the component's imports against items-component/imports.txt, and its size
	cargo test --locked --package items-component --test it -- artefact::

.PHONY: test-components
test-components: gateway ## build the components that only tests serve, and the gateway
	tools/build-component.sh axum-component
	tools/build-component.sh candidate-component
	tools/build-component.sh clients-component
	tools/build-component.sh middleware-component
	tools/build-component.sh misbehaving-component
	tools/build-component.sh otel-component
	tools/build-component.sh synchronous-component
	tools/build-component.sh synchronous-component --target wasm32-wasip1
	tools/build-component.sh world-component

.PHONY: conformance-components
conformance-components: setup ## build the components of the conformance cases
	tools/build-component.sh conformance-component --examples

.PHONY: rules
rules: setup ## write rules, dashboards and the configuration of Prometheus and Alertmanager from alerts/source
	@cargo run --quiet --locked --package alerts -- generate

.PHONY: reference
reference: setup ## write docs/metrics-reference.md from the metrics that the code declares
	WRITE_REFERENCE=yes $(CARGO_TEST) --quiet --package metric --test it

.PHONY: setup-test
setup-test: ## install what the tests need, where it is missing: Prometheus, Alertmanager, Chromium, valgrind
	@tools/need.sh $(PROMETHEUS) chromium valgrind jq

.PHONY: setup-services
setup-services: setup-test ## install the servers of tests: Redis, PostgreSQL with PgBouncer, Mosquitto, HAProxy
	@tools/need.sh redis-server /usr/sbin/mosquitto:mosquitto /usr/sbin/pgbouncer:pgbouncer /usr/sbin/haproxy:haproxy
	# Each version has a folder of its own.
	compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || tools/need.sh a-postgresql-server:postgresql

.PHONY: test
test: test-crates test-sdk test-accessibility test-languages test-conformance e2e test-instructions test-compose test-release-files test-quick-start test-deploy ## everything a change must pass

# Of the binaries, those with tests: a harness of metrics-host would link Wasmtime once more. The end-to-end tests mostly wait, and are a step of their own: they can run beside the others. The first line finds tests that are in neither.
.PHONY: test-crates
test-crates: build test-components setup-services ## the tests of all crates, but for those end to end and with SDKs
	@cargo metadata --no-deps --format-version 1 | jq --exit-status '[.packages[].targets[] | select(.kind == ["test"]).name] - ["it", "e2e"] == []'
	$(CARGO_TEST) --workspace --lib --bin compare --bin instructions --bin soak --test it -- --skip sdk:: --skip accessibility:: --skip languages:: --skip conformance::
	$(CARGO_TEST) --workspace --doc
	# The same promises without values, for components of wasi:http alone.
	BUFFERED_HTTP=off $(CARGO_TEST) --workspace --test it -- edge:: exactness:: items:: leaving:: library:: limits:: streams:: survival:: unlimited:: usage:: waiting:: --skip sdk::

.PHONY: test-sdk
test-sdk: build setup-test ## the SDKs of Python and JavaScript: what they recorded equals the page
	@for lock in metrics-host/tests/it/sdk/{requirements.txt,package-lock.json}; do
		tools/packages.sh "$$lock" >/dev/null || tools/skip.sh "the packages of the SDKs cannot be installed"
	done
	$(CARGO_TEST) --workspace --test it -- sdk::

.PHONY: test-accessibility
test-accessibility: build setup-test ## axe-core finds nothing on the pages for operators
	@tools/packages.sh metrics-host/tests/it/status/axe/package-lock.json >/dev/null || tools/skip.sh "axe-core cannot be installed"
	$(CARGO_TEST) --workspace --test it -- accessibility::

.PHONY: screens
screens: build setup-test ## take the pictures in docs/screens again, in about 6 minutes
	$(CARGO_TEST) --workspace --test it -- --ignored screens::

.PHONY: test-languages
test-languages: build setup-test ## Spin applications in JavaScript, Python and Rust, built with Spin's SDKs: every request answered and counted
	@for lock in metrics-host/tests/languages/{javascript/package-lock.json,python/requirements.txt}; do
		tools/packages.sh "$$lock" >/dev/null || tools/skip.sh "the packages of Spin's SDKs cannot be installed"
	done
	tools/build-languages.sh
	$(CARGO_TEST) --workspace --test it -- languages::

.PHONY: test-conformance
test-conformance: build conformance-components setup-services ## the cases of Spin's conformance suite, under serve and under the Spin on PATH
	$(CARGO_TEST) --workspace --test it -- conformance::

.PHONY: test-templates
test-templates: build conformance-components ## applications as `spin new` makes them, under Spin and serve: writes the table in docs/compatibility.md
	tools/test-templates.sh $(CARGO_TEST) --workspace --test it -- --ignored templates::

.PHONY: e2e
e2e: build setup-test ## drive the four alerts against real servers: pending, firing, notified, resolved
	$(CARGO_TEST) --workspace --test e2e -- --nocapture

# The same packages as in `cargo test`, so that nothing is compiled twice.
COUNT_INSTRUCTIONS = cargo build --quiet --locked --release --workspace --bin instructions --example hot_paths \
	&& target/release/instructions

.PHONY: test-instructions
test-instructions: build setup-test ## count the instructions of the hot paths: within 5 % of bench/instructions.json
	@$(COUNT_INSTRUCTIONS)

.PHONY: instructions-baseline
instructions-baseline: setup setup-test ## write bench/instructions.json again, after an intended change
	@$(COUNT_INSTRUCTIONS) --write

.PHONY: test-deploy
test-deploy: ## the Helm chart and the SpinKube sample: what they render is valid, and Prometheus reads it as intended
	@tools/need.sh $(PROMETHEUS)
	tools/deploy.sh python3 -m unittest discover --verbose --start-directory deploy/tests

.PHONY: test-kind
test-kind: ## roll the chart out on a cluster of kind, under load: no count is lost
	@tools/test-kind.sh

.PHONY: test-faults
test-faults: build test-components ## break what surrounds the service, for minutes: every answer is still counted once
	tools/build-languages.sh
	FAULTS=full $(CARGO_TEST) --workspace --test it -- --test-threads=1 faults:: javascript_with_traps

.PHONY: evidence
evidence: build setup-test ## drive every alert for real, in about 12 minutes, and write evidence/report
	cargo build --locked --release --workspace --bin evidence
	newer=$$(tools/newer.sh prometheus prometheus-alertmanager) || echo "with the installed versions of Prometheus and Alertmanager alone" >&2
	target/release/evidence all $${newer:+--second "$$newer"}
	target/release/evidence verify

.PHONY: evidence-ci
evidence-ci: setup setup-test ## run the pipeline's steps and the planted faults, and record them in evidence/report/ci
	cargo build --locked --release --workspace --bin evidence
	target/release/evidence ci evidence/report

.PHONY: evidence-verify
evidence-verify: setup setup-test ## check the report in evidence/report: every number is computed again from the raw files
	cargo build --locked --release --workspace --bin evidence
	target/release/evidence verify evidence/report

.PHONY: test-running
test-running: ## test a service that runs already: ITEMS_URL=http://… METRICS_URL=http://… make test-running
	@test -n "$${ITEMS_URL:-}" && test -n "$${METRICS_URL:-}" || { echo "set ITEMS_URL and METRICS_URL" >&2; exit 2; }
	$(CARGO_TEST) --package metrics-host --test it -- --test-threads=1 items:: counts::
	echo "Not run, since they need a host of their own:"
	$(CARGO_TEST) --quiet --package metrics-host --test it -- --list | sed -n 's/: test$$//p' | grep -vE '^(items|counts)::'

.PHONY: lint
lint: lint-format lint-versions lint-evidence lint-prose lint-docs lint-workflows lint-deploy lint-alerts lint-secrets lint-dependencies lint-rust lint-fuzz ## every check that runs none of the code

.PHONY: lint-format
lint-format: setup ## formatting
	cargo fmt --all --check

# tools/test-gates.sh narrows it down.
LINTED := --workspace

.PHONY: lint-rust
lint-rust: setup ## clippy on both targets with warnings denied
	cargo clippy --locked --release $(LINTED) --all-targets -- --deny warnings
	cargo clippy --locked --profile component --target wasm32-wasip2 --lib --examples --package axum-component --package buffered-http --package candidate-component --package clients-component --package conformance-component --package items-component --package request-telemetry --package metrics-gateway --package middleware-component --package misbehaving-component --package otel-component --package peer-component --package synchronous-component --package world-component -- --deny warnings

.PHONY: lint-fuzz
lint-fuzz: setup ## clippy on the fuzz targets, a workspace of their own
	@tools/need.sh c++:g++
	cargo clippy --locked --release --manifest-path fuzz/Cargo.toml --target-dir target -- --deny warnings

# $(call DENY,FLAGS,CHECKS): cargo-deny on the workspace and on the fuzz targets, by default with all its checks.
define DENY
for manifest in Cargo.toml fuzz/Cargo.toml; do
	cargo fetch --locked --manifest-path "$$manifest"
	tools/linter.sh cargo-deny --locked $(1) --manifest-path "$$manifest" --config deny.toml check $(2)
done
endef

.PHONY: lint-dependencies
lint-dependencies: setup ## licences, sources and bans of the dependencies, also those of the fuzz targets: deny.toml
	@$(call DENY,--offline,bans licenses sources)

.PHONY: lint-workflows
lint-workflows: ## pins, zizmor, actionlint and schemas of what is in .github
	@tools/lint-workflows.sh

.PHONY: lint-deploy
lint-deploy: ## shellcheck, hadolint, yamllint, compose.yaml and the dashboards against their schemas, the systemd unit
	@mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)
	mapfile -t yaml < <(git ls-files --cached --others --exclude-standard '*.yml' '*.yaml')
	tools/linter.sh shellcheck --external-sources "$${scripts[@]}"
	tools/linter.sh hadolint Dockerfile Dockerfile.spin
	tools/linter.sh yamllint --strict "$${yaml[@]}"
	tools/linter.sh check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml tools/linters/compose.yaml
	tools/linter.sh check-jsonschema --quiet --schemafile grafana/dashboard.schema.json grafana/dashboards/*.json
	tools/lint-unit.sh

.PHONY: lint-alerts
lint-alerts: ## the configuration of Prometheus and Alertmanager, by their own checks
	@tools/need.sh $(PROMETHEUS)
	for folder in alerts alerts/demo; do
		promtool check config "$$folder/prometheus.yml"
		amtool check-config "$$folder/alertmanager.yml"
	done

.PHONY: lint-prose
lint-prose: ## plain English in comments and pages
	@tools/lint-prose.sh

.PHONY: docs
docs: ## build the site of docs/ and the runbooks into target/book
	@tools/docs.sh

.PHONY: picture
picture: build ## take docs/status.png, the picture of the README, again: 17 minutes
	@tools/picture.sh

# Links of runbooks are paths of the metrics port; the site has them as pages. The templates of the report are linked from elsewhere.
.PHONY: lint-docs
lint-docs: docs ## no link of a page or of the site is broken; none of the network is followed
	@mapfile -t pages < <(git ls-files --cached --others --exclude-standard '*.md' ':!alerts/runbooks' ':!evidence/templates')
	check=(tools/linter.sh lychee --offline --include-fragments --no-progress --quiet)
	"$${check[@]}" "$${pages[@]}"
	"$${check[@]}" --root-dir "$$PWD/target/book" target/book

.PHONY: lint-images
lint-images: ## lint-alerts with the images of compose.yaml, and the newest actionlint: pulls images
	@tools/lint-images.sh

.PHONY: lint-secrets
lint-secrets: ## nothing that looks like a secret, in the files and in the history
	@tools/lint-secrets.sh

.PHONY: lint-versions
lint-versions: ## Cargo.toml, spin.toml, the chart and CHANGELOG.md agree about the version
	@tools/version.sh

.PHONY: lint-evidence
lint-evidence: ## say whether evidence/report is of the product as it is now; only a release fails if it is not
	@tools/evidence-current.sh

.PHONY: lock-linters
lock-linters: ## lock the linters and the Flask baseline again: tools/linters, bench/flask
	@tools/lock-linters.sh

.PHONY: fuzz
fuzz: setup ## feed made-up input to every parser, FUZZ_SECONDS=60 for each fuzz target
	@tools/fuzz.sh

# Parts and flags: make bench BENCH="items latency --rounds 2 --seconds 0.5 --results target/short"
.PHONY: bench
bench: component test-components ## measure metrics-host beside a native server, Spin and Flask, into bench/results: an hour, and 40 minutes to build
	tools/dist.sh $(TARGET) native bench
	target/$(TARGET)/dist/bench $(BENCH)

# Flags of `compare run`: make compare COMPARE="--way Pushgateway --fault killed --rounds 1 --results target/short"
.PHONY: compare
compare: build gateway ## drive the same traffic and faults through other ways to count: writes docs/compare-results.md, in 10 to 15 minutes
	tools/build-component.sh axum-component
	tools/build-component.sh peer-component
	tools/need.sh node:nodejs || echo "without Node.js, StatsD is not run" >&2
	cargo build --locked --release --workspace --bin compare
	target/release/compare run $(COMPARE)

.PHONY: compare-verify
compare-verify: setup ## compute docs/compare-results.md again from the raw facts: fails if a byte differs
	cargo build --quiet --locked --release --workspace --bin compare
	target/release/compare verify

# PROFILE="list --contender native": the workloads are show, list, create and mixed
.PHONY: profile
profile: component test-components ## print where the CPU time of a workload goes (Linux, with perf)
	tools/dist.sh $(TARGET) native profile
	target/$(TARGET)/dist/profile $(PROFILE)

.PHONY: soak
soak: build ## serve mixed traffic for SOAK_SECONDS (600) beside a sidecar: every answer counted once, nothing piles up
	cargo build --locked --release --workspace --bin soak
	target/release/soak

# Skipped only as a step of the pipeline: alone it fails where it can build no image.
.PHONY: image
image: export NO_SKIP := $(if $(STEP_RECORDS),$(NO_SKIP),yes)
image: ## build the container image metrics-host:local
	@tools/image.sh

.PHONY: up
up: ## start the whole system with compose: items, Prometheus, Alertmanager, Grafana
	@tools/up.sh

.PHONY: down
down: ## stop it, and keep its data
	@tools/down.sh

.PHONY: test-compose
test-compose: build ## test the image and compose.yaml, with stand-ins for the images of a registry
	@tools/test-compose.sh

# The pipeline makes these; `make lint test` leaves them out, for they take long or need the network.
.PHONY: ci
# It is no step, but makes the steps.
ci: SHELL := bash
ci: .SHELLFLAGS := -euc
ci: ## the steps of the pipeline, in its order, as far as this machine can; a table at the end
	@tools/ci.sh

.PHONY: audit
audit: setup ## the dependencies, also those of the fuzz targets, against the advisory database
	@git ls-remote --exit-code --heads https://github.com/rustsec/advisory-db >/dev/null 2>&1 || tools/skip.sh "the advisory database cannot be reached"
	$(call DENY)

GITLEAKS := 8.30.1
GITLEAKS_SHA256 := 551f6fc83ea457d62a0d98237cbad105af8d557003051f41f3e7ca7b3f2470eb

.PHONY: scan-history
scan-history: ## secrets in the whole history, by gitleaks
	@archive=https://github.com/gitleaks/gitleaks/releases/download/v$(GITLEAKS)/gitleaks_$(GITLEAKS)_linux_x64.tar.gz
	gitleaks=$$(tools/download.sh "$$archive" $(GITLEAKS_SHA256) gitleaks)
	"$$gitleaks" git --redact --no-banner --exit-code 1 .

.PHONY: test-alerts
test-alerts: build ## the alert rules: unit tests, runbooks, their metrics, and a test that holds each threshold
	@tools/need.sh $(PROMETHEUS)
	cargo test --locked --package alerts

.PHONY: test-spin
test-spin: build ## `spin build`, and the black-box suite under a real Spin
	@tools/test-spin.sh

.PHONY: test-release
test-release: build ## promotion and rollback, against a registry on this machine
	@tools/test-release.sh

.PHONY: test-release-files
test-release-files: build ## the files of a release: checksums, the Spin plugin, and that plugin under a real Spin
	@tools/test-release-files.sh

.PHONY: test-quick-start
test-quick-start: build ## the commands of docs/: the quick start from the download to the first metric, then those of the other pages
	@tools/test-quick-start.sh
	tools/test-docs.sh

.PHONY: test-offline
test-offline: setup ## a build from vendored crates, without a network: OFFLINE=full for metrics-host too
	@tools/test-offline.sh

.PHONY: test-gates
test-gates: setup ## plant one fault per gate: that gate stops it, and no other does
	@tools/test-gates.sh

.PHONY: reproducible
reproducible: setup ## build the component twice, in different places: the same bytes
	@tools/reproducible.sh

.PHONY: release-files
release-files: ## the image of a release, and the component taken out of it, into target/release-image and target/release-files
	@tools/release/build.sh

.PHONY: rollback
rollback: ## run an earlier image, verified: make rollback IMAGE=NAME@sha256:…
	@tools/rollback.sh "$(IMAGE)"

.PHONY: clean
clean: ## remove what was built, and nothing else
	cargo clean
