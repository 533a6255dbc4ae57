package algorithms_test

import (
	"fmt"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/supernet"
)

func TestConformance(t *testing.T) {
	batches := algorithmstest.Batches{
		algorithms.Train:   {algorithmstest.Batch(3), algorithmstest.Batch(4), algorithmstest.Batch(5)},
		algorithms.Search:  {algorithmstest.Batch(7), algorithmstest.Batch(1)},
		algorithms.TestSet: {algorithmstest.Batch(2)},
	}
	for _, name := range algorithms.Names() {
		for id := 1; id <= 3; id++ {
			t.Run(fmt.Sprintf("%s/space %d", name, id), func(t *testing.T) {
				sp := space(t, id)
				net := func(v supernet.Variant) algorithms.Supernet {
					return algorithmstest.NewQuadratic(supernet.Config{Space: sp, Cells: 3, Variant: v}.MixingLen(), 5)
				}
				algorithmstest.Conform(t, name, sp, net, batches)
			})
		}
	}
}
