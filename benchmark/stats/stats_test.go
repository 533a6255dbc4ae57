package stats

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/random"
)

var alternatives = map[string]Alternative{"two-sided": TwoSided, "greater": Greater, "less": Less}

// TestSciPy compares with what SciPy computes, see testdata/generate.py.
func TestSciPy(t *testing.T) {
	text, err := os.ReadFile("testdata/scipy.json")
	if err != nil {
		t.Fatal(err)
	}
	type test struct {
		Name, Alternative, Method string
		X, Y                      []float64
		P                         float64
	}
	var cases struct {
		Wilcoxon    []test
		MannWhitney []test `json:"mann_whitney"`
		Intervals   []struct {
			Method    string
			X         []float64
			Low, High float64
		}
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct {
		name  string
		cases []test
		run   func(x, y []float64, a Alternative) (Test, error)
	}{{"Wilcoxon", cases.Wilcoxon, Wilcoxon}, {"MannWhitney", cases.MannWhitney, MannWhitney}} {
		if len(kind.cases) < 30 {
			t.Errorf("%d cases of %s", len(kind.cases), kind.name)
		}
		for _, c := range kind.cases {
			t.Run(kind.name+"/"+c.Name+"/"+c.Alternative, func(t *testing.T) {
				got, err := kind.run(c.X, c.Y, alternatives[c.Alternative])
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(got.P-c.P) > 1e-10+1e-8*c.P {
					t.Errorf("p = %v, SciPy's is %v", got.P, c.P)
				}
				want := Exact
				if c.Method == "approx" || c.Method == "asymptotic" {
					want = Normal
				}
				if got.Method != want {
					t.Errorf("method %s, want %s", got.Method, want)
				}
			})
		}
	}
	for _, c := range cases.Intervals {
		of := map[string]func([]float64, func([]float64) float64, float64) (Interval, error){"percentile": Percentile, "BCa": BCa}[c.Method]
		got, err := of(c.X, Mean, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		// Both resample; the ends of an interval scatter by a few percent of its width.
		if width := c.High - c.Low; math.Abs(got.Low-c.Low) > 0.05*width || math.Abs(got.High-c.High) > 0.05*width {
			t.Errorf("%s of %d values: %v, SciPy's is %v to %v", c.Method, len(c.X), got, c.Low, c.High)
		}
	}
}

// TestWilcoxonTable checks the critical values of T that textbooks print: the
// largest sum of ranks that is significant two-sided.
func TestWilcoxonTable(t *testing.T) {
	tables := map[float64]map[int]int{
		0.05: {6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 11: 10, 12: 13, 13: 17, 14: 21, 15: 25, 16: 29, 17: 34, 18: 40, 19: 46, 20: 52, 21: 58, 22: 65, 23: 73, 24: 81, 25: 89},
		0.01: {8: 0, 9: 1, 10: 3, 11: 5, 12: 7, 13: 9, 14: 12, 15: 15, 16: 19, 17: 23, 18: 27, 19: 32, 20: 37, 21: 42, 22: 48, 23: 54, 24: 61, 25: 68},
	}
	for α, table := range tables {
		for n, critical := range table {
			// Ranks 1..n; those of the positive differences are chosen to sum up to the wanted T.
			p := func(sum int) float64 {
				x, y := make([]float64, n), make([]float64, n)
				for rank := n; rank >= 1; rank-- {
					x[rank-1] = -float64(rank)
					if rank <= sum {
						x[rank-1] = float64(rank)
						sum -= rank
					}
				}
				test, err := Wilcoxon(x, y, TwoSided)
				if err != nil || test.Method != Exact {
					t.Fatal(test, err)
				}
				return test.P
			}
			if at, above := p(critical), p(critical+1); at > α || above <= α {
				t.Errorf("n = %d, α = %v: p = %v at T = %d, %v at %d", n, α, at, critical, above, critical+1)
			}
		}
	}
}

// TestMannWhitneyTable checks the critical values of U that textbooks print.
func TestMannWhitneyTable(t *testing.T) {
	type size struct{ n, m int }
	tables := map[Alternative]map[size]int{
		TwoSided: {
			{4, 4}: 0, {5, 5}: 2, {6, 6}: 5, {7, 7}: 8, {8, 8}: 13, {9, 9}: 17, {10, 10}: 23, {12, 12}: 37, {15, 15}: 64, {20, 20}: 127,
			{5, 3}: 0, {5, 4}: 1, {5, 6}: 3, {5, 8}: 6, {5, 10}: 8, {5, 15}: 14, {5, 20}: 20,
			{10, 11}: 26, {10, 12}: 29, {10, 15}: 39, {10, 18}: 48, {10, 20}: 55,
		},
		Less: {{3, 3}: 0, {4, 4}: 1, {5, 5}: 4, {6, 6}: 7, {7, 7}: 11, {8, 8}: 15, {9, 9}: 21, {10, 10}: 27, {12, 12}: 42, {15, 15}: 72, {20, 20}: 138},
	}
	const α = 0.05
	for alternative, table := range tables {
		for s, critical := range table {
			// x begins below all of y; one x after the other is moved up past one y each.
			p := func(u int) float64 {
				x, y := make([]float64, s.n), make([]float64, s.m)
				for i := range y {
					y[i] = float64(i)
				}
				for i := s.n - 1; i >= 0; i-- {
					up := min(u, s.m)
					u -= up
					x[i] = float64(up) - 0.5 - 0.01*float64(s.n-i)
				}
				test, err := MannWhitney(x, y, alternative)
				if err != nil || test.Method != Exact || test.Ties {
					t.Fatal(test, err)
				}
				return test.P
			}
			if at, above := p(critical), p(critical+1); at > α || above <= α {
				t.Errorf("%v: p = %v at U = %d, %v at %d", s, at, critical, above, critical+1)
			}
		}
	}
}

// TestTextbookExamples: the depression scale factors and the permeabilities of
// Hollander and Wolfe (1973), pages 29 and 69, as the documentation of R works
// them out.
func TestTextbookExamples(t *testing.T) {
	before := []float64{1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30}
	after := []float64{0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29}
	term := []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	early := []float64{1.15, 0.88, 0.90, 0.74, 1.21}
	for _, c := range []struct {
		name    string
		test    func(x, y []float64, a Alternative) (Test, error)
		x, y    []float64
		want    float64
		p       float64
		against Alternative
	}{
		{"depression", Wilcoxon, before, after, 40, 0.01953, Greater},
		{"depression, two-sided", Wilcoxon, before, after, 40, 0.03906, TwoSided},
		{"permeability", MannWhitney, term, early, 35, 0.1272, Greater},
	} {
		got, err := c.test(c.x, c.y, c.against)
		if err != nil {
			t.Fatal(err)
		}
		if got.Statistic != c.want || math.Abs(got.P-c.p) > 0.00005 {
			t.Errorf("%s: statistic %v, p %v, want %v, %v", c.name, got.Statistic, got.P, c.want, c.p)
		}
	}
}

func TestHolm(t *testing.T) {
	for name, c := range map[string]struct{ p, want []float64 }{
		"four hypotheses": {[]float64{0.01, 0.04, 0.03, 0.005}, []float64{0.03, 0.06, 0.06, 0.02}},
		"none":            {nil, []float64{}},
		"one":             {[]float64{0.2}, []float64{0.2}},
		"capped":          {[]float64{0.5, 0.9, 0.6}, []float64{1, 1, 1}},
		"equal":           {[]float64{0.01, 0.01}, []float64{0.02, 0.02}},
	} {
		got, err := Holm(c.p)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(1e-12, 0)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEffectSizes(t *testing.T) {
	x, y := []float64{1, 2, 3, 4}, []float64{2, 2, 5}
	// Greater: 3 and 4 than both twos, 4 pairs; less: 1 than all, 2 and 3 and 4 than 5, 6 pairs.
	if δ, err := CliffDelta(x, y); err != nil || δ != (4.0-6.0)/12 {
		t.Errorf("Cliff's δ %v, %v", δ, err)
	}
	if a, err := A12(x, y); err != nil || a != (4+2*0.5)/12 {
		t.Errorf("A12 %v, %v", a, err)
	}
	// Differences 1, 2, 3, −4: (1+2+3−4)/10.
	if r, err := RankBiserial([]float64{1, 2, 3, 0}, []float64{0, 0, 0, 4}); err != nil || math.Abs(r-0.2) > 1e-15 {
		t.Errorf("rank-biserial %v, %v", r, err)
	}
	if r, err := RankBiserial(x, x); err != nil || r != 0 {
		t.Errorf("rank-biserial of equal samples %v, %v", r, err)
	}
	// Borenstein and others (2009), chapter 4: two groups of 50 with means 103 and
	// 100, standard deviations 5.5 and 4.5 give g = 0.5924.
	group := func(mean, std float64) (all []float64) {
		step := std * math.Sqrt(49.0/50)
		for i := range 50 {
			all = append(all, mean+step*float64(2*(i%2)-1))
		}
		return all
	}
	if g, err := HedgesG(group(103, 5.5), group(100, 4.5)); err != nil || math.Abs(g-0.5924) > 0.00005 {
		t.Errorf("Hedges' g %v, %v", g, err)
	}
	if _, err := HedgesG([]float64{1, 1}, []float64{2, 2}); err == nil {
		t.Error("Hedges' g of samples that do not vary")
	}
}

func TestMoments(t *testing.T) {
	x := []float64{2, 4, 4, 4, 5, 5, 7, 9}
	if Mean(x) != 5 || math.Abs(Std(x)-math.Sqrt(32.0/7)) > 1e-15 || Median(x) != 4.5 || Median(x[:3]) != 4 {
		t.Errorf("mean %v, std %v, medians %v, %v", Mean(x), Std(x), Median(x), Median(x[:3]))
	}
	if lower, upper := Quartiles([]float64{9, 1, 3, 2}); lower != 1.75 || upper != 4.5 {
		t.Errorf("quartiles %v, %v", lower, upper)
	}
	if lower, upper := Quartiles(x[:1]); lower != 2 || upper != 2 {
		t.Errorf("quartiles of one value %v, %v", lower, upper)
	}
	if lower, upper := Quartiles(nil); !math.IsNaN(lower) || !math.IsNaN(upper) {
		t.Errorf("quartiles of no values %v, %v", lower, upper)
	}
	if !math.IsNaN(Mean(nil)) || !math.IsNaN(Std(x[:1])) || !math.IsNaN(Median(nil)) {
		t.Error("no values have a mean, a deviation or a median")
	}
}

// TestWilcoxonRounding: steps that are equal but for the rounding of the
// subtraction are ties, and cancel.
func TestWilcoxonRounding(t *testing.T) {
	test, err := Wilcoxon([]float64{0.3, 0.1}, []float64{0.1, 0.3}, TwoSided)
	if err != nil || !test.Ties || test.Statistic != 1.5 || test.P != 1 {
		t.Errorf("%+v, %v", test, err)
	}
	test, err = Wilcoxon([]float64{0.8, 0.2, 0.5}, []float64{0.7, 0.1, 0.5}, Greater)
	if err != nil || !test.Ties || test.Zeros != 1 || test.N != 2 || test.P != 0.25 {
		t.Errorf("%+v, %v", test, err)
	}
	test, err = Wilcoxon([]float64{0, 1}, []float64{0, 1}, Less)
	if err != nil || test.N != 0 || test.Zeros != 2 || test.P != 1 {
		t.Errorf("%+v, %v", test, err)
	}
}

func TestFloors(t *testing.T) {
	for n := 1; n <= 12; n++ {
		x, y := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i] = float64(i + 1)
		}
		for _, a := range []Alternative{TwoSided, Greater} {
			paired, err := Wilcoxon(x, y, a)
			if err != nil || math.Abs(paired.P-WilcoxonFloor(n, a)) > 1e-15 {
				t.Errorf("%d pairs: p %v, floor %v, %v", n, paired.P, WilcoxonFloor(n, a), err)
			}
			for i := range y {
				y[i] = -float64(i)
			}
			ranked, err := MannWhitney(x, y, a)
			if err != nil || math.Abs(ranked.P-MannWhitneyFloor(n, n, a)) > 1e-12 {
				t.Errorf("%d and %d: p %v, floor %v, %v", n, n, ranked.P, MannWhitneyFloor(n, n, a), err)
			}
			clear(y)
		}
	}
	if WilcoxonFloor(0, Greater) != 1 || MannWhitneyFloor(0, 5, Greater) != 1 {
		t.Error("nothing has reached significance")
	}
}

// TestPower checks the simulation where the answer is known otherwise.
func TestPower(t *testing.T) {
	const α = 0.05
	// Without a shift it is the size of the test, here P(U ≥ 73) of 10 and 10.
	null, err := Power(10, 10, 0, α)
	if err != nil || math.Abs(null-0.0446) > 0.007 {
		t.Errorf("size %v, %v", null, err)
	}
	// One against one: x > y with probability Φ(d/√2), and p = 1/2.
	one, err := Power(1, 1, 1, 0.5)
	if want := 0.5 * math.Erfc(-0.5); err != nil || math.Abs(one-want) > 0.015 {
		t.Errorf("one against one: %v, want %v, %v", one, want, err)
	}
	// Three against three reach p = 1/20, which is significant at 5 %.
	if p, err := Power(3, 3, 100, α); err != nil || p != 1 {
		t.Errorf("power %v of an enormous shift, %v", p, err)
	}
	if p, err := Power(3, 3, 100, 0.01); err != nil || p != 0 {
		t.Errorf("power %v where no p is low enough, %v", p, err)
	}
	// Beyond the exact sizes: that of the z test times the efficiency 3/π.
	large, err := Power(100, 100, 0.3, α)
	z := 0.3*math.Sqrt(50*3/math.Pi) - 1.6449
	if want := 0.5 * math.Erfc(-z/math.Sqrt2); err != nil || math.Abs(large-want) > 0.02 {
		t.Errorf("100 against 100: %v, want about %v, %v", large, want, err)
	}
	previous := 0.0
	for _, n := range []int{3, 5, 10, 20, 30, 40} {
		p, err := Power(n, n, 1, α)
		if err != nil || p <= previous {
			t.Errorf("power %v at n = %d is not above %v, %v", p, n, previous, err)
		}
		previous = p
	}
}

// TestIntervalsCover: of many samples, about as many intervals as promised hold
// the true mean.
func TestIntervalsCover(t *testing.T) {
	stream := random.New(1, "test")
	for name, of := range map[string]func([]float64, func([]float64) float64, float64) (Interval, error){"percentile": Percentile, "BCa": BCa} {
		const samples = 200
		held := 0
		for range samples {
			x := make([]float64, 25)
			for i := range x {
				x[i] = stream.NormFloat64()
			}
			i, err := of(x, Mean, 0.9)
			if err != nil {
				t.Fatal(err)
			}
			if i.Low <= 0 && 0 <= i.High {
				held++
			}
		}
		if share := float64(held) / samples; share < 0.82 || share > 0.96 {
			t.Errorf("%s: %v of the intervals hold the mean, want 0.9", name, share)
		}
	}
	same, err := BCa([]float64{3, 3, 3}, Mean, 0.95)
	if err != nil || same != (Interval{3, 3}) {
		t.Errorf("interval %v of equal values, %v", same, err)
	}
}

func TestRefused(t *testing.T) {
	fine, bad := []float64{1, 2}, []float64{1, math.NaN()}
	for name, err := range map[string]error{
		"Wilcoxon of different sizes": second(Wilcoxon(fine, fine[:1], TwoSided)),
		"Wilcoxon of nothing":         second(Wilcoxon(nil, nil, TwoSided)),
		"Wilcoxon of NaN":             second(Wilcoxon(fine, bad, TwoSided)),
		"Mann–Whitney of nothing":     second(MannWhitney(fine, nil, TwoSided)),
		"Mann–Whitney of infinity":    second(MannWhitney([]float64{math.Inf(1)}, fine, TwoSided)),
		"Holm of NaN":                 second(Holm(bad)),
		"Holm of 2":                   second(Holm(fine)),
		"δ of nothing":                second(CliffDelta(nil, fine)),
		"A12 of NaN":                  second(A12(fine, bad)),
		"g of one":                    second(HedgesG(fine[:1], fine)),
		"rank-biserial of NaN":        second(RankBiserial(fine, bad)),
		"interval of one":             second(BCa(fine[:1], Mean, 0.95)),
		"interval of level 1":         second(Percentile(fine, Mean, 1)),
		"power of nothing":            second(Power(0, 3, 1, 0.05)),
		"power of too many":           second(Power(10_000, 1, 1, 0.05)),
		"power at level NaN":          second(Power(3, 3, 1, math.NaN())),
	} {
		if err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// few draws small whole numbers, so that there are ties, or any numbers.
func few(least, most int) *rapid.Generator[[]float64] {
	return rapid.Custom(func(t *rapid.T) []float64 {
		if rapid.Bool().Draw(t, "ties") {
			whole := rapid.SliceOfN(rapid.IntRange(-4, 4), least, most).Draw(t, "whole")
			x := make([]float64, len(whole))
			for i, v := range whole {
				x[i] = float64(v)
			}
			return x
		}
		return rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), least, most).Draw(t, "any")
	})
}

// TestRankTestProperties: symmetry under the exchange of the samples, no
// dependence on order, p in (0,1], two-sided twice the smaller side.
func TestRankTestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := few(1, 70).Draw(t, "x")
		var y []float64
		test := MannWhitney
		paired := rapid.Bool().Draw(t, "paired")
		if paired {
			test = Wilcoxon
			y = few(len(x), len(x)).Draw(t, "y")
		} else {
			y = few(1, 40).Draw(t, "y")
		}
		p := func(x, y []float64, a Alternative) float64 {
			r, err := test(x, y, a)
			if err != nil {
				t.Fatal(err)
			}
			if !(r.P > 0 && r.P <= 1) {
				t.Fatalf("p = %v", r.P)
			}
			return r.P
		}
		greater, less, both := p(x, y, Greater), p(x, y, Less), p(x, y, TwoSided)
		close := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(a, b) }
		if !close(greater, p(y, x, Less)) || !close(both, p(y, x, TwoSided)) {
			t.Fatal("the samples cannot be exchanged")
		}
		if !close(both, min(1, 2*min(greater, less))) {
			t.Fatalf("two-sided %v, one-sided %v and %v", both, greater, less)
		}
		order := rapid.Permutation(indices(len(x))).Draw(t, "order")
		px, py := permuted(x, order), y
		if paired {
			py = permuted(y, order)
		}
		if !close(greater, p(px, py, Greater)) {
			t.Fatal("p depends on the order")
		}
	})
}

