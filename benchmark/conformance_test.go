package benchmark_test

import (
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	_ "github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// Every algorithm passes its suite on the real supernet, on every engine and in the
// spaces of both families.
func TestConformance(t *testing.T) {
	set := data.Procedural(40, 1)
	small, err := data.Downsample(set, 8)
	if err != nil {
		t.Fatal(err)
	}
	batches := func(queue string) []data.Batch {
		pair := make([]data.Batch, 2)
		loader, err := data.NewLoader(data.Queue{
			Name: queue, Set: small, Images: []int{0, 1, 2, 3, 4, 5, 6, 7}, BatchSize: 4,
			Transform: data.Transform{Normalization: data.DARTSNormalization, Augment: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		for k := range pair {
			loader.Batch(&pair[k], 0, k)
		}
		return pair
	}
	var all []*spaces.Space
	// Space 1 has one row of inputs less than 2.
	for _, name := range []spaces.Name{"2", "3", "darts-s4"} {
		space, err := spaces.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, space)
	}
	for _, name := range algorithms.Names() {
		algorithm, err := algorithms.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, definition := range engine.All() {
			for _, space := range all {
				if algorithm.CheckSpace(space) != nil {
					continue
				}
				// The oracles are slow, the one in single precision is the same code, and the
				// spaces differ little.
				if space.Name() != "2" && (testing.Short() || definition.Name != "cpu") ||
					definition.Name == "ref32" && !slices.Contains([]string{"darts", "gdas", "enas", "sdarts-adv"}, name) {
					continue
				}
				t.Run(name+"/"+definition.Name+"/space "+string(space.Name()), func(t *testing.T) {
					newNet := func(variant supernet.Variant) algorithms.Supernet {
						e, err := definition.Open(1)
						if err != nil {
							t.Fatal(err)
						}
						net, err := supernet.New(supernet.Config{
							Space: space, Channels: 4, Cells: 3, Classes: 10, Side: 8, BatchNormMomentum: 0.997, Variant: variant,
						}, e)
						if err != nil {
							t.Fatal(err)
						}
						net.Initialize(random.New(1, "weights"))
						return net
					}
					algorithmstest.Conform(t, name, space, newNet, algorithmstest.Batches{
						algorithms.Train: batches("train"), algorithms.Search: batches("search"), algorithms.TestSet: batches("test"),
					})
				})
			}
		}
	}
}
