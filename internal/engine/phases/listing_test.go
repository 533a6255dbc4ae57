package phases

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

var update = flag.Bool("update", false, "write the golden listings")

// The listings of two small networks. Whoever changes the compiler sees here what
// becomes of its programs, and looks at each change before writing it with -update.
func TestListing(t *testing.T) {
	// A convolution with batch normalisation and a rectifier, then a choice between a
	// max-pooling and another convolution, and the loss.
	network := func(g *graph.Graph, normalize func(x *graph.Node, name string) *graph.Node) *graph.Node {
		images := g.Input("images", graph.Activation, 4, 3, 8, 8)
		labels := g.Input("labels", graph.Activation, 4, 8, 1, 1)
		stem := g.Input("stem", graph.Parameter, 8, 3, 3, 3)
		kernel := g.Input("kernel", graph.Parameter, 8, 8, 1, 1)
		mixing := g.Input("mixing", graph.Parameter, 2)
		x := graph.NewReLU(normalize(graph.NewConv(images, stem), "stem statistics"))
		mixed := graph.NewWeightedSum(mixing, 0,
			graph.NewMaxPool(x, 3, 1, 1),
			graph.NewReLU(normalize(graph.NewConv(x, kernel), "statistics")))
		return graph.NewCrossEntropy(graph.NewMean(mixed), labels)
	}
	for _, test := range []struct {
		name      string
		normalize func(g *graph.Graph) func(x *graph.Node, name string) *graph.Node
		wrt       []string // of which gradients are asked, beside the loss
	}{
		{"evaluation", func(g *graph.Graph) func(*graph.Node, string) *graph.Node {
			return func(x *graph.Node, name string) *graph.Node {
				return graph.NewNormalizeFixed(x, g.Input(name, graph.Parameter, 2, 8))
			}
		}, nil},
		{"training", func(*graph.Graph) func(*graph.Node, string) *graph.Node {
			return func(x *graph.Node, _ string) *graph.Node { return graph.NewNormalize(x, graph.NewBatchStats(x)) }
		}, []string{"stem", "kernel", "mixing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := graph.New()
			loss := network(g, test.normalize(g))
			outputs := []*graph.Node{loss}
			if test.wrt != nil {
				var wrt []*graph.Node
				for _, name := range test.wrt {
					wrt = append(wrt, g.Lookup(name))
				}
				gradients, err := g.Gradients(loss, g.Input("seed", graph.Parameter), wrt)
				if err != nil {
					t.Fatal(err)
				}
				outputs = append(outputs, gradients...)
			}
			plan, err := engine.NewPlan(g, outputs)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := Listing(&got, plan); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", test.name+".txt")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Errorf("another program than in %s (-want +got):\n%s", path, d)
			}
		})
	}
}
