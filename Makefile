# What a contributor types. Every target works from a fresh checkout with
# Go and make alone; tools are pinned here and run by `go run`, so go.mod
# holds only what Landfall itself needs.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# How long each fuzz target runs, and what fits a package's slowest tests
# under the race detector on two cores.
FUZZTIME ?= 30s
TIMEOUT  ?= 15m

# More flags for bench, see go run ./lab/bench -help:
#   make bench BENCH="-kinds h1,h2 -rounds 7 -max-ratio h1:/o/1k=0.8"
BENCH ?=

.PHONY: help build check format generate test bench microbench pgo fuzz deps clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

build: ## build/landfall, static
	CGO_ENABLED=0 go build -trimpath -o build/landfall ./cmd/landfall

check: ## format, vet, lint, generated files, house rules
	@echo "== vet"
	go vet ./...
	echo "== lint and format"
	$(GOLANGCI) run ./...
	echo "== generated files"
	scripts/generated
	echo "== house rules"
	go test -count=1 .

format: ## put every file into the form that check wants
	$(GOLANGCI) fmt ./...

generate: ## remake generated files
	go generate ./...

test: deps ## all tests, with the race detector; lists what was skipped
	@strict=
	case "$${LANDFALL_REQUIRE:-0}" in 0) ;; *) strict=-all ;; esac
	go build -o build/testreport ./internal/testreport
	packages=$$(go list ./... | grep -v /lab)
	race="-race -timeout=$(TIMEOUT)"
	# The lab loads the whole machine: one of its packages at a time.
	build/testreport $$strict -- $$race $$packages -- $$race -p=1 ./lab/...
	echo "== allocations, which the race detector adds to"
	build/testreport $$strict -- '-run=Alloc|HoldsNothing' ./edge/... ./affinity/...
	echo "== sessions of 500 clients, too many for it"
	build/testreport $$strict -- -run=TestSessions ./lab/pop

bench: deps ## cost of a request beside nginx's, into build/bench-<date>.txt
	@mkdir -p build
	go run ./lab/bench $(BENCH) | tee build/bench-$$(date -u +%Y%m%d-%H%M%S).txt

microbench: ## Go benchmarks, into build/microbench-<date>.txt
	@mkdir -p build
	go test -run '^$$' -bench . -benchmem ./... | tee build/microbench-$$(date -u +%Y%m%d-%H%M%S).txt

pgo: deps ## measure anew what the compiler optimises landfall for
	@scripts/pgo

fuzz: ## each fuzz target for FUZZTIME
	@scripts/fuzz $(FUZZTIME)

deps: ## Debian packages that tests use, when root and apt are here
	@scripts/deps

clean: ## remove what was built
	rm -rf build
