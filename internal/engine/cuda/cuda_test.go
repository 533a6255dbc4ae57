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

// The engine on emulated devices, whose threads and blocks run in an order that nothing may
// depend on: another one on each of those that the suite compares bit by bit.
func TestConformance(t *testing.T) {
	orders := []emulator.Order{emulator.Shuffled(1), emulator.Forwards(), emulator.Backwards(), emulator.Shuffled(2)}
	enginetest.Conform(t, func(threads int) engine.Engine { return open(t, emulator.New(orders[threads-1])) }, 2e-5)
}
