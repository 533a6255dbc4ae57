package cpu_test

import (
	"testing"

	"github.com/nb1shot/nb1shot/engine"
	"github.com/nb1shot/nb1shot/engine/cpu"
	"github.com/nb1shot/nb1shot/engine/enginetest"
)

// open returns engines that use the instruction set.
func open(t *testing.T, set string) func(threads int) engine.Engine {
	return func(threads int) engine.Engine {
		e, err := cpu.New(threads, set)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
}

func TestConformance(t *testing.T) {
	for _, set := range cpu.InstructionSets() {
		t.Run(set, func(t *testing.T) { enginetest.Conform(t, open(t, set), 2e-5) })
	}
}
