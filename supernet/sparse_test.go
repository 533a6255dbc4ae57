package supernet_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
)

// TestForwardSparse compares architectures, with loose ends and of the projection alone,
// with the pass that computes everything, on kernels of all kinds.
func TestForwardSparse(t *testing.T) {
	engines := map[string]engine.Engine{"ref": ref.New[float64](2)}
	for _, set := range cpu.InstructionSets() {
		engines[set] = newCPU(t, 2, set)
	}
	for name, e := range engines {
		for _, s := range nb1shot1.All() {
			for what, variant := range map[string]supernet.Variant{"plain": {}, "partial": {Partial: 4}, "sampled": {Sampled: true}} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, s.Name(), what), func(t *testing.T) {
					of := shape{s.Number(), 4, 3, 8, 5}
					net := of.variant(t, e, variant)
					b := of.images()
					for i := range 6 {
						weights := s.DiscreteWeights(s.Sample(random.New(1, "sparse", uint64(i))))
						if i == 0 {
							clear(weights)
							weights[s.OutputOffset()] = 1
						}
						mixing := slices.Repeat(weights, net.Config().MixingLen()/len(weights))
						want, err := net.Forward(b, mixing, supernet.RunningStatistics)
						if err != nil {
							t.Fatal(err)
						}
						logits := slices.Clone(want.Logits)
						got, err := net.ForwardSparse(b, mixing)
						if err != nil {
							t.Fatal(err)
						}
						if got.Loss != want.Loss || got.Correct != want.Correct || !slices.Equal(got.Logits, logits) {
							t.Errorf("cell %d: loss %v, %d correct, logits %v, want %v, %d, %v", i, got.Loss, got.Correct, got.Logits[:3], want.Loss, want.Correct, logits[:3])
						}
					}
				})
			}
		}
	}
}
