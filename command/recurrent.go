package command

import (
	"fmt"
	"strings"

	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// readDrawable reads what --genotype of the command cell says: a recurrent cell, or what
// readGenotype reads.
func readDrawable(text string) (drawable, error) {
	if p, ok := rnn.FindPublished(text); ok {
		return foundRecurrent{fmt.Sprintf("%s: %s", p.Name, p.Source), p.Genotype}, nil
	}
	if rnn.IsGenotype(text) {
		g, err := rnn.ParseGenotype(text)
		if err != nil {
			return nil, misuse(fmt.Errorf("--genotype: %w", err), "an example is in docs/recurrent-space.md")
		}
		return foundRecurrent{"", g}, nil
	}
	if content, err := genotypeFile(text); err == nil && rnn.IsGenotype(content) {
		g, err := rnn.ParseGenotype(content)
		if err != nil {
			return nil, fmt.Errorf("--genotype: %s: %w", text, err)
		}
		return foundRecurrent{text, g}, nil
	}
	return readGenotype(text)
}

// foundRecurrent is a recurrent cell and where it is from.
type foundRecurrent struct {
	title    string // may be empty
	genotype rnn.Genotype
}

// facts says in lines what there is to know of a recurrent cell: its depth, and the network
// for Penn Treebank of the paper's size.
func (f foundRecurrent) facts() ([]string, error) {
	n := rnn.EvaluationNetwork
	cost, err := n.Cost(f.genotype)
	return []string{
		fmt.Sprintf("%d nodes, %d deep; the new hidden state is the mean of %d of them.", len(f.genotype.Nodes), f.genotype.Depth(), len(f.genotype.Concat)),
		fmt.Sprintf("With %d hidden units and %s words: %s parameters, %s multiply-accumulates a word.",
			n.Hidden, grouped(n.Words), grouped(cost.Parameters), grouped(cost.MACs)),
	}, err
}

func (f foundRecurrent) drawing(pruned bool) plots.CellDrawing {
	return plots.CellDrawing{Recurrent: &f.genotype, Pruned: pruned}
}

// figure draws the cell, with the facts below.
func (f foundRecurrent) figure(pruned bool) (*plots.Figure, error) {
	notes, err := f.facts()
	if err != nil {
		return nil, err
	}
	d := f.drawing(pruned)
	d.Title, d.Caption = f.title, notes
	return plots.Cell(d)
}

// text draws the cell in characters, with the facts below.
func (f foundRecurrent) text(pruned bool) (string, error) {
	cell, err := plots.CellText(f.drawing(pruned), !speaksUTF8())
	if err != nil {
		return "", err
	}
	told, err := f.told()
	return cell + "\n" + told, err
}

// told is what there is to say of it without a drawing: title, genotype and facts.
func (f foundRecurrent) told() (string, error) {
	facts, err := f.facts()
	lines := append([]string{f.genotype.Line()}, facts...)
	if f.title != "" {
		lines = append([]string{f.title}, lines...)
	}
	return strings.Join(lines, "\n") + "\n", err
}
