# What there is to do here; `make` alone lists it. The work is in cargo and in the scripts under tests/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
# A recipe is one shell, so that its traps hold until its end.
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
export PATH := $(CARGO_TARGET_DIR)/tools/bin:$(PATH)

# The static binary, and the most that it may weigh: 14 MiB.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
DIST := $(CARGO_TARGET_DIR)/dist/crossdock
DIST_LIMIT := 14680064

# $(call with-sandbox,BUILD,COMMAND): the sandbox comes up while BUILD runs; then COMMAND, with the sandbox's
# settings in its environment. At the end it goes down again, also after a failure, unless it was up before.
define with-sandbox
	sandbox=tests/sandbox/sandbox
	log=$$(mktemp)
	finish='rm -f "$$log"'
	if ! "$$sandbox" status >/dev/null 2>&1; then finish+='; "$$sandbox" down'; fi
	trap "$$finish" EXIT
	"$$sandbox" up >"$$log" 2>&1 & starting=$$!
	$(1)
	if kill -0 "$$starting" 2>/dev/null; then echo "== waiting for the sandbox"; fi
	wait "$$starting" || { cat "$$log" >&2; echo "the sandbox did not come up" >&2; exit 1; }
	settings=$$("$$sandbox" env)
	eval "$$settings"
	$(2)
endef

.PHONY: help
help:
	@cat <<'END'
	make demo           push an image across two AWS accounts, and be refused
	make test           everything below that checks something; what CI runs
	make lint           format, shell scripts, licences and bans, clippy, rustdoc
	make fmt            format the sources
	make unit           the tests inside src/
	make integration    the tests of the built binary, against the sandbox
	make sandbox-up     start the local AWS, registries and Docker Engine
	make sandbox-down   stop them
	make bench          login against the AWS CLI and docker login; memory and size
	make dist           the static binary
	make clean          sandbox down, and all that was built away
	END

.PHONY: demo
demo:
	@tests/toolchain cc
	$(call with-sandbox,\
		echo "== release build"; cargo build --quiet --release --locked,\
		tests/demo)

.PHONY: test
test: root lint
	@$(call with-sandbox,\
		echo "== building the tests"; cargo test --quiet --locked --no-run,\
		echo "== tests"; cargo test --locked)

# Some cases hide sockets in mount namespaces, run as another user, or start an engine or an sshd of their own.
.PHONY: root
root:
	@if [[ $$EUID != 0 ]]; then echo "the integration tests need root: run this as root" >&2; exit 1; fi

.PHONY: lint
lint: lint-format lint-shell lint-dependencies lint-clippy lint-docs

.PHONY: lint-format
lint-format:
	@tests/toolchain rustfmt
	echo "== format"
	cargo fmt --check

.PHONY: lint-shell
lint-shell:
	@echo "== shell scripts"
	if ! tests/toolchain shellcheck; then echo "left out: no shellcheck"; exit 0; fi
	find . \( -path ./.git -o -path ./target -o -path "$(CARGO_TARGET_DIR:$(CURDIR)/%=./%)" \) -prune -o -type f -print0 |
	  xargs -0 awk 'FNR == 1 && /^#!.*[\/ ](ba|da)?sh( |$$)/ { print FILENAME } { nextfile }' |
	  xargs -r shellcheck

.PHONY: lint-dependencies
lint-dependencies:
	@tests/toolchain cc cargo-deny
	echo "== licences, bans, sources"
	cargo deny --locked check -D unnecessary-skip -D unmatched-skip bans licenses sources

.PHONY: lint-clippy
lint-clippy:
	@tests/toolchain cc clippy
	echo "== clippy"
	cargo clippy --quiet --all-targets --locked

.PHONY: lint-docs
lint-docs:
	@tests/toolchain cc
	echo "== rustdoc"
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --document-private-items --locked

.PHONY: fmt
fmt:
	@tests/toolchain rustfmt
	cargo fmt

.PHONY: unit
unit:
	@tests/toolchain cc
	cargo test --locked --lib --bins

.PHONY: integration
integration: root
	@tests/toolchain cc
	$(call with-sandbox,\
		echo "== building the tests"; cargo test --quiet --locked --no-run --test integration,\
		cargo test --locked --test integration)

.PHONY: sandbox-up
sandbox-up:
	@tests/sandbox/sandbox up

.PHONY: sandbox-down
sandbox-down:
	@tests/sandbox/sandbox down

.PHONY: bench
bench:
	@tests/toolchain cc hyperfine time
	$(call with-sandbox,\
		$(MAKE) dist,\
		CROSSDOCK="$(DIST)" tests/bench)

# With --target the flags reach crossdock and its libraries only, not the build scripts and macros, which
# cannot be static.
.PHONY: dist
dist:
	@tests/toolchain cc
	echo "== static binary (fat LTO: some minutes)"
	RUSTFLAGS="$${RUSTFLAGS:+$$RUSTFLAGS }-C target-feature=+crt-static" \
	  cargo build --quiet --profile dist --locked --target $(HOST)
	install -D "$(CARGO_TARGET_DIR)/$(HOST)/dist/crossdock" "$(DIST)"
	linked=$$(ldd "$(DIST)" 2>&1 || true)
	grep -qE 'statically linked|not a dynamic executable' <<<"$$linked" ||
	  { echo "not static: $$linked" >&2; exit 1; }
	size=$$(stat -c %s "$(DIST)")
	echo "$(DIST): static, $$size bytes of at most $(DIST_LIMIT)"
	((size <= $(DIST_LIMIT))) || { echo "too large" >&2; exit 1; }

.PHONY: clean
clean:
	@tests/sandbox/sandbox down
	cargo clean
