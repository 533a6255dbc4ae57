package cuda_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	_ "github.com/nb1shot/nb1shot/internal/engine/cpu" // to compare with
	"github.com/nb1shot/nb1shot/internal/engine/cuda"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/emulator"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/supernet"
)

// A search of three epochs finds the cells that it finds on the CPU engine.
func TestSearchAgreesWithCPU(t *testing.T) {
	if testing.Short() {
		t.Skip("emulating takes long: not in short mode")
	}
	for _, algorithm := range []string{"sdarts-adv"} {
		t.Run(algorithm, func(t *testing.T) {
			search := func(name string) []results.Epoch {
				config, err := benchmark.NewConfig("smoke", "2", algorithm)
				if err != nil {
					t.Fatal(err)
				}
				config.Epochs, config.Channels, config.Side, config.Limit, config.Batch, config.ProjectionBatches = 3, 4, 8, 20, 4, 1
				job := benchmark.Job{Config: config, Train: data.Procedural(20, 0), Oracle: nasbench.Default(), Engine: name, Threads: 1, Root: t.TempDir()}
				dir, err := job.Run(context.Background(), nil)
				if err != nil {
					t.Fatal(err)
				}
				h, err := results.Read(dir)
				if err != nil {
					t.Fatal(err)
				}
				return h.Epochs
			}
			want, got := search("cpu"), search("emulated")
			if len(got) != len(want) {
				t.Fatalf("%d epochs, want %d", len(got), len(want))
			}
			for i, w := range want {
				g := got[i]
				if (g.Search == nil) != (w.Search == nil) {
					t.Fatalf("epoch %d: different records", w.Epoch)
				}
				if g.Cell.Hash != w.Cell.Hash {
					t.Errorf("epoch %d: cell %s, on the CPU engine %s", w.Epoch, g.Cell.Hash, w.Cell.Hash)
				}
				if w.Search == nil { // the Final record
					continue
				}
				if d := math.Abs(g.Search.Loss - w.Search.Loss); d > 1e-3 {
					t.Errorf("epoch %d: loss %v on the search part, on the CPU engine %v", w.Epoch, g.Search.Loss, w.Search.Loss)
				}
			}
		})
	}
}

// The device makes the images that the host would have made, to the bit.
func TestAugment(t *testing.T) {
	orders := []emulator.Order{emulator.Forwards(), emulator.Shuffled(2)}
	rapid.Check(t, func(t *rapid.T) {
		set := data.Procedural(7, uint64(rapid.IntRange(0, 5).Draw(t, "images")))
		side := rapid.SampledFrom([]int{8, 16, 32}).Draw(t, "side")
		set, err := data.Downsample(set, side)
		if err != nil {
			t.Fatal(err)
		}
		queue := data.Queue{
			Name: "train", Seed: uint64(rapid.IntRange(0, 99).Draw(t, "seed")), Set: set, Images: []int{6, 0, 3, 5, 2}, BatchSize: 3,
			Transform: data.Transform{Normalization: data.ENASNormalization, Augment: rapid.Bool().Draw(t, "augment"),
				Cutout: rapid.SampledFrom([]float64{0, 0.7, 1}).Draw(t, "cutout")},
		}
		k := rapid.IntRange(0, 4).Draw(t, "batch")
		batch := func(raw bool) (b data.Batch) {
			queue.Raw = raw
			l, err := data.NewLoader(queue)
			if err != nil {
				t.Fatal(err)
			}
			l.Batch(&b, 1, k)
			return b
		}
		want := batch(false)
		raw := batch(true)
		if len(raw.Images) != 0 {
			t.Fatal("a raw batch has images")
		}
		for _, order := range orders {
			e, err := cuda.New(emulator.New(order))
			if err != nil {
				t.Fatal(err)
			}
			to, levels := e.NewVector(len(want.Images)), e.NewVector(3*256)
			r := raw.Recipe
			levels.Write(slices.Concat(r.Levels[0][:], r.Levels[1][:], r.Levels[2][:]))
			e.Augment(to, e.Hold(set.Images), side, levels, supernet.Crops(nil, r))
			got := make([]float64, to.Len())
			to.Read(got)
			if !slices.Equal(got, want.Images) {
				t.Fatalf("%s: other images", order)
			}
		}
	})
}
