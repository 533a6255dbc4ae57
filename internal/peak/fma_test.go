package peak_test

import (
	"math"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/internal/peak"
)

func TestPeak(t *testing.T) {
	one, isa := peak.FMA(1)
	if !slices.Contains([]string{"AVX-512", "AVX2", "plain C"}, isa) {
		t.Errorf("unknown instructions %q", isa)
	}
	if !(one > 0) || math.IsInf(one, 0) {
		t.Fatalf("peak of one thread is %v", one)
	}
	// Even where two threads share one core they are not slower than one thread.
	// Another process may take the cores for a while, so there are several tries.
	var two float64
	for range 5 {
		if two, _ = peak.FMA(2); two >= 0.8*one {
			t.Logf("%s: %.1f GFLOP/s on one thread, %.1f on two", isa, one, two)
			return
		}
	}
	t.Errorf("two threads reach %.1f GFLOP/s, one alone %.1f", two, one)
}

func TestPeakTakesAtLeastOneThread(t *testing.T) {
	if got, _ := peak.FMA(0); !(got > 0) {
		t.Errorf("peak of no threads is %v, want that of one", got)
	}
}
