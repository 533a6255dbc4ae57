package nb1shot1

import (
	"testing"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// TestDistinct counts the architectures without loose ends and the cells that they are.
func TestDistinct(t *testing.T) {
	for _, s := range All() {
		if s.Number() == 3 && testing.Short() {
			continue
		}
		counts := s.Count()
		for _, released := range []bool{true, false} {
			edges, hashes := map[string]bool{}, map[cell.Hash]bool{}
			var specs []cell.Spec
			n := 0
			for g := range s.Distinct(released) {
				n++
				spec := g.Cell()
				key := ""
				for _, row := range spec.Matrix {
					key += string(row)
				}
				for block, used := range g.Used() {
					if !used && g.Ops[block] != 0 {
						t.Fatalf("%v: block %d is no part of the cell and has an operation", g, block+1)
					}
				}
				for _, op := range g.Ops {
					key += op.String()
				}
				if edges[key] {
					t.Fatalf("%v is yielded twice", g)
				}
				edges[key] = true
				pruned, err := spec.Prune()
				if err != nil {
					t.Fatal(err)
				}
				specs = append(specs, pruned)
			}
			for _, h := range cell.Hashes(specs) {
				hashes[h] = true
			}
			wantN, wantHashes := counts.LooseEndFree, counts.LooseEndFreeHashes
			if !released {
				wantN, wantHashes = n, counts.Hashes
			}
			if n != wantN || len(hashes) != wantHashes {
				t.Errorf("space %s, released %v: %d architectures, %d cells, want %d and %d", s.Name(), released, n, len(hashes), wantN, wantHashes)
			}
		}
	}
}

// TestDistinctStops ends early.
func TestDistinctStops(t *testing.T) {
	n := 0
	for range all[0].Distinct(false) {
		if n++; n == 5 {
			break
		}
	}
	if n != 5 {
		t.Errorf("%d architectures after a break at the fifth", n)
	}
}
