package darts

import "testing"

func TestGenotypeTexts(t *testing.T) {
	g := Genotype{
		Normal:       []Pair{{Skip, 1}, {SepConv3, 0}, {DilConv5, 2}, {Noise, 0}},
		Reduce:       []Pair{{MaxPool, 0}, {AvgPool, 1}, {None, 2}, {Conv71, 1}},
		NormalConcat: []int{2, 3}, ReduceConcat: []int{3},
	}
	for want, got := range map[string]string{
		"skip:1 sep3:0 / dil5:2 noise:0": g.Short(Normal),
		"max:0 avg:1 / none:2 c71:1":     g.Short(Reduction),
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
