# imagegate. `make help` lists the targets.

# One set of flags for everything but the race detector's tests: the programs,
# go vet, the linters and the end-to-end tests then share the build cache, and
# each dependency is compiled once.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath
export GOWORK := off

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
MODULES := . scanner e2e
# Longer than any test takes, shorter than a stuck one would.
TIMEOUT := 20m

# Not `go run`: it would keep a signal from the program that has to clean up.
DEMO := go build -C e2e -o ../bin/demo ./demo && exec bin/demo

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Bring a real cluster up, tell imagegate's story on it, and end
	@$(DEMO)

.PHONY: up
up: ## The same, left running: prints the KUBECONFIG line, ends on Ctrl-C
	@$(DEMO) -keep

.PHONY: test
test: fmt vet drift unit lint e2e ## Everything below, cheapest first

.PHONY: fmt
fmt: ## Check that all Go is formatted
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## go vet in each module
	@for m in $(MODULES); do echo "== go vet: $$m"; (cd $$m && go vet ./...) || exit 1; done

.PHONY: drift
drift: ## Check that generated templates match their sources
	@echo "== templates: formatting and drift"
	@cp -r templates $${TMPDIR:-/tmp}/imagegate-templates.$$$$ && dir=$${TMPDIR:-/tmp}/imagegate-templates.$$$$ && \
	trap 'rm -rf "$$dir"' EXIT && go run ./templates/gen "$$dir" && \
	{ diff -r templates "$$dir" || { echo "templates drifted: run make generate"; exit 1; }; }

RACE := CGO_ENABLED=1 GOFLAGS= go test -race -timeout $(TIMEOUT)

# -v where a test prints a figure or a table: the Rego's coverage, what became
# of hostile images, the worker's findings beside Grype's.
.PHONY: unit
unit: ## Unit tests of each module, Rego tests among them, with the race detector
	@echo "== unit tests: root" && $(RACE) ./... && $(RACE) -v -run '^TestRego$$' ./templates
	@echo "== unit tests: scanner" && cd scanner && $(RACE) $$(go list ./... | grep -v '/worker$$') && $(RACE) -v ./worker

.PHONY: lint
lint: ## golangci-lint in each module
	@for m in $(MODULES); do echo "== golangci-lint: $$m"; (cd $$m && go run $(GOLANGCI_LINT) run ./...) || exit 1; done

.PHONY: e2e
e2e: ## Tests against a real API server and Gatekeeper
	@echo "== end-to-end tests"
	@cd e2e && go run ./cmd/build && go test -count=1 -v -timeout $(TIMEOUT) ./...

.PHONY: bench
bench: ## Benchmarks, each beside what it is measured against
	@go test -run '^$$' -bench . -benchmem ./...
	@echo "== the scan worker beside Grype's own command line"
	@cd scanner && SCANNER_SPEED=3 go test -run '^TestSpeed$$' -v -timeout $(TIMEOUT) ./worker

.PHONY: mutate
mutate: ## Break the policies' Rego in one place at a time: do the unit tests notice?
	@go run ./templates/mutate

.PHONY: build
build: ## Build provider, mutator and scanner into bin/
	@cd e2e && go run ./cmd/build -own

.PHONY: generate
generate: ## Generate the ConstraintTemplates from their Rego
	@go run ./templates/gen || go run ./templates/gen
