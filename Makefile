# Each target is a thin call of cargo or a script; `make help` lists them.
.DEFAULT_GOAL := help
MUSL := x86_64-unknown-linux-musl

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
dev: ## the main job on this machine
	cargo run --release -- dev
test: ## every suite that needs no other server
	cargo test --workspace
lint: ## formatting, clippy, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
deny: ## licences, banned crates, advisories (cargo install cargo-deny)
	cargo deny check bans licenses sources
	cargo deny check advisories || true
sidecar: ## the static sidecar binary that goes into the image
	CC_x86_64_unknown_linux_musl=musl-gcc cargo build --profile image --target $(MUSL) -p vouchsafe-sidecar
gates: sidecar ## size, memory and crate-count gates of the sidecar
	tests/gates.sh
servers: ## build the pinned real servers (once per machine)
	tests/real/build.sh
servers-test: ## the real-server harness itself: node up, pods, webhook, OpenBao, down, nothing left
	tests/real/selftest.sh
clients: ## curl, hvac, the bao and vault command lines and agents against the broker
	tests/clients/run.sh
e2e-smoke: sidecar ## one real Kubernetes node: annotate a pod, its secrets arrive
	tests/smoke/run.sh
e2e-faults: sidecar ## one real node: kubelet, network and OpenBao fail, foreign identities, a storm of pods
	tests/smoke/run.sh --faults
bench-pods: sidecar ## what injection costs a pod, beside bao agent; writes docs/benchmarks.md
	tests/smoke/run.sh --bench docs/benchmarks.md
e2e-install: ## the chart on one real node, in front of a real OpenBao
	tests/install/run.sh
helm-lint: ## the chart, its pages, kustomize and images without a cluster
	tests/install/chart.sh
e2e-dynamic: sidecar ## one real node: leased credentials, certificates, foreign changes, classic pods
	tests/dynamic/run.sh
e2e-controller: ## the controller and apply against a real API server and OpenBao
	tests/controller/run.sh
	tests/controller/apply.sh
e2e: e2e-smoke clients e2e-install e2e-dynamic e2e-controller e2e-faults ## everything on real servers
bench: ## benchmarks
	cargo bench -p vouchsafe-template --bench render
fuzz-smoke: ## every fuzz target for a few seconds (nightly, cargo install cargo-fuzz)
	tests/fuzz/smoke.sh
image: ## images of every role for amd64 and arm64, as OCI archives with SBOMs
	deploy/images/build
shellcheck: ## the shell scripts
	cd tests/real && shellcheck -x -P SCRIPTDIR -s bash *.sh node/*.sh
cluster-up: ## a real node that stays up
	tests/real/cluster.sh up
cluster-down: ## take it down
	tests/real/cluster.sh down
cluster-shell: ## a shell with kubectl in its network namespace
	tests/real/cluster.sh shell
.PHONY: help shellcheck dev test lint deny sidecar gates servers servers-test clients e2e-smoke e2e-install helm-lint e2e-faults e2e-dynamic e2e-controller bench-pods e2e bench fuzz-smoke image cluster-up cluster-down cluster-shell
