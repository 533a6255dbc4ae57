# Only what the go command does not do.

.PHONY: bench-peer bench-hog sanitize
bench-peer: # the engine against PyTorch, see tools/peer/README.md
	python3 tools/peer/compare $(ARGS)

bench-hog: # the engine beside a process that takes a core
	tools/bench-hog $(ARGS)

# Not what agrees with the reference: that is tested without sanitizers, and slow with them.
sanitize: # the kernels, and whole networks, under the address and undefined-behaviour sanitizers
	CGO_CFLAGS='-O1 -g -fsanitize=undefined -fno-sanitize-recover=undefined' CGO_LDFLAGS=-fsanitize=undefined \
		ASAN_OPTIONS=allocator_may_return_null=1 go test -asan -short -run 'Conformance|OutOfMemory|CPUEngineIsDeterministic' ./engine/cpu ./supernet
