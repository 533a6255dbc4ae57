# Only what the go command does not do.

.PHONY: bench-peer
bench-peer: # the engine against PyTorch, see tools/peer/README.md
	python3 tools/peer/compare $(ARGS)
