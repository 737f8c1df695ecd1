# `make` lists the targets. `make demo` and `make test` need nothing but a
# clone of the repository: they say what is missing and install it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BUILD   := $(CURDIR)/.build
BIN     := $(BUILD)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
# What `version` prints. The same commit gives the same programs and packages anywhere.
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
DATE    := $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
PROGRAM := github.com/pullgate/pullgate/tokenrefresher/daemon/program
LDFLAGS := -s -w -X $(PROGRAM).version=$(VERSION) -X $(PROGRAM).commit=$(COMMIT) -X $(PROGRAM).date=$(DATE)

# Find the Go that install.sh installed, even if it is not on the shell's PATH.
export PATH := $(BIN):$(PATH):/usr/local/go/bin:$(BUILD)/go/bin
export CGO_ENABLED := 0

PACKAGES := $(BUILD)/package

INSTALL := nginx/stack/install.sh

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## docker login and pull through the whole system; DEMO=once exits when done, SOURCE=sql for another source
	@$(INSTALL) demo $(if $(filter sql mariadb,$(SOURCE)),database)
	@go run ./nginx/demo $(if $(filter once,$(DEMO)),-once) $(if $(SOURCE),-source $(SOURCE))

.PHONY: build
build: ## build both programs, static, into .build/bin
	@go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./authsvc ./tokenrefresher

.PHONY: package
package: ## build the .deb packages, SBOMs, and checksums into .build/package; VERSION=v1.2.0
	@$(INSTALL) package
	@VERSION='$(VERSION)' COMMIT='$(COMMIT)' LDFLAGS='$(LDFLAGS)' ansible/package/build.sh $(PACKAGES)

# The parts of test, in this order.
TEST := tools lint unit fuzz-short e2e fuzz-uri-short secrets-short chaos-short deploy-test-short

.PHONY: test
test: ## run everything that CI checks; the last line has the minutes of each part
	@report=; trap 'echo "make test:$$report"' EXIT; \
	for part in $(TEST); do \
		start=$$SECONDS; echo "make test: $$part"; \
		$(MAKE) --no-print-directory $$part || { report+=" $$part failed"; exit 1; }; \
		report+=" $$part $$(( (SECONDS-start) / 60 )):$$(printf %02d $$(( (SECONDS-start) % 60 )))"; \
	done

.PHONY: tools
tools:
	@$(INSTALL) test

.PHONY: lint
lint: tools ## run golangci-lint, gofmt, shellcheck, ansible-lint, yamllint, go mod tidy
	golangci-lint run ./...
	shellcheck .ci/run .ci/fuzz nginx/stack/install.sh ansible/package/build.sh ansible/package/{authsvc,tokenrefresher}/{postinst,prerm,postrm}
	yamllint --strict .
	cd ansible && ansible-lint -q
	go mod tidy -diff

.PHONY: unit
unit: tools ## run unit tests with the race detector, and fuzz targets with their seeds
	CGO_ENABLED=1 go test -race ./authsvc/... ./tokenrefresher/... ./nginx/stack/... ./nginx/demo/... ./nginx/bench/... ./nginx/proof/...

.PHONY: e2e
e2e: tools ## test with the real nginx, registry, clients, Prometheus, Ansible; RUN=TestName for one
	go test -count=1 -p 2 -timeout 40m $(if $(RUN),-run '$(RUN)') ./nginx/e2e/... ./ansible/...

.PHONY: deploy-test
deploy-test: ## run the playbook against booted machines, as root; SUITE=trixie for another Debian, RUN=REGEXP for some steps
	@$(INSTALL) package deploy
	@go run ./ansible/deploytest $(if $(SUITE),-suite $(SUITE)) $(if $(RUN),-run '$(RUN)')

.PHONY: deploy-test-short
deploy-test-short: ## run deploy-test with one machine, without the steps that take minutes
	@$(INSTALL) package deploy
	@go run ./ansible/deploytest -short