// TestExactAgainstEnumeration goes through all signs, and all ways to part the
// values, ties included.
func TestExactAgainstEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := few(1, 7).Draw(t, "x"), few(1, 6).Draw(t, "y")
		u, err := MannWhitney(x, y, Greater)
		if err != nil {
			t.Fatal(err)
		}
		all := slices.Concat(x, y)
		more, ways := 0, 0
		for set := range 1 << len(all) {
			var in, out []float64
			for i, v := range all {
				if set>>i&1 == 1 {
					in = append(in, v)
				} else {
					out = append(out, v)
				}
			}
			if len(in) != len(x) {
				continue
			}
			ways++
			δ := 0.0
			if len(out) > 0 {
				δ, _ = CliffDelta(in, out)
			}
			if own, _ := CliffDelta(x, y); δ >= own-1e-12 {
				more++
			}
		}
		if want := float64(more) / float64(ways); math.Abs(u.P-want) > 1e-12 {
			t.Fatalf("Mann–Whitney p %v, by enumeration %v", u.P, want)
		}

		zeros := make([]float64, len(x))
		w, err := Wilcoxon(x, zeros, Greater)
		if err != nil {
			t.Fatal(err)
		}
		more = 0
		for signs := range 1 << len(x) {
			flipped := slices.Clone(x)
			for i := range flipped {
				if signs>>i&1 == 1 {
					flipped[i] = -flipped[i]
				}
			}
			if f, _ := Wilcoxon(flipped, zeros, Greater); f.Statistic >= w.Statistic {
				more++
			}
		}
		if want := float64(more) / float64(int(1)<<len(x)); math.Abs(w.P-want) > 1e-12 {
			t.Fatalf("Wilcoxon p %v, by enumeration %v", w.P, want)
		}
	})
}

func TestHolmProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 12).Draw(t, "p")
		corrected, err := Holm(p)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p {
			if corrected[i] < p[i] || corrected[i] > min(1, float64(len(p))*p[i]) {
				t.Fatalf("%v becomes %v in a family of %d", p[i], corrected[i], len(p))
			}
			for j := range p {
				if p[i] < p[j] && corrected[i] > corrected[j] {
					t.Fatal("the order of the p-values changes")
				}
			}
		}
		order := rapid.Permutation(indices(len(p))).Draw(t, "order")
		again, err := Holm(permuted(p, order))
		if err != nil || !slices.Equal(again, permuted(corrected, order)) {
			t.Fatal("the correction depends on the order")
		}
	})
}

func TestEffectProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := few(2, 20).Draw(t, "x"), few(2, 20).Draw(t, "y")
		δ, _ := CliffDelta(x, y)
		back, _ := CliffDelta(y, x)
		a, _ := A12(x, y)
		u, err := MannWhitney(x, y, TwoSided)
		if err != nil {
			t.Fatal(err)
		}
		if δ != -back || δ < -1 || δ > 1 || math.Abs(a-u.Statistic/float64(len(x)*len(y))) > 1e-12 {
			t.Fatalf("δ %v and %v, A12 %v, U %v", δ, back, a, u.Statistic)
		}
		if g, err := HedgesG(x, y); err == nil {
			if back, err := HedgesG(y, x); err != nil || math.Abs(g+back) > 1e-9*math.Abs(g) {
				t.Fatalf("g %v and %v", g, back)
			}
		}
	})
}

