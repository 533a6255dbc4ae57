package cpu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// The kernels at the sizes of the paper's network, 8 images on one thread, for
// each instruction set of the machine; benchstat -col /set compares them. GFLOP/s
// count direct convolution.

const benchBatch = 8

// planeSizes are the channels and sides of the three resolutions.
var planeSizes = []struct{ channels, side int }{{16, 32}, {32, 17}, {64, 9}}

// benchmark runs the computation of a node from random inputs.
func benchmark(b *testing.B, build func(b *testing.B, g *graph.Graph) *graph.Node) {
	for _, set := range cpu.InstructionSets() {
		b.Run("set="+strings.ReplaceAll(set, " ", "-"), func(b *testing.B) {
			g := graph.New()
			plan, err := engine.NewPlan(g, []*graph.Node{build(b, g)})
			if err != nil {
				b.Fatal(err)
			}
			e, err := cpu.New(1, set)
			if err != nil {
				b.Fatal(err)
			}
			inputs := map[string]engine.Vector{}
			for _, v := range plan.Values {
				if v.Input != "" {
					numbers := make([]float64, v.Size())
					for i := range numbers {
						numbers[i] = float64(i*7919%1009)/1009 - 0.5
					}
					inputs[v.Input] = e.NewVector(v.Size())
					inputs[v.Input].Write(numbers)
				}
			}
			p, err := e.Compile(plan, inputs, []engine.Vector{e.NewVector(plan.Values[plan.Outputs[0]].Size())})
			if err != nil {
				b.Fatal(err)
			}
			p.Run()
			for b.Loop() {
				p.Run()
			}
			if f := plan.FLOPs(); f > 0 {
				b.ReportMetric(f*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			}
		})
	}
}

// chain applies f several times, so that moving the data in and out counts little.
func chain(x *graph.Node, times int, f func(x *graph.Node) *graph.Node) *graph.Node {
	for range times {
		x = f(x)
	}
	return graph.NewMean(x)
}

func BenchmarkConv(b *testing.B) {
	for _, k := range []int{1, 3} {
		for _, s := range planeSizes {
			b.Run(fmt.Sprintf("%d×%d/%d@%d", k, k, s.channels, s.side), func(b *testing.B) {
				benchmark(b, func(b *testing.B, g *graph.Graph) *graph.Node {
					w := g.Input("w", graph.Parameter, s.channels, s.channels, k, k)
					return chain(g.Input("x", graph.Activation, benchBatch, s.channels, s.side, s.side), 20,
						func(x *graph.Node) *graph.Node { return graph.NewConv(x, w) })
				})
			})
		}
	}
}

// The projections of a cell's input: 4 blocks in, 8 out.
func BenchmarkProjection(b *testing.B) {
	for _, s := range planeSizes {
		b.Run(fmt.Sprintf("%d@%d", s.channels, s.side), func(b *testing.B) {
			benchmark(b, func(b *testing.B, g *graph.Graph) *graph.Node {
				w := g.Input("w", graph.Parameter, 8*s.channels, 4*s.channels, 1, 1)
				return chain(g.Input("x", graph.Activation, benchBatch, 4*s.channels, s.side, s.side), 10,
					func(x *graph.Node) *graph.Node { return graph.NewSlice(graph.NewConv(x, w), 0, 4*s.channels) })
			})
		})
	}
}

func BenchmarkConvWeight(b *testing.B) {
	for _, k := range []int{1, 3} {
		for _, s := range planeSizes {
			b.Run(fmt.Sprintf("%d×%d/%d@%d", k, k, s.channels, s.side), func(b *testing.B) {
				benchmark(b, func(b *testing.B, g *graph.Graph) *graph.Node {
					w := g.Input("w", graph.Parameter, s.channels, s.channels, k, k)
					y := chain(g.Input("x", graph.Activation, benchBatch, s.channels, s.side, s.side), 10,
						func(x *graph.Node) *graph.Node { return graph.NewConv(x, w) })
					seed := g.Input("seed", graph.Activation, benchBatch, s.channels, 1, 1)
					grads, err := g.Gradients(y, seed, []*graph.Node{w})
					if err != nil {
						b.Fatal(err)
					}
					return grads[0]
				})
			})
		}
	}
}

func BenchmarkMaxPool(b *testing.B) {
	for _, s := range planeSizes {
		b.Run(fmt.Sprintf("%d@%d", s.channels, s.side), func(b *testing.B) {
			benchmark(b, func(b *testing.B, g *graph.Graph) *graph.Node {
				return chain(g.Input("x", graph.Activation, benchBatch, s.channels, s.side, s.side), 20,
					func(x *graph.Node) *graph.Node { return graph.NewMaxPool(x, 3, 1, 1) })
			})
		})
	}
}

func BenchmarkMaxPoolBack(b *testing.B) {
	for _, s := range planeSizes {
		b.Run(fmt.Sprintf("%d@%d", s.channels, s.side), func(b *testing.B) {
			benchmark(b, func(b *testing.B, g *graph.Graph) *graph.Node {
				x := g.Input("x", graph.Activation, benchBatch, s.channels, s.side, s.side)
				y := chain(x, 10, func(x *graph.Node) *graph.Node { return graph.NewMaxPool(x, 3, 1, 1) })
				seed := g.Input("seed", graph.Activation, benchBatch, s.channels, 1, 1)
				grads, err := g.Gradients(y, seed, []*graph.Node{x})
				if err != nil {
					b.Fatal(err)
				}
				return graph.NewMean(grads[0])
			})
		})
	}
}
