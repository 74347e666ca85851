# What a fresh machine with Rust and a C compiler needs: `make demo` and `make test`. Each installs what it is missing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Options for `make demo`, such as ARGS='--once --gate-port 8081', and for the benchmark of `make bench`.
ARGS ?=
# How long `make fuzz` tries each thing that it tries.
SECONDS ?= 600
CARGO ?= cargo

VENV := target/venv
NODE := target/node
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug/hallgate
STATIC := target/static/hallgate
KUBECTL := target/kubectl
FRIENDS := target/friends
# The public reference implementation as its authors package it, with its own tests.
REFERENCE := target/reference
RUST_SET_UP := https://rustup.rs
# What looks for bytes that break a law; it builds on stable without a sanitizer, and safe code needs none.
FUZZ := target/tools/bin/cargo-fuzz
FUZZ_VERSION := 0.13.2
FUZZ_OPTIONS := --sanitizer none --target-dir target/fuzz
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

.PHONY: help demo test soak kills fuzz neighbours hostile friends bench counts sbom dist alerts check build-tools tools

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

# The first build is 400 packages: who waits for it is told how long, and sees what is compiled.
demo: build-tools ## the whole journey on embedded defaults, until Ctrl-C
	@[ -e $(BUILT) ] || echo 'Building hallgate, once: about six minutes on two cores.' >&2
	@began=$$(date +%s); $(CARGO) build --locked --bin hallgate; took=$$(($$(date +%s) - began)); \
		[ $$took -lt 5 ] || echo "Built in $$took s. Now the demo: about ten seconds." >&2
	@$(CARGO) run --locked --quiet -- demo $(ARGS)

test: tools $(STATIC) ## every test, with what the tests need
	$(CARGO) test --locked --no-fail-fast 2>&1 | .ci/sum-tests

soak: build-tools ## 500 callers for a minute: nothing is lost, nothing is mixed up
	HALLGATE_SOAK_CONNECTIONS=500 HALLGATE_SOAK_SECONDS=60 $(CARGO) test --locked --test soak -- --nocapture

kills: build-tools ## 300 kills at random moments under load, some with pages lost: every answer has its entry, what a human agreed to runs once
	HALLGATE_KILLS=300 $(CARGO) test --locked --test endurance kill -- --nocapture
	HALLGATE_REPEATS=1000 $(CARGO) test --locked --test holding --test approvals repeats

# Not in .ci/run, whose `make test` replays every seed and finding in a second: this compiles every dependency once more, instrumented,
# which takes ten minutes on two cores, and a minute for each target is eleven.
fuzz: build-tools $(FUZZ) ## SECONDS (600) for each: random exchanges through the gate, and every law of fuzz/ against random bytes
	HALLGATE_EXCHANGES_SECONDS=$(SECONDS) $(CARGO) test --locked --test gate exchanges -- --nocapture
	$(FUZZ) fuzz build $(FUZZ_OPTIONS)
	for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target fuzz/regressions/$$target; \
		$(FUZZ) fuzz run $(FUZZ_OPTIONS) $$target fuzz/{corpus,seeds,regressions}/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -print_final_stats=1 || \
			{ echo "what broke the law is in fuzz/artifacts/$$target: keep it in fuzz/regressions/$$target" >&2; exit 1; }; \
	done

hostile: tools ## 2,000 hostile connections of each kind at once: a caller and its probes are served, in little memory
	HALLGATE_HOSTILE=2000 $(CARGO) test --locked --test hostile -- --nocapture --test-threads=1

neighbours: tools ## ten rounds of requests that somebody reads in more than one way, between real proxies and servers
	HALLGATE_NEIGHBOURS_ROUNDS=10 $(CARGO) test --locked --test neighbours -- --nocapture

# Not in `make test`, which holds what is imported against the pages and a Hall, and has an emulator for Make: n8n is 3 GB, which come in a
# quarter of an hour, and it takes ten seconds for each run.
friends: build-tools $(FRIENDS)/installed ## the real n8n and Bruno import what docs/integrate/import has for them, and run it
	@.ci/need curl
	HALLGATE_FRIENDS=$(FRIENDS) $(CARGO) test --locked --test friends -- --nocapture

check: build-tools ## formatting, lints and documentation, warnings denied
	@$(CARGO) fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@$(CARGO) clippy --version >/dev/null 2>&1 || rustup component add clippy
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items

sbom: build-tools ## what the program is made of, and the licences of all of it, in target/sbom
	@.ci/need python3
	.ci/sbom target/sbom

# Two builds with link-time optimisation, and every dependency for the other architecture: 25 minutes of one core's time each.
dist: build-tools $(KUBECTL)/installed ## what is handed out, in target/dist: programs, image, chart, bill of materials, sums
	@.ci/need python3 strip=binutils
	.ci/dist target/dist

# Not in `make test`, which holds alerts against metrics and their page: promtool comes with a whole Prometheus.
alerts: $(VENV)/installed ## every alert of k8s/monitoring, tried by promtool
	@.ci/need promtool=prometheus
	@mkdir -p target/alerts
	$(VENV)/bin/python -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin)["spec"], sys.stdout)' \
		<k8s/monitoring/prometheusrule.yaml >target/alerts/rules.yaml
	cp tests/pod/alerts.yaml target/alerts/
	promtool check rules target/alerts/rules.yaml
	promtool test rules target/alerts/alerts.yaml