// TestIntervalProperties: deterministic, whatever the order, within the values,
// and around the estimate.
func TestIntervalProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := few(2, 8).Draw(t, "x")
		i, err := BCa(x, Mean, 0.9)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := BCa(permuted(x, rapid.Permutation(indices(len(x))).Draw(t, "order")), Mean, 0.9)
		slack := 1e-9 * (1 + math.Abs(slices.Max(x)) + math.Abs(slices.Min(x)))
		if i != again || i.Low > i.High || i.Low < slices.Min(x)-slack || i.High > slices.Max(x)+slack {
			t.Fatalf("%v and %v of %v", i, again, x)
		}
	})
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func permuted(x []float64, order []int) []float64 {
	p := make([]float64, len(x))
	for i, j := range order {
		p[i] = x[j]
	}
	return p
}

func ExampleMannWhitney() {
	before := []float64{6.4, 6.9, 7.1, 6.6, 6.5, 7.0}
	after := []float64{7.4, 7.2, 8.9, 7.9, 6.8, 7.7}
	t, _ := MannWhitney(after, before, Greater)
	δ, _ := CliffDelta(after, before)
	fmt.Printf("p = %.4f (%s), δ = %.2f\n", t.P, t.Method, δ)
	// Output: p = 0.0076 (exact), δ = 0.83
}
