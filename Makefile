# imagegate. `make help` lists the targets.

# One set of flags for everything but the race detector's tests: the programs,
# the linters and the end-to-end tests then share the build cache, and each
# dependency is compiled once. Without debugging information compiling is a tenth
# quicker; a version control stamp fails where git refuses the checkout. go vet's
# checks are among the linters': go test would make them again, and of all
# dependencies too.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false -gcflags=all=-dwarf=false -vet=off
export GOWORK := off
# For what mostly compiles: the compiler then collects its garbage less often.
COMPILE := GOGC=400

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
MODULES := . scanner e2e charts
# Longer than any test takes, shorter than a stuck one would.
TIMEOUT := 20m

# Not `go run`: it would keep a signal from the program that has to clean up.
DEMO := go build -C e2e -o ../bin/demo ./demo && exec bin/demo $(if $(NODE),-node) $(if $(filter no,$(STORY)),-story=false)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Bring a real cluster up, tell imagegate's story on it, and end; NODE=1: installed on a real node
	@$(DEMO)

.PHONY: up
up: ## The same, left running: prints how to use it, ends on Ctrl-C; STORY=no: without the story
	@$(DEMO) -keep

# The programs of the cluster and of the node, and the linters, have the processor time
# that the tests leave over.
.PHONY: test
test: ## Everything below, cheapest first, while the cluster's programs are built
	@$(MAKE) --no-print-directory cluster & beside=$$!; \
	trap 'kill $$beside 2>/dev/null' EXIT; trap 'exit 130' INT TERM; \
	$(MAKE) --no-print-directory fmt drift chart unit replicas && wait $$beside || exit 1; \
	nice $(MAKE) --no-print-directory node-programs lint >.lint.out 2>&1 & beside=$$!; \
	$(MAKE) --no-print-directory e2e || exit 1; \
	wait $$beside; linted=$$?; cat .lint.out; test $$linted = 0 && $(MAKE) --no-print-directory node-short

