package verify

import (
	"fmt"
	"math"

	"github.com/nb1shot/nb1shot/data/text"
)

// corpora reads a small text and cuts it into columns and windows.
func corpora(g *golden, out *findings) error {
	c, err := text.Parse(g.file("train.txt"), g.file("valid.txt"), g.file("test.txt"))
	if err != nil {
		return err
	}
	parts := map[string][]int32{"train": c.Train, "valid": c.Valid, "test": c.Test}
	out.text("vocabulary", c.Words...)
	out.integers("counts", c.Counts())
	total := 0
	for name, sequence := range parts {
		out.set(name+"_ids", wide(sequence)...)
		total += len(sequence)
	}
	out.integers("total_tokens", []int{total})
	for i := range g.lengths["batches"] {
		at := fmt.Sprintf("batches[%d].", i)
		columns, err := text.NewColumns(parts[g.text(at+"split")], g.integer(at+"batch"))
		if err != nil {
			return err
		}
		var rows []int32
		for row := range columns.Rows {
			rows = append(rows, columns.Row(row)...)
		}
		array := fmt.Sprintf("batch%d", i)
		out.text(at+"array", array+".npy")
		out.set(array, wide(rows)...)
		bptt := g.integer(at + "bptt")
		for k := range g.lengths[at+"windows"] {
			at := fmt.Sprintf("%swindows[%d].", at, k)
			length := bptt
			if g.leaves[at+"seq_len"].numbers != nil {
				length = g.integer(at + "seq_len")
			} else if none := g.text(at + "seq_len"); none != "null" { // which stands for the bptt
				return fmt.Errorf("a window of %q rows", none)
			}
			position := g.integer(at + "position")
			if position < 0 || length > math.MaxInt32 {
				return fmt.Errorf("window of %d rows at %d", length, position)
			}
			inputs, targets := columns.Window(position, length)
			out.set(at+"inputs", wide(inputs)...)
			out.set(at+"targets", wide(targets)...)
		}
	}
	return nil
}

// wide are numbers of words as leaves hold them.
func wide(sequence []int32) []float64 {
	f := make([]float64, len(sequence))
	for i, w := range sequence {
		f[i] = float64(w)
	}
	return f
}
