package nb1shot1

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	goldens "github.com/nb1shot/nb1shot/internal/golden"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// readGolden decodes a JSON file of the golden data.
func readGolden(t *testing.T, into any, file string) {
	t.Helper()
	text, err := fs.ReadFile(goldens.FS(), file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// Alphas and what the released code derived from them.
func TestDiscretizeGolden(t *testing.T) {
	for _, tc := range []struct {
		file  string
		cases int
	}{{"cases.json", 200}, {"ties_informative.json", 60}} {
		for _, s := range All() {
			t.Run(fmt.Sprintf("space %s %s", s.Name(), tc.file), func(t *testing.T) {
				var golden struct {
					Cases []struct {
						Alphas       [][]float64
						TopParents   map[int][]int `json:"top_parents"`
						Matrix       [][]uint8     `json:"original_matrix"`
						Ops          []string      `json:"original_ops"`
						PrunedMatrix [][]uint8     `json:"pruned_matrix"`
						PrunedOps    []string      `json:"pruned_ops"`
						Hash         cell.Hash
					}
				}
				readGolden(t, &golden, fmt.Sprintf("derive_s%s/%s", s.Name(), tc.file))
				if len(golden.Cases) != tc.cases {
					t.Fatalf("%d cases, want %d", len(golden.Cases), tc.cases)
				}
				for i, want := range golden.Cases {
					var alpha []float64
					for _, tensor := range want.Alphas {
						alpha = append(alpha, tensor...)
					}
					if err := s.CheckAlpha(alpha); err != nil {
						t.Fatal(err)
					}
					a := s.Genotype(s.Discretize(alpha, spaces.TiesNumPy))
					for node, parents := range want.TopParents {
						if diff := cmp.Diff(parents, a.Parents[node]); diff != "" {
							t.Errorf("case %d: parents of node %d (-want +got):\n%s", i, node, diff)
						}
					}
					spec := a.Cell()
					if diff := cmp.Diff(want.Matrix, spec.Matrix); diff != "" {
						t.Errorf("case %d: matrix (-want +got):\n%s", i, diff)
					}
					if diff := cmp.Diff(want.Ops, spec.OpNames()); diff != "" {
						t.Errorf("case %d: operations (-want +got):\n%s", i, diff)
					}
					pruned, err := spec.Prune()
					if err != nil {
						t.Fatalf("case %d: %v", i, err)
					}
					if diff := cmp.Diff(want.PrunedMatrix, pruned.Matrix); diff != "" {
						t.Errorf("case %d: pruned matrix (-want +got):\n%s", i, diff)
					}
					if diff := cmp.Diff(want.PrunedOps, pruned.OpNames()); diff != "" {
						t.Errorf("case %d: pruned operations (-want +got):\n%s", i, diff)
					}
					if got, err := spec.Hash(); err != nil || got != want.Hash {
						t.Errorf("case %d: hash %v, %v, want %v", i, got, err, want.Hash)
					}
				}
			})
		}
	}
}

func TestCountsGolden(t *testing.T) {
	type goldenCounts struct {
		LooseEndFreeTopologies int         `json:"without_loose_ends_generator_yield_adjacency"`
		LooseEndFree           int         `json:"without_loose_ends_generator_yield_specs"`
		Topologies             int         `json:"with_loose_ends_adjacency"`
		Architectures          int         `json:"with_loose_ends_specs"`
		PrunedMatrices         int         `json:"pruned_distinct_matrices"`
		LabelledGraphs         int         `json:"pruned_labelled_graphs"`
		Hashes                 int         `json:"unique_hashes"`
		ByVertices             map[int]int `json:"unique_by_vertices"`
		ByEdges                map[int]int `json:"unique_by_edges"`
		LooseEndFreeHashes     int         `json:"unique_hashes_from_without_loose_ends"`
		AllBlocksUsed          int         `json:"with_loose_ends_adjacency_all_nodes_used"`
		Fingerprint            string      `json:"fingerprint_md5_of_sorted_hashes_newline_joined"`
		MinTestError           float64     `json:"test_min_error"`
		MinValidationError     float64     `json:"valid_min_error"`
	}
	var golden map[int]goldenCounts
	readGolden(t, &golden, "enumeration/counts.json")
	nonZero := func(counts []int) map[int]int {
		m := map[int]int{}
		for i, n := range counts {
			if n != 0 {
				m[i] = n
			}
		}
		return m
	}
	for _, s := range All() {
		c, p := s.Count(), s.Published()
		got := goldenCounts{
			c.LooseEndFreeTopologies, c.LooseEndFree, c.Topologies, c.Architectures, c.PrunedMatrices, c.LabelledGraphs,
			c.Hashes, nonZero(c.HashesByVertices[:]), nonZero(c.HashesByEdges[:]), c.LooseEndFreeHashes, c.AllBlocksUsed,
			s.Fingerprint(), p.MinTestError, p.MinValidationError,
		}
		if diff := cmp.Diff(golden[s.Number()], got); diff != "" {
			t.Errorf("space %s (-want +got):\n%s", s.Name(), diff)
		}
	}
}
