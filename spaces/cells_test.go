package spaces

import (
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

func TestCells(t *testing.T) {
	for _, s := range All() {
		if testing.Short() && s.ID() == 3 {
			continue
		}
		var hashes []cell.Hash
		for hash, spec := range s.Cells {
			if got, err := spec.Hash(); err != nil || got != hash {
				t.Fatalf("space %d: cell of hash %v, %v, yielded for %v", s.ID(), got, err, hash)
			}
			pruned, err := spec.Prune()
			if err != nil || pruned.Vertices() != spec.Vertices() {
				t.Fatalf("space %d: cell %v is not pruned (%v)", s.ID(), hash, err)
			}
			hashes = append(hashes, hash)
		}
		if !slices.Equal(hashes, s.Hashes()) {
			t.Errorf("space %d: %d cells, not those of its hashes", s.ID(), len(hashes))
		}
		for range s.Cells {
			break // the second is not asked for
		}
	}
}
