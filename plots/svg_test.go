package plots

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
)

func TestCompactPath(t *testing.T) {
	for d, want := range map[string]string{
		"M24.756,606.74L44.756,606.74":             "M24.76,606.74h20",
		"M1,2L1,-8.333":                            "M1,2v-10.33",
		"M0.5,-0.25L10.5,0.75L11,0.5":              "M.5,-.25l10,1 .5,-.25",
		"M0,0L1,0.01L2,-0.01L3,0":                  "M0,0h3",
		"M0,0L1,0.2L2,-0.2L3,0":                    "M0,0l1,.2 1,-.4 1,.2",
		"M0,0L5,0L0,0":                             "M0,0h5 -5",
		"M0,0L2,0L2,2L0,2ZM5,5L6,6L7,5Z":           "M0,0h2v2h-2zM5,5l1,1 1,-1z",
		"M0,0L0.004,0L0.008,0L0.012,0":             "M0,0h.01",
		"M0,0L100,1e-05":                           "M0,0h100",
		"M0.333,0L1.666,1L2.999,3L4.332,0L5.665,9": "M.33,0l1.34,1 1.33,2 1.33,-3 1.34,9",
	} {
		if got, ok := compactPath(d); !ok || got != want {
			t.Errorf("%s: %s, %v, want %s", d, got, ok, want)
		}
	}
	for _, d := range []string{"M", "M1", "M1,2L", "M1,2L3,x"} {
		if got, ok := compactPath(d); ok {
			t.Errorf("%s: %s", d, got)
		}
	}
}

// What is left out of a line lies beside it by no more than the tolerance.
func TestSimplify(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		step := rapid.SampledFrom([]float64{0.01, 0.1, 3}).Draw(t, "step")
		points := []vg.Point{{}}
		for _, turn := range rapid.SliceOfN(rapid.Float64Range(-1, 1), 0, 60).Draw(t, "turns") {
			last := points[len(points)-1]
			sin, cos := math.Sincos(3 * turn * turn * turn)
			points = append(points, vg.Point{X: last.X + vg.Length(step*cos), Y: last.Y + vg.Length(step*sin)})
		}
		kept := simplify(points)
		if kept[0] != points[0] || kept[len(kept)-1] != points[len(points)-1] {
			t.Fatalf("from %v to %v", kept[0], kept[len(kept)-1])
		}
		at := 0 // of the piece that a point is beside; they follow each other
		for i, p := range points {
			for at+2 < len(kept) && beside(p, kept[at], kept[at+1]) > tolerance*1.5 {
				at++
			}
			if d := beside(p, kept[at], kept[min(at+1, len(kept)-1)]); d > tolerance*1.5 {
				t.Fatalf("point %d, %v, is %v off", i, p, d)
			}
		}
	})
}

// beside is how far a point is from the piece between a and b.
func beside(p, a, b vg.Point) vg.Length {
	along := b.Sub(a)
	where := vg.Length(0)
	if long := along.Dot(along); long > 0 {
		where = min(max(p.Sub(a).Dot(along)/long, 0), 1)
	}
	d := p.Sub(vg.Point{X: a.X + where*along.X, Y: a.Y + where*along.Y})
	return vg.Length(math.Hypot(float64(d.X), float64(d.Y)))
}

// Figures of three algorithms on two spaces of the recorded study have at most 100 kB, and so have those of long
// runs of the largest space; with all algorithms it is twice that.
func TestSizeOfSVG(t *testing.T) {
	dirs, err := filepath.Glob("../results/study/s*-seed*")
	if err != nil || len(dirs) < 9 {
		t.Fatalf("%d runs, %v", len(dirs), err)
	}
	var runs []*results.History
	for _, dir := range dirs {
		h, err := results.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, h)
	}
	curves := slices.DeleteFunc(group(t, runs...), func(c results.Curve) bool { return c.Space != "1" && c.Space != "2" })
	three := slices.DeleteFunc(slices.Clone(curves), func(c results.Curve) bool {
		return !slices.Contains([]string{"darts", "sdarts-rs", "sdarts-adv"}, c.Algorithm)
	})
	long := withAlphas(t, "3", 150)
	draws := random.New(0, "plots test")
	for _, e := range long.Epochs {
		for _, a := range e.Alphas {
			for _, row := range a.Rows {
				for i := range row {
					row[i] += 0.02 * draws.NormFloat64()
				}
			}
		}
	}
	for name, test := range map[string]struct {
		draw func() (*Figure, error)
		most int
	}{
		"test error":      {func() (*Figure, error) { return AnytimeTestError(three, Options{}) }, 100_000},
		"Hessian":         {func() (*Figure, error) { return HessianTrajectory(three, Options{}) }, 100_000},
		"alphas":          {func() (*Figure, error) { return Alphas(long, Options{}) }, 100_000},
		"test error, all": {func() (*Figure, error) { return AnytimeTestError(curves, Options{}) }, 200_000},
		"Hessian, all":    {func() (*Figure, error) { return HessianTrajectory(curves, Options{}) }, 200_000},
	} {
		f, err := test.draw()
		if err != nil {
			t.Fatal(err)
		}
		svg, err := f.encode("svg")
		if err != nil {
			t.Fatal(err)
		}
		if len(svg) > test.most || !bytes.Contains(svg, []byte("@font-face")) {
			t.Errorf("%s: %d bytes of SVG with its font, want at most %d", name, len(svg), test.most)
		}
	}
}
