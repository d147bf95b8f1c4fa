# testr is built with Go alone. `make` prints what there is to make.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LINT    := $(GO) tool -modfile=tools/go.mod golangci-lint

# What tests run, and with what more: make test PKG=./internal/repo/ GOTESTFLAGS=-v
PKG         ?= ./...
GOTESTFLAGS ?=
# How long the tests of a package may take before they are taken for hung.
TIMEOUT     ?= 40m
# How long each fuzz target runs.
FUZZTIME    ?= 60s

.DEFAULT_GOAL := help

.PHONY: help
help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/testr
	$(GO) build -trimpath -ldflags '-X main.built=$(VERSION)' -o bin/testr ./cmd/testr

.PHONY: run
run: build ## build testr and run this repository's own tests through it, in parallel
	bin/testr run --parallel --force-init

.PHONY: test
test: peers ## set up what the tests need and run all of them, with the race detector
	$(GO) vet -tags peers ./...
	$(GO) test -race -tags peers -timeout $(TIMEOUT) $(GOTESTFLAGS) $(PKG)

.PHONY: race
race: ## run the tests that need only Go, with the race detector
	$(GO) test -race -timeout $(TIMEOUT) $(GOTESTFLAGS) $(PKG)

.PHONY: peers
peers: ## install the Debian packages that the tests marked "peers" need
	@scripts/install-peers

.PHONY: lab
lab: peers ## start 3 hosts with sshd on this machine, as root, and say how to use them
	@$(GO) run ./internal/lab/cmd/lab

# The tests of runs over hosts, a batch system and containers of internal/lab.
LAB_TESTS = $$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' cmd/testr/recipes_*_test.go \
	$$(grep -l '"testr/internal/lab"' cmd/testr/*_test.go) | sort -u | paste -s -d '|')

.PHONY: lab-test
lab-test: peers ## run the tests of runs over many machines: hosts, Slurm, Podman
	$(GO) test -race -tags peers -timeout $(TIMEOUT) $(GOTESTFLAGS) ./internal/lab/
	$(GO) test -race -tags peers -timeout $(TIMEOUT) -run "^($(LAB_TESTS))\$$" $(GOTESTFLAGS) ./cmd/testr/

.PHONY: bench
bench: ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem $(GOTESTFLAGS) $(PKG)
	@for script in scripts/bench-*; do \
		if [ -x "$$script" ]; then echo "$$script"; "$$script" || exit; fi; \
	done

.PHONY: fuzz
fuzz: peers ## run each fuzz target for FUZZTIME (60s)
	@scripts/fuzz $(FUZZTIME)

# How often `make crash` kills, and its first seed: KILLS=1 SEED=17 has one again.
KILLS ?= 300
SEED  ?= $$(date +%s)

.PHONY: crash
crash: ## kill supervisors KILLS times (300) at moments chosen by SEED, and see what is left
	TESTR_KILLS=$(KILLS) TESTR_SEED=$(SEED) \
		$(GO) test -v -timeout $(TIMEOUT) -run '^TestCrash$$' $(GOTESTFLAGS) ./cmd/testr/
	TESTR_KILLS=$(KILLS) $(GO) test -timeout $(TIMEOUT) -run '^TestKill$$' $(GOTESTFLAGS) ./internal/repo/

.PHONY: mutants
mutants: peers ## break each defence on purpose, and want the tests that are named for it to fail
	$(GO) run ./scripts/mutants

.PHONY: mutants-check
mutants-check: ## see whether all of those still apply and compile
	$(GO) run ./scripts/mutants -check

.PHONY: soak
soak: peers ## run the long forms of the tests, and fuzz for five minutes each
	TESTR_SEEDS=20000 TESTR_KILLS=1000 TESTR_MUTANTS=10000 TESTR_STORE_MB=1024 TESTR_STATES=30000 \
		$(GO) test -race -tags peers -timeout 2h $(GOTESTFLAGS) $(PKG)
	TESTR_RUNS="10 100 1000" $(GO) test -run '^$$' -bench History -benchtime 15x -timeout 2h ./internal/repo/
	@scripts/fuzz 5m

.PHONY: lint
lint: ## check the code, and the arrows between the packages, with golangci-lint
	$(LINT) config verify
	$(LINT) run $(PKG)

.PHONY: fmt
fmt: ## format the code
	$(LINT) fmt $(PKG)

.PHONY: golden
golden: ## write the golden files anew; look at the difference afterwards
	@packages=$$(grep -rl --include='*_test.go' --exclude-dir=testdata 'Bool("update"' cmd internal \
		| xargs -r -n 1 dirname | sort -u | sed 's,^,./,'); \
	if [ -z "$$packages" ]; then echo "no test has golden files"; else $(GO) test $$packages -update; fi

.PHONY: cover
cover: ## measure the coverage; coverage.html shows it
	$(GO) test -coverprofile=coverage.out -coverpkg=./... $(GOTESTFLAGS) $(PKG)
	$(GO) tool cover -html=coverage.out -o coverage.html
	@$(GO) tool cover -func=coverage.out | tail -n 1

.PHONY: tidy-check
tidy-check: ## check that go.mod and go.sum say what the code needs
	$(GO) mod tidy -diff

.PHONY: clean
clean: ## take away what the other targets made
	rm -rf bin coverage.out coverage.html
