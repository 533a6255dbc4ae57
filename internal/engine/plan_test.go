package engine_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/graph"
)

// TestSlotsHoldWhatIsNeeded follows which value each slot of memory holds
// through random plans, a run and two reruns: every operand must still be there
// when a step reads it, and every output at the end.
func TestSlotsHoldWhatIsNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := graph.New()
		nodes := []*graph.Node{g.Input("fixed", graph.Activation, 1, 4, 1, 1), g.Input("varying", graph.Activation, 1, 4, 1, 1)}
		pick := func() *graph.Node { return rapid.SampledFrom(nodes).Draw(t, "node") }
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			x := pick()
			var n *graph.Node
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				n = graph.NewReLU(x)
			case 1:
				n = graph.NewAdd(x, graph.NewReLU(x), x)
			case 2:
				n = graph.NewConcat(x, pick())
			default:
				n = graph.NewSlice(x, 0, 1+rapid.IntRange(0, x.Shape()[1]-1).Draw(t, "channels"))
			}
			nodes = append(nodes, n)
		}
		outputs := []*graph.Node{nodes[len(nodes)-1], pick()}
		plan, err := engine.NewPlan(g, outputs, "varying")
		if err != nil {
			t.Fatal(err)
		}

		holds := make([]int, len(plan.Slots))
		run := func(steps []engine.Step) {
			for _, s := range steps {
				for _, v := range s.Operands {
					if slot := plan.Values[v].Slot; slot >= 0 && holds[slot] != v {
						t.Fatalf("value %d was overwritten by %d before %s reads it", v, holds[slot], s.Kind)
					}
				}
				result := plan.Values[s.Result]
				for _, v := range s.Operands {
					if plan.Values[v].Slot == result.Slot {
						t.Fatalf("%s writes over its own operand", s.Kind)
					}
				}
				if result.Size() > plan.Slots[result.Slot] {
					t.Fatalf("slot %d is too small", result.Slot)
				}
				holds[result.Slot] = s.Result
			}
			for _, v := range plan.Outputs {
				if slot := plan.Values[v].Slot; slot >= 0 && holds[slot] != v {
					t.Fatalf("output %d was overwritten by %d", v, holds[slot])
				}
			}
		}
		run(plan.Steps)
		run(plan.Steps[plan.Split:])
		run(plan.Steps[plan.Split:])
		for i, s := range plan.Steps {
			if plan.Values[s.Result].Varies != (i >= plan.Split) {
				t.Fatalf("step %d is on the wrong side of the split", i)
			}
		}
	})
}

func TestGradientSumsAreFlattened(t *testing.T) {
	g := graph.New()
	x := g.Input("x", graph.Activation, 1, 2, 1, 1)
	r := graph.NewReLU(x)
	y := graph.NewAdd(graph.NewAdd(graph.NewAdd(r, x), x), x)
	plan, err := engine.NewPlan(g, []*graph.Node{y})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Steps) != 2 || len(plan.Steps[1].Operands) != 4 {
		t.Errorf("%d steps, the last over %d operands; want 2 and 4", len(plan.Steps), len(plan.Steps[len(plan.Steps)-1].Operands))
	}
}

func TestOpenUnknownEngine(t *testing.T) {
	_, err := engine.Open("abacus", 1)
	if err == nil || !strings.Contains(err.Error(), `no engine "abacus"`) {
		t.Errorf("error %v does not name the engine", err)
	}
}
