package algorithms_test

import (
	"fmt"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/data"
)

func TestConformance(t *testing.T) {
	batches := func(a, b int) [2]data.Batch {
		return [2]data.Batch{algorithmstest.Batch(a), algorithmstest.Batch(b)}
	}
	for _, name := range algorithms.Names() {
		for id := 1; id <= 3; id++ {
			t.Run(fmt.Sprintf("%s/space %d", name, id), func(t *testing.T) {
				sp := space(t, id)
				net := func() algorithms.Supernet { return algorithmstest.NewQuadratic(sp, 5) }
				algorithmstest.Conform(t, name, sp, net, batches(3, 4), batches(7, 1))
			})
		}
	}
}
