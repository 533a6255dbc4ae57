package verify

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// genotypeKinds are the cases about cells of the spaces of DARTS.
var genotypeKinds = []kind{
	{
		name: "genotype", is: allOf(holds("alphas[0]"), holds("genotypes[0].normal"), holds("tie_alphas")), host: genotypes,
		background: regexp.MustCompile(`^arithmetic$`),
	},
	{
		name: "genotype of p-darts", is: allOf(holds("stage1_alphas"), holds("cases[0].kept_before_stage2")), host: stageGenotypes,
		background: regexp.MustCompile(`^arithmetic$`),
	},
	{name: "networks of genotypes", is: either(named("networks"), holds("genotypes.DARTS_V2")), host: genotypeNetworks},
}

// spaceOfPrimitives returns the space of DARTS whose operations the case lists, with rows of
// edges where it has tensors of these.
func spaceOfPrimitives(g *golden) (*darts.Space, error) {
	edges := g.lengths["alphas"] > darts.CellTypes
	for _, s := range darts.All() {
		same := true
		for t := range darts.CellType(darts.CellTypes) {
			for e := range darts.Edges {
				same = same && slices.Equal(names(s.Rows()[darts.Row(t, e)].Candidates), g.texts(primitives(g, t, e)))
			}
		}
		switch {
		case g.err != nil:
			return nil, g.err
		case same && edges:
			return s.WithEdges(), nil
		case same:
			return s, nil
		}
	}
	return nil, fmt.Errorf("no space of DARTS has the operations that the case lists")
}

// genotypes derives genotypes from architecture parameters by the rule of DARTS, with and
// without edge weights.
func genotypes(g *golden, out *findings) error {
	space, err := spaceOfPrimitives(g)
	if err != nil {
		return err
	}
	out.tensors(space.Space)
	for _, file := range []struct{ alphas, genotypes, size string }{{"alphas", "genotypes", "n"}, {"tie_alphas", "tie_genotypes", "ties"}} {
		n := g.lengths[file.genotypes]
		out.integers(file.size, []int{n})
		for i, alpha := range cases(g, file.alphas, n, space.Dim()) {
			out.genotype(fmt.Sprintf("%s[%d]", file.genotypes, i), space.Derive(alpha))
		}
	}
	return nil
}

// cases returns the rows of an input array, n of a length.
func cases(g *golden, name string, n, length int) [][]float64 {
	if n == 0 {
		return nil
	}
	return slices.Collect(slices.Chunk(g.numbers(name, n*length), length))
}

// stageGenotypes drops operations after the stages of P-DARTS and derives its genotypes.
func stageGenotypes(g *golden, out *findings) error {
	space, err := spaceOfPrimitives(g)
	if err != nil {
		return err
	}
	n := g.lengths["cases"]
	out.integers("n", []int{n})
	dropped := []int{3, 2}
	var alphas [3][][]float64
	for k, operations := range []int{8, 5, 3} {
		alphas[k] = cases(g, fmt.Sprintf("stage%d_alphas", k+1), n, darts.CellTypes*darts.Edges*operations)
	}
	for i := range n {
		at := fmt.Sprintf("cases[%d].", i)
		stage := space
		for k, drop := range dropped {
			kept := stage.Drop(alphas[k][i], drop)
			var flags []int
			for row, numbers := range kept {
				for c := range space.Rows()[row].Candidates {
					flag := 0
					if slices.Contains(numbers, c) {
						flag = 1
					}
					flags = append(flags, flag)
				}
			}
			out.integers(fmt.Sprintf("%skept_before_stage%d", at, k+2), flags)
			stage = space.Restrict(kept)
		}
		out.genotype(at+"genotype", stage.Derive(alphas[2][i]))
		restrictions := stage.Restrictions(alphas[2][i])
		if want := g.lengths[at+"restricted"]; len(restrictions) != want {
			return fmt.Errorf("%srestricted: %d genotypes under the bounds on skip-connections, want %d", at, len(restrictions), want)
		}
		if len(restrictions) == 0 {
			out.set(at + "restricted")
		}
		for j, r := range restrictions {
			restricted := fmt.Sprintf("%srestricted[%d].", at, j)
			out.integers(restricted+"max_skip", []int{r.MaxSkips})
			out.genotype(restricted+"genotype", r.Genotype)
		}
	}
	return nil
}

