package darts

import (
	"strings"
	"testing"
)

func TestGenotypeTexts(t *testing.T) {
	g := Genotype{
		Normal:       []Pair{{Skip, 1}, {SepConv3, 0}, {DilConv5, 2}, {Noise, 0}},
		Reduce:       []Pair{{MaxPool, 0}, {AvgPool, 1}, {None, 2}, {Conv71, 1}},
		NormalConcat: []int{2, 3}, ReduceConcat: []int{3},
	}
	for want, got := range map[string]string{
		"skip:1 sep3:0 / dil5:2 noise:0": g.Short(Normal),
		"max:0 avg:1 / none:2 c71:1 [3]": g.Short(Reduction),
		"Genotype(normal=[('skip_connect', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('noise', 0)], normal_concat=[2, 3], " +
			"reduce=[('max_pool_3x3', 0), ('avg_pool_3x3', 1), ('none', 2), ('conv_7x1_1x7', 1)], reduce_concat=[3])": g.String(),
	} {
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	for _, s := range All() {
		for _, r := range s.Rows() {
			for _, c := range r.Candidates {
				if shortNames[c.Name] == "" {
					t.Errorf("%s of %s has no short name", c.Name, s.Name())
				}
			}
		}
	}
}

func TestParseGenotype(t *testing.T) {
	for text, want := range map[string]string{
		"skip:0  sep_conv_3x3:1/sep3:1 sep3:2 |max:0 max:1": "skip:0 sep3:1 / sep3:1 sep3:2 | max:0 max:1",
		"avg:0 max:1 / sep3:0 sep5:2 [3] | c71:0 sep7:1":    "avg:0 max:1 / sep3:0 sep5:2 [3] | c71:0 sep7:1",
		"Genotype(normal=[('skip_connect', 1), ('noise', 0)], normal_concat=range(2, 3), reduce=[('none',0), ('max_pool_3x3',1)], reduce_concat=[2])": "skip:1 noise:0 | none:0 max:1",
	} {
		g, err := ParseGenotype(text)
		if err != nil || g.Line() != want {
			t.Errorf("%s\nis read as %s, %v\nwant %s", text, g.Line(), err, want)
		}
	}
	for text, want := range map[string]string{
		"":                          "want a normal cell",
		"skip:0 skip:1":             "want a normal cell",
		"skip:0 skip:1 |":           `reduction cell: node 0 is "": want two pairs`,
		"skip:0 | max:0 max:1":      `normal cell: node 0 is "skip:0": want two pairs`,
		"skip:0 skop:1 | a b":       `normal cell: node 0: no operation "skop"`,
		"skip:0 skip | max:0 max:1": `the input of skip is "": want 0 to 1`,
		"skip:0 skip:2 | a b":       `the input of skip is "2": want 0 to 1`,
		"skip:0 skip:1 [3] | a b":   `"3" is no state for the output: want some of 2 to 2`,
		"skip:0 skip:1 [2 2] | a b": `"2" is no state for the output`,
		"skip:0 skip:1 [2 | a b":    "want its states in square brackets",
		"skip:0 skip:1 [] | a b":    "want its states in square brackets",
		"Genotype(normal=[])":       "want Genotype(normal=",
		"Genotype(normal=[], normal_concat=[2], reduce=[], reduce_concat=[2])":                                                            "normal cell: 0 pairs",
		"Genotype(normal=[('skip_connect', 0)], normal_concat=[2], reduce=[], reduce_concat=[2])":                                         "normal cell: 1 pairs",
		"Genotype(normal=[skip], normal_concat=[2], reduce=[], reduce_concat=[2])":                                                        `normal cell: "skip": want pairs`,
		"Genotype(normal=[('skip_connect', 0), ('skip_connect', 0)], normal_concat=range(2, 2), reduce=[], reduce_concat=[2])":            "want states such as [2, 3, 4, 5]",
		"a b / a b / a b / a b / a b / a b / a b / a b / a b | a b":                                                                       "18 pairs: want two for each of 1 to 8 nodes",
		"Genotype(normal=[('skip_connect', 0), ('skip_connect', 99999999999999999999)], normal_concat=[2], reduce=[], reduce_concat=[2])": `the input of skip_connect is "99999999999999999999"`,
	} {
		if _, err := ParseGenotype(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// No text makes the reader panic, and what it reads it writes in a way that it reads again.
func FuzzParseGenotype(f *testing.F) {
	f.Add("skip:0 sep3:1 / sep3:1 sep3:2 [2] | max:0 max:1")
	f.Add("Genotype(normal=[('skip_connect', 1), ('noise', 0)], normal_concat=range(2, 3), reduce=[('none',0), ('max_pool_3x3',1)], reduce_concat=[2])")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGenotype(text)
		if err != nil {
			return
		}
		for _, again := range []string{g.Line(), g.String()} {
			if back, err := ParseGenotype(again); err != nil || back.String() != g.String() {
				t.Errorf("%q is read as %s, that as %s, %v", text, again, back, err)
			}
		}
		if _, err := CIFARNetwork.Cost(g); err != nil {
			t.Error(err)
		}
	})
}
