package cpu_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
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

// Depthwise kernels beside what memory allows: both read and write as much, the one that
// is measured and one that does nothing else, in turn, on so many images that no cache has
// them again. The metrics are the rates of both and the share of the one in the other, by
// the fastest of all turns. Memory's is that of copying past the caches; for gradients of
// kernels, which write next to nothing, that of the inner products of two activations.
func BenchmarkDepthwise(b *testing.B) {
	const images = 1024 // 64 MiB of each activation
	for _, kind := range []struct {
		name string
		kind int32
	}{{"forward", phases.OpDepth}, {"data", phases.OpDepthBack}, {"weight", phases.OpDepthWeight}} {
		for _, k := range []int{3, 5} {
			for _, d := range []int{1, 2} {
				for _, s := range []struct{ channels, side int }{{16, 32}, {32, 16}, {64, 8}} {
					b.Run(fmt.Sprintf("%s/%d×%d/dilation=%d/%d@%d", kind.name, k, k, d, s.channels, s.side), func(b *testing.B) {
						side, planes, pixels := int32(s.side), s.channels/phases.Lanes, s.side*s.side
						kernel := cpu.Instruction{Images: images * 16 * 32 * 32 / s.channels / pixels, In: planes, InPixels: pixels, AuxPixels: pixels, OutPixels: pixels,
							Op: phases.Op{Kind: kind.kind, H: side, W: side, OH: side, OW: side, K: int32(k), Stride: 1, Pad: int32(d * (k - 1) / 2), Dilation: int32(d)}}
						memory := kernel
						memory.Op = phases.Op{H: side, W: side}
						if kind.kind == phases.OpDepthWeight {
							kernel.Aux, kernel.Gradients = planes, planes*k*k*phases.Lanes
							memory.Kind, memory.Aux, memory.Reduce = phases.OpReduce, planes, true
						} else {
							kernel.Out, kernel.Far, kernel.Weights = planes, 1, planes*k*k*phases.Lanes
							memory.Kind, memory.Out = phases.OpStream, planes
						}
						beside(b, kernel, memory)
					})
				}
			}
		}
	}
}

// beside measures an instruction in turn with one that is as fast as memory, on one thread.
func beside(b *testing.B, kernel, memory cpu.Instruction) {
	if kernel.Bytes() != memory.Bytes() {
		b.Fatalf("%d bytes beside %d", kernel.Bytes(), memory.Bytes())
	}
	e, err := cpu.New(1, cpu.InstructionSets()[0])
	if err != nil {
		b.Fatal(err)
	}
	run, copied := kernel.Ready(e), memory.Ready(e)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := [2]time.Duration{1 << 62, 1 << 62}
	for b.Loop() {
		for i, f := range []func(){run, copied} {
			start := elapsed()
			f()
			best[i] = min(best[i], elapsed()-start)
		}
	}
	rate := func(d time.Duration) float64 { return float64(kernel.Bytes()) / d.Seconds() / 1e9 }
	b.ReportMetric(float64(kernel.Bytes())/(1<<20), "MiB")
	b.ReportMetric(rate(best[0]), "GB/s")
	b.ReportMetric(rate(best[1]), "GB/s-memory")
	b.ReportMetric(100*rate(best[0])/rate(best[1]), "%-of-memory")
}