bench: build-tools ## the measurements that the README quotes
	@.ci/need python3 wrk nginx taskset=util-linux strip=binutils
	@python3 -c 'import ensurepip, venv' 2>/dev/null || .ci/need python3-venv
	python3 -m venv target/bench-venv
	target/bench-venv/bin/pip install --quiet --disable-pip-version-check --requirement benches/requirements.txt
	$(CARGO) bench --locked --bench decide --bench ledger --bench growth --bench decisions
	python3 benches/gate.py $(ARGS)
	python3 benches/viewers.py
	target/bench-venv/bin/python benches/pod.py
	python3 benches/start.py
	python3 benches/fairness.py
	python3 benches/enrolment.py
	python3 benches/approvals.py target/release/hallgate
	target/bench-venv/bin/python benches/reference.py

counts: build-tools ## what a request costs in instructions and allocations, counted by callgrind
	@.ci/need valgrind nginx taskset=util-linux python3
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 RUSTFLAGS=-Clinker-features=-lld \
		$(CARGO) build --release --locked --target-dir target/counts --bin hallgate --bench bare_pingora
	python3 benches/counts.py target/counts/release/hallgate "$$(ls -t target/counts/release/deps/bare_pingora-* | grep -v '\.d$$' | head -1)" $(ARGS)
	python3 benches/counts.py target/counts/release/hallgate --keys

# pingora's zlib is built with cmake.
build-tools:
	@command -v $(CARGO) >/dev/null || { echo 'missing: cargo; install Rust from $(RUST_SET_UP)' >&2; exit 1; }
	@.ci/need cc=build-essential cmake

$(FUZZ): | build-tools
	@.ci/need c++=g++
	$(CARGO) install --locked --quiet --root target/tools cargo-fuzz@$(FUZZ_VERSION)

# The clients that the tests drive: curl, Node's fetch, Python's requests, and the SDKs of the pages about apps; and what shows a
# process's system calls and takes its disk away: strace, and util-linux. What pods are made of: iproute2 for namespaces, iptables. And
# the proxies that stand before a gate: nginx, HAProxy, Caddy; Envoy is among the Python packages. And a browser: Chromium. And skopeo,
# which looks at the image.
tools: build-tools $(VENV)/installed $(NODE)/installed $(KUBECTL)/installed
	@.ci/need curl node=nodejs update-ca-certificates=ca-certificates strace prlimit=util-linux unshare=util-linux mount \
		ip=iproute2 iptables ip6tables=iptables setpriv=util-linux nginx haproxy caddy chromium-headless-shell \
		skopeo strip=binutils
	@node -e 'typeof fetch === "function" || process.exit(1)' || \
		{ echo "node $$(node --version) has no fetch; install Node.js 18 or later" >&2; exit 1; }

$(VENV)/installed: tests/clients/requirements.txt tests/apps/requirements.txt tests/console/requirements.txt tests/pod/requirements.txt tests/neighbours/requirements.txt
	@.ci/need python3 curl
	@python3 -c 'import ensurepip, venv' 2>/dev/null || .ci/need python3-venv
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check $(addprefix --requirement ,$^)
	rm -rf $(REFERENCE)
	$(VENV)/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary pyhall-wcp --dest $(REFERENCE) \
		"$$(grep '^pyhall-wcp==' $<)"
	tar --extract --strip-components=1 --directory $(REFERENCE) --file $(REFERENCE)/pyhall_wcp-*.tar.gz
	@touch $@

# The JavaScript clients of the pages about apps, and the Node.js that the newest of them want; the system's has npm.
$(NODE)/installed: tests/apps/package.json
	@.ci/need node=nodejs npm
	@mkdir -p $(NODE)
	cp $< $(NODE)
	npm install --prefix $(NODE) --silent --no-audit --no-fund --no-package-lock --ignore-scripts
	@touch $@

# n8n and Bruno's program, and the Node.js that both want: the system's only installs them. n8n keeps its workflows in SQLite, whose
# binding is built with that Node.js's own headers, since nothing is run or fetched while packages are installed.
$(FRIENDS)/installed: tests/friends/package.json
	@.ci/need node=nodejs npm python3 c++=build-essential
	@mkdir -p $(FRIENDS)
	cp $< $(FRIENDS)
	npm install --prefix $(FRIENDS) --silent --no-audit --no-fund --no-package-lock --ignore-scripts
	cd $(FRIENDS)/node_modules/sqlite3 && PATH="$$PWD/../.bin:$$PATH" npm_config_nodedir=$$(echo "$$PWD"/../node-linux-*) \
		../.bin/node-gyp rebuild --silent
	@touch $@

# kubectl, which renders kustomizations, and helm.
$(KUBECTL)/installed: .ci/kubectl
	@.ci/need python3
	@python3 -c 'import ensurepip, venv' 2>/dev/null || .ci/need python3-venv
	.ci/kubectl $(KUBECTL)
	@mkdir -p $(@D) && touch $@

# The program as it is in the image: all of it in one file, C library included. Only the last step differs from the usual build.
# Copied away, because the next build without the flag puts its own in that place.
$(STATIC): $(shell find src k8s/base k8s/overlays -type f) build.rs Cargo.toml Cargo.lock | build-tools
	$(CARGO) rustc --locked --bin hallgate -- -C target-feature=+crt-static
	@mkdir -p $(@D)
	cp $(BUILT) $@
