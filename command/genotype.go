package command

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// foundGenotype is a genotype of the spaces of DARTS and where it is from.
type foundGenotype struct {
	title    string // may be empty
	genotype darts.Genotype
	classes  int // of the images that its network is counted for
}

// readGenotype reads what --genotype says: the name of a published genotype, a genotype
// itself, or a file with one.
func readGenotype(text string) (foundGenotype, error) {
	if _, ok := rnn.FindPublished(text); ok || rnn.IsGenotype(text) {
		return foundGenotype{}, hinted(fmt.Errorf("--genotype: %.40q is a recurrent cell, want cells of convolutions", text), "nb1shot cell draws recurrent cells, nb1shot retrain trains their networks")
	}
	if p, ok := darts.FindPublished(text); ok {
		return foundGenotype{fmt.Sprintf("%s: %s", p.Name, p.Source), p.Genotype, p.Classes}, nil
	}
	if strings.Contains(text, "|") || strings.Contains(text, "(") {
		g, err := darts.ParseGenotype(text)
		if err != nil {
			return foundGenotype{}, misuse(fmt.Errorf("--genotype: %w", err), "an example is in docs/darts-spaces.md")
		}
		return foundGenotype{"", g, darts.CIFARNetwork.Classes}, nil
	}
	content, err := genotypeFile(text)
	if err != nil {
		return foundGenotype{}, err
	}
	g, err := darts.ParseGenotype(content)
	if err != nil {
		return foundGenotype{}, fmt.Errorf("--genotype: %s: %w", text, err)
	}
	return foundGenotype{text, g, darts.CIFARNetwork.Classes}, nil
}

// genotypeFile returns the content of a file with a genotype. That there is none is an
// unknown genotype.
func genotypeFile(path string) (string, error) {
	content, err := foreign.ReadText(path, maxGenotypeFile)
	if errors.Is(err, fs.ErrNotExist) {
		var names []string
		for _, p := range darts.AllPublished() {
			names = append(names, p.Name)
		}
		for _, p := range rnn.AllPublished() {
			names = append(names, p.Name)
		}
		return "", unknown("genotype", path, names,
			"give a published name, such as DARTS_V2 or c10_s2_pgd, a genotype, or a file with one")
	}
	if err != nil {
		return "", fmt.Errorf("--genotype: %w", err)
	}
	return string(content), nil
}

// maxGenotypeFile is the size up to which a file with a genotype is read, in bytes.
const maxGenotypeFile = 1 << 16

// classesOf is the number of classes of a kind of images.
func classesOf(images string) int {
	switch images {
	case data.KindCIFAR100, data.KindProcedural100:
		return 100
	}
	return darts.CIFARNetwork.Classes
}

// facts says in lines what there is to know of a genotype: its shape, and the network for
// CIFAR-10 of the paper's size.
func (f foundGenotype) facts() ([]string, error) {
	g := f.genotype
	network := darts.CIFARNetwork
	network.Classes = cmp.Or(f.classes, network.Classes)
	cost, err := network.Cost(g)
	if err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("Operations without parameters in the normal cell: %.4g %%.", 100*g.ParameterFree()),
		fmt.Sprintf("Normal cell: width %gc, depth %d. Reduction cell: width %gc, depth %d.",
			g.Width(darts.Normal), g.Depth(darts.Normal), g.Width(darts.Reduction), g.Depth(darts.Reduction)),
		fmt.Sprintf("With %d channels, %d cells and %d classes: %s parameters (%s with the auxiliary head), %s multiply-accumulates.",
			network.Channels, network.Cells, network.Classes, grouped(cost.Parameters), grouped(cost.Parameters+cost.Auxiliary), grouped(cost.MACs)),
	}, nil
}

// cells are the drawings of both cells.
func (f foundGenotype) cells(pruned bool) []plots.CellDrawing {
	both := plots.GenotypeCells(f.genotype, "")
	for i := range both {
		both[i].Pruned = pruned
	}
	return both
}

// figure draws both cells on a page, with the facts below.
func (f foundGenotype) figure(pruned bool) (*plots.Figure, error) {
	notes, err := f.facts()
	if err != nil {
		return nil, err
	}
	if f.title != "" {
		notes = append([]string{f.title + "."}, notes...)
	}
	return plots.Cells([][]plots.CellDrawing{f.cells(pruned)}, notes, plots.Page)
}

// text draws both cells in characters, with the facts below.
func (f foundGenotype) text(pruned bool) (string, error) {
	var b strings.Builder
	for _, d := range f.cells(pruned) {
		cell, err := plots.CellText(d, !speaksUTF8())
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s\n", cell)
	}
	told, err := f.told()
	return b.String() + told, err
}

// told is what there is to say of it without a drawing: title, genotype and facts.
func (f foundGenotype) told() (string, error) {
	facts, err := f.facts()
	lines := append([]string{f.genotype.Line()}, facts...)
	if f.title != "" {
		lines = append([]string{f.title}, lines...)
	}
	return strings.Join(lines, "\n") + "\n", err
}
