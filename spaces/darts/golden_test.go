package darts

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/spaces"
)

// lines decodes a file of testdata with a JSON value on each line.
func lines[T any](t *testing.T, name string) (all []T) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var v T
		if err := json.Unmarshal(scan.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, v)
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// single is a vector that was written with the digits of single precision.
func single(v []float32) (wide []float64) {
	for _, x := range v {
		wide = append(wide, float64(x))
	}
	return wide
}

func mustGet(t testing.TB, name spaces.Name) *Space {
	t.Helper()
	s, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The genotypes that the released code derived, with and without ties, pairs in its order.
func TestDeriveGolden(t *testing.T) {
	cases := map[string]*Space{
		"darts": mustGet(t, "darts"), "darts8": mustGet(t, "darts8"), "pcdarts_beta": mustGet(t, "darts8").WithEdges(),
		"s1": mustGet(t, "darts-s1"), "s2": mustGet(t, "darts-s2"), "s3": mustGet(t, "darts-s3"), "s4": mustGet(t, "darts-s4"),
	}
	seen := map[string]int{}
	for i, c := range lines[struct {
		Case     string
		Alphas   []float32
		Genotype string
	}](t, "genotypes.jsonl") {
		name, _, _ := strings.Cut(c.Case, " ")
		s := cases[name]
		if len(c.Alphas) != s.Dim() {
			t.Fatalf("line %d: %d alphas, %s has %d", i+1, len(c.Alphas), c.Case, s.Dim())
		}
		seen[c.Case]++
		alphas := single(c.Alphas)
		g := s.Derive(alphas)
		if g.Line() != c.Genotype {
			t.Errorf("line %d, %s:\n%s\nwant\n%s", i+1, c.Case, g.Line(), c.Genotype)
		}
		want, err := s.Architecture(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, ties := range []spaces.Ties{spaces.TiesNumPy, spaces.TiesLowest} {
			if a := s.Discretize(alphas, ties); !a.Equal(want) {
				t.Errorf("line %d, %s, ties %v: %v, want %v", i+1, c.Case, ties, a.Kept, want.Kept)
			}
		}
	}
	for name := range cases {
		if seen[name] != 12 || seen[name+" ties"] != 8 {
			t.Errorf("%s: %d cases and %d ties, want 12 and 8", name, seen[name], seen[name+" ties"])
		}
	}
}

// What P-DARTS kept after its stages, derived at the end, and under its bound on
// skip-connections.
func TestStagesGolden(t *testing.T) {
	s := mustGet(t, "darts8")
	type restricted struct {
		MaxSkips int `json:"max_skips"`
		Genotype string
	}
	cases := lines[struct {
		Alphas     [3][]float32
		Kept       [2][][]int
		Genotype   string
		Restricted []restricted
	}](t, "pdarts.jsonl")
	if len(cases) != 8 {
		t.Errorf("%d cases, want 8", len(cases))
	}
	for i, c := range cases {
		stage := s
		for k, dropped := range []int{3, 2} {
			kept := stage.Drop(single(c.Alphas[k]), dropped)
			if d := cmp.Diff(c.Kept[k], kept); d != "" {
				t.Fatalf("case %d: kept after stage %d (-want +got):\n%s", i, k+1, d)
			}
			stage = s.Restrict(kept)
		}
		alphas := single(c.Alphas[2])
		g := stage.Derive(alphas)
		if g.Line() != c.Genotype {
			t.Errorf("case %d:\n%s\nwant\n%s", i, g.Line(), c.Genotype)
		}
		var got []restricted
		bounds := map[int]string{}
		for _, r := range stage.Restrictions(alphas) {
			got = append(got, restricted{r.MaxSkips, r.Genotype.Line()})
			bounds[r.MaxSkips] = r.Genotype.Line()
		}
		if d := cmp.Diff(c.Restricted, got); d != "" {
			t.Errorf("case %d (-want +got):\n%s", i, d)
		}
		last := g.Line()
		for bound := Inputs * Nodes; bound >= 0; bound-- {
			if changed, ok := bounds[bound]; ok {
				last = changed
			}
			if g := stage.DeriveStage(alphas, bound).Line(); g != last {
				t.Errorf("case %d, at most %d skip-connections:\n%s\nwant\n%s", i, bound, g, last)
			}
		}
		want, err := s.Architecture(g)
		if err != nil {
			t.Fatal(err)
		}
		if a := stage.Discretize(alphas, spaces.TiesNumPy); !a.Equal(want) {
			t.Errorf("case %d: %v, want %v", i, a.Kept, want.Kept)
		}
	}
}

// counted is what the golden file of networks says of a genotype.
type counted struct {
	Genotype struct {
		Normal       [][2]any
		Reduce       [][2]any
		NormalConcat []int `json:"normal_concat"`
		ReduceConcat []int `json:"reduce_concat"`
	}
	C36      *size   `json:"cifar_C36_L20_classes10"`
	C36Of100 *size   `json:"cifar_C36_L20_classes100"`
	C16      *size   `json:"cifar_C16_L8_classes10"`
	C16Of100 *size   `json:"cifar_C16_L8_classes100"`
	ImageNet *size   `json:"imagenet_C48_L14_classes1000"`
	Share    float64 `json:"parameter_free_share_normal"`
	Width    float64 `json:"normal_width_in_c"`
	Depth    int     `json:"normal_depth"`
}

type size struct {
	Parameters    int `json:"params"`
	WithAuxiliary int `json:"params_with_aux"`
	MACs          int `json:"macs_per_image_eval"`
}

// The published genotypes, their measures and the sizes of their networks, as counted on
// the released modules.
func TestPublishedGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/networks.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]counted
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden) != 45 || len(AllPublished()) != len(golden) {
		t.Errorf("%d genotypes are golden, %d published, want 45", len(golden), len(AllPublished()))
	}
	pairs := func(list [][2]any) (all []Pair) {
		for _, p := range list {
			all = append(all, Pair{p[0].(string), int(p[1].(float64))})
		}
		return all
	}
	sizes := 0
	for name, want := range golden {
		p, ok := FindPublished(strings.ToLower(name))
		if !ok || p.Name != name {
			t.Errorf("%s: found %q", name, p.Name)
			continue
		}
		g := p.Genotype
		if d := cmp.Diff(Genotype{pairs(want.Genotype.Normal), want.Genotype.NormalConcat, pairs(want.Genotype.Reduce), want.Genotype.ReduceConcat}, g); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if g.ParameterFree() != want.Share || g.Width(Normal) != want.Width || g.Depth(Normal) != want.Depth {
			t.Errorf("%s: share %v, width %v, depth %v, want %v, %v, %v", name, g.ParameterFree(), g.Width(Normal), g.Depth(Normal), want.Share, want.Width, want.Depth)
		}
		for _, of := range []struct {
			want *size
			net  Network
		}{
			{want.C36, CIFARNetwork}, {want.C36Of100, Network{Channels: 36, Cells: 20, Classes: 100}},
			{want.C16, Network{Channels: 16, Cells: 8, Classes: 10}}, {want.C16Of100, Network{Channels: 16, Cells: 8, Classes: 100}},
			{want.ImageNet, ImageNetNetwork},
		} {
			if of.want == nil {
				continue
			}
			sizes++
			cost, err := of.net.Cost(g)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(*of.want, size{cost.Parameters, cost.Parameters + cost.Auxiliary, cost.MACs}); d != "" {
				t.Errorf("%s, %+v (-want +got):\n%s", name, of.net, d)
			}
		}
		if p.Space != "" {
			a, err := mustGet(t, p.Space).Architecture(g)
			if err != nil {
				t.Errorf("%s in space %s: %v", name, p.Space, err)
				continue
			}
			back, ok := GenotypeOf(a)
			if !ok || back.ParameterFree() != g.ParameterFree() || back.Width(Normal) != g.Width(Normal) || back.Depth(Reduction) != g.Depth(Reduction) {
				t.Errorf("%s and back is %s", name, back.Line())
			}
			if share := mustGet(t, p.Space).ParameterFree(a); share != want.Share {
				t.Errorf("%s: share %v, want %v", name, share, want.Share)
			}
		}
	}
	if sizes != 78 {
		t.Errorf("%d networks were compared, want 78", sizes)
	}
}
