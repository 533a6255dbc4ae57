package cuda_test

import (
	"context"
	"math"
	"testing"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	_ "github.com/nb1shot/nb1shot/engine/cpu" // to compare with
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
)

// A search of three epochs finds the cells that it finds on the CPU engine.
func TestSearchAgreesWithCPU(t *testing.T) {
	if testing.Short() {
		t.Skip("emulating takes long")
	}
	for _, algorithm := range []string{"sdarts-adv"} {
		t.Run(algorithm, func(t *testing.T) {
			search := func(engine string) []results.Epoch {
				config, err := benchmark.NewConfig("quick", 2, algorithm)
				if err != nil {
					t.Fatal(err)
				}
				config.Epochs, config.Channels, config.Side, config.Images, config.Batch, config.ProjectionBatches = 3, 4, 8, 20, 4, 1
				job := benchmark.Job{Config: config, Images: data.Procedural(20, 0), Oracle: nasbench.Default(), Engine: engine, Threads: 1, Root: t.TempDir()}
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