// genotypeNetworks measures genotypes and counts the networks that are built of them. Those
// with the name of a published genotype must be that one.
func genotypeNetworks(g *golden, out *findings) error {
	leaf := regexp.MustCompile(`^genotypes\.([^.]+)\.(?:(cifar|imagenet)_C(\d{1,4})_L(\d{1,4})_classes(\d{1,4})\.)?`)
	for _, name := range slices.Sorted(maps.Keys(g.leaves)) {
		m := leaf.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		at := "genotypes." + m[1] + "."
		var genotype darts.Genotype
		if p, ok := darts.FindPublished(m[1]); ok {
			genotype = p.Genotype
			out.genotype(at+"genotype", genotype)
		} else {
			genotype = readGenotype(g, at+"genotype.")
		}
		if m[2] == "" {
			out.set(at+"parameter_free_share_normal", genotype.ParameterFree())
			out.set(at+"normal_width_in_c", genotype.Width(darts.Normal))
			out.integers(at+"normal_depth", []int{genotype.Depth(darts.Normal)})
			continue
		}
		network := darts.Network{ImageNet: m[2] == "imagenet"}
		for i, field := range []*int{&network.Channels, &network.Cells, &network.Classes} {
			if _, err := fmt.Sscan(m[3+i], field); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		cost, err := network.Cost(genotype)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		at = strings.TrimSuffix(m[0], ".") + "."
		out.integers(at+"params", []int{cost.Parameters})
		out.integers(at+"params_with_aux", []int{cost.Parameters + cost.Auxiliary})
		out.integers(at+"macs_per_image_eval", []int{cost.MACs})
	}
	if g.has("search") {
		return searchNetworks(out)
	}
	return nil
}

// searchNetworks counts the supernets of the paper's size.
func searchNetworks(out *findings) error {
	e, err := engine.Open("ref", 1)
	if err != nil {
		return err
	}
	for _, network := range []string{"darts", "pcdarts"} {
		for _, name := range []string{"darts", "s1", "s2", "s3", "s4"} {
			space, err := darts.Get(cellSpaces[strings.Replace(name, "darts", "s5", 1)])
			if err != nil {
				return err
			}
			net, err := supernet.New(supernet.Config{
				Space: space.Space, Channels: 16, Cells: 8, Classes: 10, Side: 32, BatchNormMomentum: 0.1, Variant: cellNetworks[network],
			}, e)
			if err != nil {
				return err
			}
			flops, err := net.ForwardFLOPs(1)
			if err != nil {
				return err
			}
			at := fmt.Sprintf("search.%s_%s.", network, name)
			out.integers(at+"params", []int{net.ParameterCount()})
			out.integers(at+"tensors", []int{len(net.Parameters())})
			out.integers(at+"bn", []int{len(net.Statistics()) / 2})
			out.integers(at+"bn_running", []int{net.StatisticsCount()})
			out.integers(at+"alphas", []int{space.Dim()})
			out.set(at+"macs", flops/2)
		}
	}
	return nil
}

// readGenotype reads a genotype as an input.
func readGenotype(g *golden, at string) darts.Genotype {
	var cells [darts.CellTypes][]darts.Pair
	var concats [darts.CellTypes][]int
	for t, name := range []string{"normal", "reduce"} {
		for i := range g.lengths[at+name] {
			pair := fmt.Sprintf("%s%s[%d]", at, name, i)
			cells[t] = append(cells[t], darts.Pair{Operation: g.text(pair + "[0]"), Input: g.integer(pair + "[1]")})
		}
		for _, state := range g.numbers(at+name+"_concat", -1) {
			concats[t] = append(concats[t], int(state))
		}
	}
	return darts.Genotype{Normal: cells[0], NormalConcat: concats[0], Reduce: cells[1], ReduceConcat: concats[1]}
}
