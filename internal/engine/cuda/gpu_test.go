//go:build gpu

package cuda_test

import (
	"errors"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/enginetest"
	"github.com/nb1shot/nb1shot/internal/verify"
)

// needGPU skips a test where there is none.
func needGPU(t *testing.T) {
	t.Helper()
	if _, err := engine.Open("cuda", 1); err != nil {
		var closed *engine.OpenError
		if !errors.As(err, &closed) {
			t.Fatal(err)
		}
		t.Skipf("no GPU: %v", err)
	}
}

func TestConformanceOnGPU(t *testing.T) {
	needGPU(t)
	enginetest.Conform(t, func(int) engine.Engine {
		e, err := engine.Open("cuda", 1)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}, 2e-5)
}

func TestGoldenOnGPU(t *testing.T) {
	needGPU(t)
	all, err := verify.Run(t.Context(), verify.Embedded(), "cuda", 1, func(r verify.Result) {
		t.Logf("%-22s %s: worst %s: %.2g of %.2g %s", r.Case, r.Verdict, r.At, r.Error, r.Tolerance, r.Detail)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !verify.Passed(all) {
		t.Error("some cases fail")
	}
}
