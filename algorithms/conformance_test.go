package algorithms_test

import (
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
)

func TestConformance(t *testing.T) {
	for _, name := range algorithms.Names() {
		t.Run(name, func(t *testing.T) { algorithmstest.ConformOnEverySpace(t, name) })
	}
}
