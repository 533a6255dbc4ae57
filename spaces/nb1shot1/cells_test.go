package nb1shot1

import (
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

func TestCells(t *testing.T) {
	for _, s := range All() {
		if testing.Short() && s.Number() == 3 {
			continue
		}
		var hashes []cell.Hash
		for hash, spec := range s.Cells {
			if got, err := spec.Hash(); err != nil || got != hash {
				t.Fatalf("space %s: cell of hash %v, %v, yielded for %v", s.Name(), got, err, hash)
			}
			pruned, err := spec.Prune()
			if err != nil || pruned.Vertices() != spec.Vertices() {
				t.Fatalf("space %s: cell %v is not pruned (%v)", s.Name(), hash, err)
			}
			hashes = append(hashes, hash)
		}
		if !slices.Equal(hashes, s.Hashes()) {
			t.Errorf("space %s: %d cells, not those of its hashes", s.Name(), len(hashes))
		}
		for range s.Cells {
			break // the second is not asked for
		}
	}
}
