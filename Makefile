# Everything a newcomer needs: `make demo` trains a detector on built-in data, `make test` runs the tests.
# Both set up what is missing first (libtorch, onnxruntime; see tools/setup/). A second call finds it there and takes no time.

SHELL := /bin/bash
ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
CARGO ?= cargo
PREFIX ?= $(HOME)/.cargo
BIN = $(or $(CARGO_TARGET_DIR),$(ROOT)/target)/release/repghost-det

.PHONY: help setup demo demo-mask test parity lint doc bench install check-tensorrt check-cuda gate fuzz torture soak differential sanitize deny clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## fetch libtorch and onnxruntime, once; CUDA=1 fetches libtorch for NVIDIA's cards (5.5 GB)
	@bash tools/setup/toolchain.sh
	@bash tools/setup/libtorch$(if $(filter 1,$(CUDA)),_cuda).sh
	@bash tools/setup/onnxruntime.sh

build: setup
	@$(CARGO) build --release --package repghost-det

demo: build ## train RetinaNet on built-in images: runs/demo has curves, predictions and weights; NPROC=2 in two processes
	@$(BIN) train experiments/demo.yaml $(if $(NPROC),--nproc $(NPROC))

demo-mask: build ## the same for Mask R-CNN
	@$(BIN) train experiments/demo_mask.yaml

test: setup ## run all tests
	$(CARGO) test --release --workspace

# Comparisons with reference numbers. They have to hold on every processor; with the variables of oneDNN, ATen and OpenMP one takes the place of
# others: `ONEDNN_MAX_CPU_ISA=SSE41 make parity`.
PARITY_TESTS = families fuse repghostnet_timm retinanet fcos faster_rcnn mask_rcnn roi_align torchvision

parity: setup ## run the tests against reference numbers alone
	$(CARGO) test --release --workspace $(PARITY_TESTS:%=--test %)

lint: setup ## formatting, clippy and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps

bench: setup ## compare with the peers' figures on this machine (tools/bench/README.md)
	bash tools/bench/run.sh

check-tensorrt: setup ## build every exported kind of file with TensorRT for RTX, ahead of time, without a GPU
	bash tools/setup/tensorrt_rtx.sh

check-cuda: setup ## pack the check of NVIDIA cards, and run it where there is a card (tools/check_cuda/README.md)
	@bash tools/check_cuda/pack.sh
	@if [ -e /dev/nvidiactl ]; then python3 tools/check_cuda/run.py; else echo "no card here: run tools/check_cuda/run.py where there is one"; fi

gate: setup ## parity of all backbones with all heads, in onnxruntime; ONLY="resnet50 fcos" chooses some
	@$(CARGO) bench --workspace --bench gate_table -- $(ONLY)

fuzz: setup ## fuzz every reader of files; TARGET="pickle rle" chooses some, MINUTES=60 is longer (docs/reliability.md)
	@bash tools/setup/fuzz.sh $(or $(MINUTES),1) $(TARGET)

torture: build ## kill, fill disks and fail writes: the same weights after each; KILLS=200 FAULTS=all does more
	@python3 tools/torture/torture.py $(BIN) --kills $(or $(KILLS),30) --faults $(or $(FAULTS),40) $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

soak: build ## train each head for long: memory, threads, file handles and speed stay flat; STEPS=10000 HOURS=2 is longer
	@python3 tools/torture/soak.py $(BIN) --steps $(or $(STEPS),300) --hours $(or $(HOURS),0) --output $(or $(OUTPUT),runs/soak)

differential: build ## our readers beside pycocotools, torch, safetensors and Pillow, on random and damaged inputs; MINUTES=5 PART=images
	@$(or $(PEERS_PYTHON),$(ROOT)/.deps/peers/bin/python) tools/torture/differential.py $(BIN) $(PART) --minutes $(or $(MINUTES),5)

sanitize: setup ## AddressSanitizer for unsafe code and C++, ThreadSanitizer for what shares data between threads; KIND=address chooses
	@bash tools/setup/sanitize.sh $(KIND)

deny: ## hold the dependencies to deny.toml: advisories, licences, duplicate crates, sources
	@bash tools/setup/deny.sh

install: setup ## put repghost-det on the PATH
	$(CARGO) install --locked --path tools/cli --root $(PREFIX) --force
	@echo "installed $(PREFIX)/bin/repghost-det"

clean: ## remove what was built (fetched libraries stay)
	$(CARGO) clean
