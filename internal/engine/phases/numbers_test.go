package phases

import (
	"testing"

	"pgregory.net/rapid"
)

// Executing the instructions in the order of the waves, those of a wave in any
// order, gives what executing them as they were registered gives.
func TestWavesKeepDependencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const inputs = 3
		n := rapid.IntRange(1, 30).Draw(t, "instructions")
		var list []Numbers
		for i := range n { // each writes a pair of doubles of its own
			operand := func(name string) Address { return 16 * Address(1+rapid.IntRange(0, inputs+i-1).Draw(t, name)) }
			h := Numbers{Kind: NumbersAdd, N: 2, Step: 1, To: 16 * Address(1+inputs+i), A: operand("a"), B: operand("b")}
			if rapid.Bool().Draw(t, "splat") {
				h.Kind, h.Step, h.B = NumbersCopy, 0, 0
			}
			list = append(list, h)
		}
		run := func(list []Numbers) []float64 {
			memory := make([]float64, 2*(1+inputs+n))
			for i := range 2 * (1 + inputs) {
				memory[i] = float64(i)
			}
			for _, h := range list {
				for i := range Address(h.N) {
					x := memory[h.A/8+Address(h.Step)*i]
					if h.Kind == NumbersAdd {
						x += memory[h.B/8+i]
					}
					memory[h.To/8+i] = x
				}
			}
			return memory
		}
		want := run(list)
		waves(list, 5)
		last := int32(5)
		for from := 0; from < n; { // each wave backwards
			to := from
			for to < n && list[to].Wave == list[from].Wave {
				to++
			}
			if list[from].Wave < last {
				t.Fatalf("wave %d after %d", list[from].Wave, last)
			}
			last = list[from].Wave + 1
			for i, j := from, to-1; i < j; i, j = i+1, j-1 {
				list[i], list[j] = list[j], list[i]
			}
			from = to
		}
		for i, x := range run(list) {
			if x != want[i] {
				t.Fatalf("double %d is %v instead of %v", i, x, want[i])
			}
		}
	})
}
