# What a developer does with Garrison, by verb. Everything runs on the Node that package.json pins.

# npm replaces the Node in node_modules, so it must not run on it.
MACHINE_PATH := $(PATH)
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install xray wireguard sing-box mihomo gen fmt lint test conformance bench bench-node bench-wireguard bench-core soak soak-core run

help:
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

# npm writes this file at the end of an installation. Its output goes to stderr: stdout is for what a verb is about.
# Not `npm ci`, which refuses a lock that lacks programs for other systems, and mirrors of the registry lack some. The
# versions and digests in the lock are kept to all the same, and the lock is left as it is.
node_modules/.package-lock.json: package.json package-lock.json
	@PATH='$(MACHINE_PATH)' npm install --no-save --no-fund --no-audit --loglevel=error 1>&2
	@touch $@

install: node_modules/.package-lock.json ## install the dependencies, when they have changed

xray: install
	@bin/garrison engines install xray >/dev/null

sing-box: install
	@bin/garrison engines install sing-box >/dev/null

gen: install ## generate code from the contract, and the README's table of variables
	buf generate
	buf generate . --config test/rest/buf.yaml --template test/rest/buf.gen.yaml --path test/rest/proto/garrison
	cd test/conformance && buf generate
	node scripts/readme-variables.ts

fmt: install ## format everything
	buf format proto -w
	biome check --write

lint: install ## check style, types, layers, dead code and the contract
	buf lint
	buf format proto -d --exit-code
	biome ci --error-on-warnings
	tsc --noEmit
	knip

mihomo: install
	@bin/garrison engines install mihomo >/dev/null

wireguard: install
	@bin/garrison engines install wireguard >/dev/null

test: xray wireguard sing-box mihomo ## run everything that CI runs
	@scripts/test-packages
	@node test/run.ts

conformance: install ## run the official Connect conformance suite
	@node test/conformance/run.ts

bench: xray wireguard ## run the benchmarks; each prints ratios of one run
	@for benchmark in bench/*/run.ts; do node "$$benchmark" || exit 1; done

bench-node: xray ## what a node costs, and what its users notice of changes
	@node bench/node/run.ts

bench-wireguard: xray wireguard ## what a node's WireGuard costs with many peers; as root, in a network of its own
	@node bench/wireguard/run.ts

bench-core: install ## what Core carries: usage, heartbeats, configs and subscription links, on both databases
	@node bench/core/run.ts

soak: xray ## use and misuse a node at random for ten minutes; SECONDS and SEED choose otherwise
	@node test/soak/run.ts $(or $(SECONDS),600) $(SEED)

soak-core: xray ## kill node, Core, Xray and the network between them at random for ten minutes, and count every byte
	@node test/soak/exactly-once/run.ts $(or $(SECONDS),600) $(or $(SEED),random) $(DATABASE) $(RESUME)

# The recipe becomes the program, which so gets the signals that make hands on. With it ends Xray, unless the variable
# says otherwise.
run: xray ## start Core and a node enrolled with it in the foreground, make a first user, and show how to connect
	@GARRISON_RESUME="$${GARRISON_RESUME:-off}" exec bin/garrison up --first-user --data-dir '$(CURDIR)/data'
