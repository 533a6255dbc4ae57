# Only what the go command does not do.

.PHONY: bench-peer bench-hog sanitize sanitize-cuda baselines
bench-peer: # the engine against PyTorch, see tools/peer/README.md
	python3 tools/peer/compare $(ARGS)

bench-hog: # the engine beside a process that takes a core
	tools/bench-hog $(ARGS)

SANITIZED = ./internal/engine/cpu ./supernet
# CGO_CFLAGS decides how far C is optimised: packages ask for -O3 only without a sanitizer.
# With -g in the place of -g1 the kernels take minutes to compile.
# Not what agrees with the reference: that is tested without sanitizers, and slow with them.
sanitize: # the kernels, and whole networks, under the address and undefined-behaviour sanitizers
	CGO_CFLAGS='-O1 -g1 -fsanitize=undefined -fno-sanitize-recover=undefined' CGO_LDFLAGS=-fsanitize=undefined \
		ASAN_OPTIONS=allocator_may_return_null=1 go test -asan -short -run 'Conformance|OutOfMemory|CPUEngineIsDeterministic' $(SANITIZED)

sanitize-cuda: # the kernels for GPUs, on the emulated device; three minutes
	CGO_CFLAGS='-O1 -g1 -fsanitize=undefined -fno-sanitize-recover=undefined' CGO_LDFLAGS=-fsanitize=undefined \
		go test -asan -short -skip 'Conformance|PaperSetting|Failures|Memory|Unused|Traffic' ./internal/engine/cuda

BASELINE_SEEDS = 3
baselines: # of the gate: every algorithm on every space; two hours on two cores, goes on where it was stopped
	go run ./cmd/nb1shot sweep --out runs/baselines --preset smoke --data procedural --table surrogate \
		--spaces 1,2,3 --algos all --seeds $(BASELINE_SEEDS)
	for a in $$(ls runs/baselines | sed -n 's/^s1-\(.*\)-smoke-.*-seed0$$/\1/p'); do \
		go run ./cmd/nb1shot gate --make results/baselines/$$a.json --force runs/baselines/s?-$$a-smoke-*; \
	done