.PHONY: secrets
secrets: tools ## search everything the system writes for marked secrets, also after crashes; SEED=N repeats a run
	@go run ./nginx/proof/secrets $(if $(SEED),-seed $(SEED))

.PHONY: secrets-short
secrets-short: tools ## run secrets without Docker, with fewer faults and crashes
	@go run ./nginx/proof/secrets -short $(if $(SEED),-seed $(SEED))

.PHONY: conformance
conformance: tools ## run the OCI conformance tests against the whole system, read-only
	go test -count=1 -v -run '^TestConformance$$' ./nginx/e2e

.PHONY: oracle
oracle: ## compare ORACLE=N (100000) random decisions with an exhaustive search; SEED=N repeats a run
	@ORACLE=$${ORACLE:-100000} go test -count=1 -v -timeout 60m -run '^TestOracle$$' ./authsvc/entitlement

.PHONY: fuzz
fuzz: tools ## run each fuzz target of Go for FUZZTIME (default 60s), two at a time
	@grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' authsvc tokenrefresher nginx | \
		sed -E "s|^(.*)/[^/]*:func (.*)|\1 \2 $${FUZZTIME:-60s}|" | sort | xargs -P 2 -n 3 .ci/fuzz

.PHONY: fuzz-short
fuzz-short: ## run each fuzz target of Go for 10 s
	@$(MAKE) --no-print-directory fuzz FUZZTIME=10s

FUZZ ?= 10m
# The nginx of a Debian SUITE, or this machine's.
suite_nginx = $(if $(1),-nginx $(BUILD)/nginx/$(1)/nginx)

.PHONY: fuzz-uri
fuzz-uri: tools ## attack nginx with odd requests for FUZZ (10m); SEED=N repeats a run; SUITE=bullseye|trixie for nginx 1.18|1.26
	@go run ./nginx/proof/uri -for $(FUZZ) $(if $(SEED),-seed $(SEED)) $(call suite_nginx,$(SUITE))

.PHONY: fuzz-uri-short
fuzz-uri-short: tools ## run fuzz-uri's corpus, and 8 s of new requests, with each nginx
	@go build -o $(BIN)/fuzz-uri ./nginx/proof/uri
	@$(BIN)/fuzz-uri -for 8s $(call suite_nginx,)
	@$(BIN)/fuzz-uri -for 8s $(call suite_nginx,bullseye)
	@$(BIN)/fuzz-uri -for 8s -server 'merge_slashes off;' $(call suite_nginx,trixie)

.PHONY: vuln
vuln: ## look for known vulnerabilities with govulncheck; fails with 75 if its database is out of reach
	@$(INSTALL) vuln
	@output=$$(govulncheck ./... 2>&1) && status=0 || status=$$?; printf '%s\n' "$$output"; \
	if [[ $$output == *"fetching vulnerabilities"* ]]; then \
		echo "vuln: nothing was checked: the database at https://vuln.go.dev is out of reach; try again with a network that reaches it" >&2; exit 75; \
	fi; exit $$status

.PHONY: bench
bench: ## run the benchmarks; BENCH=requests for one part; figures go to bench-results.json
	@$(INSTALL) bench
	@go run ./nginx/bench $(BENCH)

.PHONY: chaos
chaos: ## break everything, as root, while real clients pull; CHAOS=15m is how long, SEED=N repeats a schedule
	@$(INSTALL) chaos
	@go run ./nginx/proof/chaos -for $(or $(CHAOS),15m) $(if $(SEED),-seed $(SEED))

.PHONY: chaos-short
chaos-short: ## run chaos with each fault once, in about two minutes
	@$(INSTALL) chaos
	@go run ./nginx/proof/chaos -short $(if $(SEED),-seed $(SEED))

.PHONY: clean
clean: ## remove build output
	rm -rf $(BUILD) bench-results.json