.PHONY: fmt
fmt: ## Check that all Go is formatted
	@unformatted=$$(gofmt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi

.PHONY: drift
drift: ## Check that generated templates match their sources
	@echo "== templates: formatting and drift"
	@cp -r templates $${TMPDIR:-/tmp}/imagegate-templates.$$$$ && dir=$${TMPDIR:-/tmp}/imagegate-templates.$$$$ && \
	trap 'rm -rf "$$dir"' EXIT && go run ./templates/gen "$$dir" && \
	{ diff -r templates "$$dir" || { echo "templates drifted: run make generate"; exit 1; }; }

.PHONY: documents
documents: ## Check what the documents say of the code: links, names, settings, metrics, messages
	@echo "== documents"
	@cd charts && go test -count=1 ./documents

.PHONY: chart
chart: ## Tests of the Helm chart, by both Helms, without a cluster
	@echo "== chart"
	@cd charts && $(COMPILE) go test -count=1 -timeout $(TIMEOUT) $$(go list ./... | grep -v '/server$$')

RACE := CGO_ENABLED=1 GOFLAGS='-gcflags=all=-dwarf=false -vet=off'
# Tests that run with -v and without the race detector. They print a figure or a
# table (the Rego's coverage, what became of hostile images, the worker's findings
# beside Grype's, what reports take in memory, of which the detector takes as much and ten
# times the time), and what they test is Rego, or the shipped binaries. Or it is so
# many jobs at once that the detector itself fails on a crowded machine, each fourth
# time ("ThreadSanitizer: CHECK failed: tsan_rtl.cpp:346", Go 1.26.8).
SHOWN := ^(TestRego|TestHostileImages|TestSameFindingsAsGrype|TestARestartWithTenThousand|TestResidentMemory|TestReportsOnDisk|TestWhatAReportTakes|TestMemoryAtItsWorst)$$

# Without the detector: of the templates all that runs is Rego, in one goroutine, four
# times as slow with it. And what links Grype, whose 1,400 packages would be compiled for
# the detector alone, a quarter of all that `make test` does with empty caches; what runs at
# once in the worker is its jobs, sandbox, caches and server, which the detector does watch.
UNWATCHED := /imagegate/templates$$|/scanner(/(cli|database|imagescan|librarylog|worker))?$$
RACED := $(RACE) go test -race -timeout $(TIMEOUT) -skip '$(SHOWN)'
# Where that ended another test binary it says nothing of the tests in it. If no test
# failed, it runs once more.
DETECTOR_FAILED := grep -q 'ThreadSanitizer: CHECK failed' .race.out && ! grep -q -e '--- FAIL' -e 'DATA RACE' -e '^panic:' .race.out

.PHONY: unit
unit: ## Unit tests of each module, Rego tests among them, with the race detector
	@for m in . scanner; do echo "== unit tests: $$m"; (cd $$m && trap 'rm -f .race.out' EXIT && \
		watched=$$(go list ./... | grep -vE '$(UNWATCHED)') && unwatched=$$(go list ./... | grep -E '$(UNWATCHED)') && \
		$(RACE) $(COMPILE) go build -race $$watched && \
		{ $(RACED) $$watched >.race.out 2>&1 && cat .race.out || { cat .race.out; $(DETECTOR_FAILED) && $(RACED) $$watched; }; } && \
		$(COMPILE) go test -timeout $(TIMEOUT) -skip '$(SHOWN)' $$unwatched) || exit 1; done
	@go test -v -timeout $(TIMEOUT) -run '$(SHOWN)' ./templates ./provider/queue ./provider/store
	@cd scanner && go test -v -timeout $(TIMEOUT) -run '$(SHOWN)' ./worker

.PHONY: race
race: ## Let the race detector watch what `make test` spares it, the worker's whole scans
	@cd scanner && $(RACED) ./...

.PHONY: lint
lint: ## golangci-lint in each module, go vet's checks among its own
	@$(COMPILE) go run $(GOLANGCI_LINT) version
	@for m in $(MODULES); do echo "== golangci-lint: $$m"; (cd $$m && go run $(GOLANGCI_LINT) run ./...) || exit 1; done

# With the processor time that the rest leaves over: `make test` runs it beside
# tests that wait. Imagegate's own programs are left to the rest, which compiles
# the same packages.
.PHONY: cluster
cluster: ## Build the programs of the cluster, where missing
	@cd e2e && nice env $(COMPILE) go run ./cmd/build -cluster

.PHONY: node-programs
node-programs: ## Build the programs of a real node, where there can be one, and where missing
	@cd e2e && nice env $(COMPILE) go run ./cmd/build -node

.PHONY: e2e
e2e: cluster ## Tests against a real API server and Gatekeeper
	@echo "== end-to-end tests"
	@cd e2e && go test -count=1 -v -timeout $(TIMEOUT) $$(go list ./... | grep -v -e '/replicas$$' -e '/node$$')
	@echo "== chart against the API server"
	@cd charts && go test -count=1 -v -timeout $(TIMEOUT) ./server

# Where there can be no node (Linux, root) it says so, and that is no failure.
.PHONY: node-short
node-short: cluster node-programs ## Tests of an installation on a real node, where there can be one: what takes less than minutes
	@echo "== an installation on a real node"
	@cd e2e && go test -count=1 -short -v -timeout $(TIMEOUT) ./node

.PHONY: node
node: cluster node-programs ## The same and what takes minutes: every rotation, scaling, failed installations (a node is required)
	@cd e2e && IMAGEGATE_NODE_REQUIRED=1 go test -count=1 -v -timeout 40m ./node

# Providers as replicas of each other, without a cluster. What -short leaves out,
# soak and bench-replicas run.
.PHONY: replicas
replicas: ## Break replicas of the provider: the quick faults, with a table of what came of them
	@echo "== faults of replicas"
	@cd e2e && go test -count=1 -short -v -parallel 4 -timeout $(TIMEOUT) ./replicas

.PHONY: soak
soak: ## The same and the long faults: restarts under load, clocks, two versions (fifteen minutes)
	@cd e2e && go test -count=1 -v -timeout 40m -skip '^TestFigure' ./replicas

.PHONY: bench-replicas
bench-replicas: ## The figures of replicas: storm, restart, spread, memory (twenty minutes)
	@cd e2e && go test -count=1 -v -timeout 60m -run '^TestFigure' ./replicas

.PHONY: bench
bench: ## Benchmarks, each beside what it is measured against
	@go test -run '^$$' -bench . -benchmem ./...
	@echo "== the scan worker beside Grype's own command line"
	@cd scanner && SCANNER_SPEED=3 go test -run '^TestSpeed$$' -v -timeout $(TIMEOUT) ./worker

.PHONY: bench-create
bench-create: cluster ## Creation of Pods by a real API server: nothing in the way, Gatekeeper, and imagegate
	@cd e2e && go test -run '^$$' -bench '^BenchmarkCreate$$' -benchtime 300x -timeout $(TIMEOUT) .

.PHONY: mutate
mutate: ## Break the policies' Rego in one place at a time: do the unit tests notice?
	@go run ./templates/mutate

.PHONY: build
build: ## Build provider, mutator, scanner and kubectl-imagegate into bin/
	@cd e2e && go run ./cmd/build -own

# Of what the images say they are; all of it is in their digests.
TAG = $(patsubst v%,%,$(shell git describe --tags --exact-match 2>/dev/null))
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
VERSION ?= $(or $(TAG),0.0.0-g$(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown))
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
PLATFORMS ?= linux/amd64,linux/arm64
IMAGES = cd e2e && $(COMPILE) go run ./cmd/images -version '$(VERSION)' -revision '$(REVISION)' -created '$(SOURCE_DATE_EPOCH)' \
	-platforms '$(PLATFORMS)' -push '$(PUSH)'

.PHONY: images
images: ## Make the container images, as an OCI layout in bin/images; PUSH=host/path pushes them too
	@$(IMAGES) -out bin/images

.PHONY: package
package: ## The same and the chart, which names the images by digest, in bin/package; PUSH=host/path
	@$(IMAGES) -out bin/package -chart charts/imagegate

.PHONY: generate
generate: ## Generate the ConstraintTemplates from their Rego, and the chart's README and schema
	@go run ./templates/gen || go run ./templates/gen
	@cd charts && go run ./gen

.PHONY: commands
commands: ## Write the pages of the programs' commands, COMMANDS.md
	@UPDATE_COMMANDS=1 go test -count=1 -run '^TestCommandsAreDocumented$$' ./provider/cli ./provider/plugin ./mutator
	@cd scanner && UPDATE_COMMANDS=1 go test -count=1 -run '^TestCommandsAreDocumented$$' ./cli
