package cuda_test

import (
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cuda"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/emulator"
	"github.com/nb1shot/nb1shot/internal/engine/enginetest"
)

func open(t *testing.T, d cuda.Driver) engine.Engine {
	t.Helper()
	e, err := cuda.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The engine on an emulated device, whose threads and blocks run in an order
// that nothing may depend on.
func TestConformance(t *testing.T) {
	orders := []emulator.Order{emulator.Shuffled(1), emulator.Forwards(), emulator.Backwards()}
	if testing.Short() {
		orders = orders[:1]
	}
	for _, order := range orders {
		t.Run(order.String(), func(t *testing.T) {
			enginetest.Conform(t, func(int) engine.Engine { return open(t, emulator.New(order)) }, 2e-5)
		})
	}
}
