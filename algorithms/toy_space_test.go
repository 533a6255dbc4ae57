package algorithms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nb1shot/nb1shot/spaces"
)

// A space that is none of NAS-Bench-1Shot1, so that the conformance suite fails where an
// algorithm takes its blocks, its three operations or its in-degrees for granted: blocks
// have two to four candidates, some nodes keep one edge, and there is no table.
func init() {
	rows := []spaces.Row{
		{Tensor: "normal", Kind: spaces.OperationRow, Candidates: candidates(4, 2)},
		{Tensor: "normal", Kind: spaces.OperationRow, Candidates: candidates(4, 1)},
		{Tensor: "reduce", Kind: spaces.OperationRow, Candidates: candidates(2, 1)},
		{Tensor: "edges", Kind: spaces.EdgeRow, Candidates: candidates(5, 0)},
		{Tensor: "edges", Kind: spaces.EdgeRow, Candidates: candidates(3, 0)},
	}
	at := 0
	for i := range rows {
		rows[i].Title, rows[i].Keep, rows[i].Offset = fmt.Sprintf("row %d", i+1), 1, at
		if i == 3 {
			rows[i].Keep = 3
		}
		at = rows[i].End()
	}
	spaces.Register(spaces.New("toy", rows, toyRules(rows)))
}

func candidates(n, free int) (all []spaces.Candidate) {
	for i := range n {
		all = append(all, spaces.Candidate{Name: fmt.Sprintf("candidate %d", i+1), ParameterFree: i < free})
	}
	return all
}

// toyRules treat every row by itself.
type toyRules []spaces.Row

func (rules toyRules) Check(kept [][]int) error {
	for i, r := range rules {
		if len(kept[i]) != r.Keep {
			return fmt.Errorf("%s keeps %d, want %d", r.Title, len(kept[i]), r.Keep)
		}
	}
	return nil
}

func (rules toyRules) Discretize(alpha []float64, ties spaces.Ties) (kept [][]int) {
	for _, r := range rules {
		kept = append(kept, spaces.Top(alpha[r.Offset:r.End()], r.Keep, ties))
	}
	return kept
}

func (rules toyRules) Sample(r *rand.Rand) (kept [][]int) {
	for _, row := range rules {
		kept = append(kept, slices.Sorted(slices.Values(r.Perm(len(row.Candidates))[:row.Keep])))
	}
	return kept
}

func (rules toyRules) Mutate(kept [][]int, r *rand.Rand) [][]int {
	i := r.IntN(len(rules))
	for {
		other := rules[i : i+1].Sample(r)[0]
		if !slices.Equal(other, kept[i]) {
			kept = slices.Clone(kept)
			kept[i] = other
			return kept
		}
	}
}
