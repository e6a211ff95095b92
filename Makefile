# The whole interface of this repository, the same here and in CI.
#   make build      everything, optimised, into build/release
#   make demo       two nodes, a sample, the story in less than a minute (root)
#   make test       unit, bpf and netns tests (root for the last two; ctest shows them as skipped without)
#   make bench      the mesh against plain pod-to-pod TCP (root)
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

JOBS ?= $(shell nproc)
PRESET ?= release
BUILD := build/$(PRESET)
# Which ctest labels: make test LABELS='unit|bpf'
LABELS ?= .*
# One test, as ctest names them: make test ONLY=netns_traffic
ONLY ?= .

.PHONY: all bootstrap build demo test asan tsan bench lint format presubmit clean fuzz peers e2e-ready

all: build

bootstrap:
	@tools/dev/bootstrap build test

$(BUILD)/build.ninja: | bootstrap
	@mkdir -p build
	@cmake --preset $(PRESET) > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }

build: bootstrap $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j $(JOBS)

demo: build
	@tools/demo/demo $(BUILD)/bin

# netns tests measure and share the machine's cores, so they run alone (RUN_SERIAL); the others in parallel.
test: build peers
	@ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -j $(JOBS) -L '$(LABELS)' -R '$(ONLY)'

# Unit tests under AddressSanitizer with UndefinedBehaviorSanitizer, and under ThreadSanitizer.
asan tsan:
	@$(MAKE) --no-print-directory test PRESET=$@ LABELS=unit

# Every fuzz target for a while: make fuzz SECONDS_EACH=120
SECONDS_EACH ?= 20
fuzz: bootstrap
	@mkdir -p build
	@cmake --preset fuzz > build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
	@ninja -C build/fuzz -j $(JOBS) tests/fuzz/all
	@tools/dev/fuzz build/fuzz $(SECONDS_EACH)

bench: build
	@tools/dev/bootstrap bench
	@tests/bench/bench --bin $(BUILD)/bin

lint: build
	@tools/dev/lint $(BUILD)

format: bootstrap
	@tools/dev/format

# What a change goes through before it is offered; CI runs this and nothing else. In CI=1 a skipped
# test is a failure.
presubmit:
	@tools/dev/presubmit

# The programs that tests of interworking run against: HTTP/2 and HBONE clients and proxies.
peers: bootstrap
	@tools/dev/bootstrap peers
	@tools/dev/peers build/peers

e2e-ready: bootstrap
	@tools/dev/ready

clean:
	@rm -rf build
