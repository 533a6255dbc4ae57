package command

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

func spacesCommand() *cli.Command {
	return &cli.Command{
		Name:        "spaces",
		Usage:       "count the search spaces",
		Description: "Example:\n  nb1shot spaces",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if c.Bool("json") {
				return writeJSON(c.App.Writer, countedSpaces())
			}
			return printSpaces(c.App.Writer)
		},
	}
}

// count is one way to count a space; nb1shot1.Counts explains them.
type count struct {
	key, label string
	of         func(nb1shot1.Counts) int
}

func allCounts() []count {
	all := []count{
		{"topologies", "topologies: choices of parents", func(c nb1shot1.Counts) int { return c.Topologies }},
		{"architectures", "  with operations for all blocks", func(c nb1shot1.Counts) int { return c.Architectures }},
		{"with_outgoing", "  ... for the blocks with an outgoing edge", func(c nb1shot1.Counts) int { return c.WithOutgoing }},
		{"surviving", "  ... for the blocks that pruning keeps", func(c nb1shot1.Counts) int { return c.Surviving }},
		{"all_blocks_used", "topologies that use every block", func(c nb1shot1.Counts) int { return c.AllBlocksUsed }},
		{"loose_end_free_topologies", "matrices of the released loose-end-free generator", func(c nb1shot1.Counts) int { return c.LooseEndFreeTopologies }},
		{"loose_end_free", "  with operations for the used blocks", func(c nb1shot1.Counts) int { return c.LooseEndFree }},
		{"pruned_matrices", "pruned matrices", func(c nb1shot1.Counts) int { return c.PrunedMatrices }},
		{"labelled_graphs", "  with operations", func(c nb1shot1.Counts) int { return c.LabelledGraphs }},
		{"hashes", "cells of NAS-Bench-101 that a search can end in", func(c nb1shot1.Counts) int { return c.Hashes }},
		{"loose_end_free_hashes", "  in reach of the released generator", func(c nb1shot1.Counts) int { return c.LooseEndFreeHashes }},
	}
	for v := range (nb1shot1.Counts{}).HashesByVertices {
		all = append(all, count{fmt.Sprintf("hashes_of_%d_vertices", v), fmt.Sprintf("  of %d vertices", v),
			func(c nb1shot1.Counts) int { return c.HashesByVertices[v] }})
	}
	for e := range (nb1shot1.Counts{}).HashesByEdges {
		all = append(all, count{fmt.Sprintf("hashes_of_%d_edges", e), fmt.Sprintf("  of %d edges", e),
			func(c nb1shot1.Counts) int { return c.HashesByEdges[e] }})
	}
	return slices.DeleteFunc(all, func(c count) bool {
		return !slices.ContainsFunc(nb1shot1.All(), func(s *nb1shot1.Space) bool { return c.of(s.Count()) > 0 })
	})
}

func printSpaces(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(label string, of func(*nb1shot1.Space) string) {
		fmt.Fprint(t, label)
		for _, s := range nb1shot1.All() {
			fmt.Fprintf(t, "\t%9s", of(s))
		}
		fmt.Fprintln(t)
	}
	number := func(label string, of func(*nb1shot1.Space) int) {
		row(label, func(s *nb1shot1.Space) string { return grouped(of(s)) })
	}
	row("", func(s *nb1shot1.Space) string { return fmt.Sprintf("space %s", s.Name()) })
	number("choice blocks", (*nb1shot1.Space).Blocks)
	number("architecture parameters", func(s *nb1shot1.Space) int { return s.Dim() })
	for _, c := range allCounts() {
		number(c.label, func(s *nb1shot1.Space) int { return c.of(s.Count()) })
	}
	number("published: architectures", func(s *nb1shot1.Space) int { return s.Published().Architectures })
	number("published: without loose ends", func(s *nb1shot1.Space) int { return s.Published().LooseEndFree })
	row("published: lowest test error", func(s *nb1shot1.Space) string { return percent(s.Published().MinTestError) })
	row("published: lowest validation error", func(s *nb1shot1.Space) string { return percent(s.Published().MinValidationError) })
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, "\nfingerprints, MD5 of the sorted hashes of the cells:\n")
	for _, s := range nb1shot1.All() {
		fmt.Fprintf(w, "  space %s  %s\n", s.Name(), s.Fingerprint())
	}
	fmt.Fprint(w, `
The published sizes are not counted in one way: those of spaces 1 and 3 leave out
the operations of blocks without an outgoing edge, that of space 2 does not. The
published lowest errors are of single training runs, and only among the cells of
the loose-end-free generator.

`)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "spaces of DARTS\toperations of an edge\tarchitecture parameters\tnormal cells\tarchitectures\n")
	for _, s := range darts.All() {
		fmt.Fprintf(t, "space %s\t%d\t%d\t%s\t%.3g\n", s.Name(), len(s.Rows()[0].Candidates), s.Dim(), grouped(s.Cells(darts.Normal)), float64(s.Architectures()))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "recurrent cells\tfunctions of a node\tarchitecture parameters\tcells\n")
	fmt.Fprintf(t, "space %s\t%d\t%d\t%s\n", rnn.Name, len(rnn.Functions())-1, rnn.Dim, grouped(rnn.Cells()))
	return t.Flush()
}

// countedSpace is a space in the output of spaces --json.
type countedSpace struct {
	Space       spaces.Name    `json:"space"`
	Blocks      int            `json:"blocks,omitempty"` // as all below but parameters and counts, of NAS-Bench-1Shot1
	Parameters  int            `json:"architecture_parameters"`
	Counts      map[string]int `json:"counts"`
	Published   *published     `json:"published,omitempty"`
	Fingerprint string         `json:"fingerprint,omitempty"`
}

type published struct {
	Architectures      int     `json:"architectures"`
	LooseEndFree       int     `json:"loose_end_free"`
	MinTestError       float64 `json:"min_test_error"`
	MinValidationError float64 `json:"min_validation_error"`
}

func countedSpaces() []countedSpace {
	var all []countedSpace
	for _, s := range nb1shot1.All() {
		figures := published(s.Published())
		counted := countedSpace{
			Space: s.Name(), Blocks: s.Blocks(), Parameters: s.Dim(), Counts: map[string]int{},
			Published: &figures, Fingerprint: s.Fingerprint(),
		}
		for _, c := range allCounts() {
			counted.Counts[c.key] = c.of(s.Count())
		}
		all = append(all, counted)
	}
	for _, s := range darts.All() {
		all = append(all, countedSpace{Space: s.Name(), Parameters: s.Dim(), Counts: map[string]int{
			"normal_cells": s.Cells(darts.Normal), "reduction_cells": s.Cells(darts.Reduction), "architectures": s.Architectures(),
		}})
	}
	return append(all, countedSpace{Space: rnn.Name, Parameters: rnn.Dim, Counts: map[string]int{"architectures": rnn.Cells()}})
}
