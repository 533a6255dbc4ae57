package stability

import (
	"bytes"
	"encoding/csv"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/random"
)

// population draws the measures of one run.
type population func(*rand.Rand) Measures

// recorded are the populations of testdata/measures.csv, by space: the measures of
// 14 algorithms with a Hessian, three seeds each, on CIFAR-10 with the smoke
// preset and the means of NAS-Bench-101, as stability --json prints them. They
// have all that makes tests difficult: two heaps of final errors, long tails, ties.
// A draw is one run with all its measures, as they belong together.
func recorded(t *testing.T) map[int]population {
	t.Helper()
	text, err := os.ReadFile("testdata/measures.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	runs := map[int][]Measures{}
	for _, row := range rows[1:] {
		space, err := strconv.Atoi(row[0])
		if err != nil {
			t.Fatal(err)
		}
		m := Measures{}
		for i, text := range row[3:] {
			if m[Name(rows[0][3+i])], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
		runs[space] = append(runs[space], m)
	}
	all := map[int]population{}
	for space, runs := range runs {
		if len(runs) != 42 {
			t.Fatalf("space %d has %d runs", space, len(runs))
		}
		all[space] = func(stream *rand.Rand) Measures { return runs[stream.IntN(len(runs))] }
	}
	return all
}

// normal draws independent normally distributed measures of variance 1.
func normal(stream *rand.Rand) Measures {
	m := Measures{}
	for _, name := range Gated {
		m[name] = stream.NormFloat64()
	}
	return m
}

// sampleOf draws n runs and adds shift standard deviations to the named measures.
func sampleOf(p population, n int, stream *rand.Rand, shift float64, std Measures, names ...Name) map[uint64]Measures {
	all := map[uint64]Measures{}
	for seed := range n {
		m := Measures{}
		for name, x := range p(stream) {
			m[name] = x
		}
		for _, name := range names {
			m[name] += shift * std[name]
		}
		all[uint64(seed)] = m
	}
	return all
}

// deviations are the standard deviations of a population.
func deviations(p population, stream *rand.Rand) Measures {
	drawn := map[Name][]float64{}
	for range 5000 {
		for name, x := range p(stream) {
			drawn[name] = append(drawn[name], x)
		}
	}
	std := Measures{}
	for name, x := range drawn {
		std[name] = stats.Std(x)
	}
	return std
}

// simulated are shared, as they take their time.
var simulated = powers{}

func mustTest(t *testing.T, baseline, runs map[uint64]Measures) map[Name]GateTest {
	t.Helper()
	tests, err := testMeasures(baseline, runs, 0.05, simulated)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[Name]GateTest{}
	for _, one := range tests {
		byName[one.Measure] = one
	}
	return byName
}

// TestFalseAlarms: of 200 comparisons of a population with itself, at most 5 %
// call any measure worse.
func TestFalseAlarms(t *testing.T) {
	const comparisons = 200
	populations := recorded(t)
	stream := random.New(0, "test/false-alarms")
	alarms := 0
	for i := range comparisons {
		p := populations[1+i%3]
		n, m := 5+stream.IntN(8), 5+stream.IntN(8)
		for _, test := range mustTest(t, sampleOf(p, m, stream, 0, nil), sampleOf(p, n, stream, 0, nil)) {
			if test.Verdict == Degraded {
				alarms++
				break
			}
			if test.Verdict != Pass {
				t.Fatalf("%s: %s", test.Measure, test)
			}
		}
	}
	t.Logf("%d false alarms in %d comparisons", alarms, comparisons)
	if alarms > comparisons*5/100 {
		t.Errorf("%d false alarms in %d comparisons, more than 5 %%", alarms, comparisons)
	}
}

// TestStatedPower: a measure that is worse by one standard deviation is found as
// often as the report says, within three standard errors of the count.
func TestStatedPower(t *testing.T) {
	const comparisons = 400
	for _, size := range []struct{ n, m int }{{10, 10}, {20, 20}, {6, 15}} {
		stream := random.New(0, "test/power", uint64(size.n), uint64(size.m))
		std := Measures{FinalError: 1}
		found, stated := 0, 0.0
		for range comparisons {
			test := mustTest(t, sampleOf(normal, size.m, stream, 0, nil), sampleOf(normal, size.n, stream, 1, std, FinalError))[FinalError]
			stated = test.Power
			if test.Verdict == Degraded {
				found++
			}
		}
		observed := float64(found) / comparisons
		t.Logf("%d against %d: stated %.3f, observed %.3f", size.n, size.m, stated, observed)
		if se := math.Sqrt(stated * (1 - stated) / comparisons); stated < 0.2 || math.Abs(observed-stated) > 3*se {
			t.Errorf("%d against %d: stated %.3f, observed %.3f ± %.3f", size.n, size.m, stated, observed, se)
		}
	}
}

// TestPowerOnRecordedMeasures: recorded measures are not normally distributed. In
// two heaps a shift of one standard deviation may end between them, so that a
// measure alone is found less often than stated, though never less than half as
// often; where all measures are worse, as a broken search makes them, the gate
// fails at least as often as stated.
func TestPowerOnRecordedMeasures(t *testing.T) {
	const comparisons, n = 100, 10
	for space, p := range recorded(t) {
		stream := random.New(0, "test/recorded", uint64(space))
		std := deviations(p, stream)
		stated := 0.0
		observe := func(shifted ...Name) float64 {
			found := 0
			for range comparisons {
				tests := mustTest(t, sampleOf(p, n, stream, 0, nil), sampleOf(p, n, stream, 1, std, shifted...))
				stated = tests[FinalError].Power
				for _, name := range shifted {
					if tests[name].Verdict == Degraded {
						found++
						break
					}
				}
			}
			return float64(found) / comparisons
		}
		for _, name := range Gated {
			observed := observe(name)
			t.Logf("space %d, %s: stated %.2f, observed %.2f", space, name, stated, observed)
			if se := math.Sqrt(stated * (1 - stated) / comparisons); observed < stated/2-3*se {
				t.Errorf("space %d, %s: stated %.3f, observed %.3f ± %.3f", space, name, stated, observed, se)
			}
		}
		observed := observe(Gated...)
		t.Logf("space %d, all measures: stated %.2f, observed %.2f", space, stated, observed)
		if observed < stated {
			t.Errorf("space %d, all measures: stated %.3f, observed %.3f", space, stated, observed)
		}
	}
}
