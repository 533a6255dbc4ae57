package claims

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/spaces"
)

// The algorithms of the claims.
var (
	baselines  = []string{"enas", "darts", "gdas", "nasp", "pc-darts"}
	relaxed    = []string{"darts", "gdas", "nasp", "pc-darts"} // the baselines that have a λ
	smooth     = []string{"sdarts-rs", "sdarts-adv"}
	algorithms = slices.Concat(baselines, smooth, []string{"darts-hr"})
)

// PaperHours are the hours that the paper gives for a search of 100 epochs on a
// GTX 1080 Ti.
var PaperHours = map[string]float64{
	"enas": 10.5, "darts": 8, "gdas": 4.5, "nasp": 5, "pc-darts": 6, "sdarts-rs": 8, "sdarts-adv": 16,
}

// margin is that of P14, in points.
const margin = 0.5

// twoSamples says in definitions how two algorithms are compared.
const twoSamples = "one-sided, by signed ranks of the seeds in pairs, or by rank sums where no pairs or too few"

// All lists the claims: P1 to P14 of NAS-Bench-1Shot1, P15 and P16 of spaces of DARTS. Treat it as read-only.
var All = []Claim{
	{
		Number: "P1", Title: "DARTS deteriorates with time",
		Statement: "The longer DARTS searches, the worse the cells become that it would end with.",
		Definition: "The mean of e over the late window, less the lowest smoothed e, is larger for darts than for sdarts-rs, and than for sdarts-adv; " +
			twoSamples + ".",
		Needs: []string{"darts", "sdarts-rs", "sdarts-adv"},
		parts: func(j *judge) []Part { return j.deteriorates("darts") },
	},
	{
		Number: "P2", Title: "SDARTS-RS beats all five baselines",
		Statement:  "SDARTS-RS ends with better cells than ENAS, DARTS, GDAS, NASP and PC-DARTS.",
		Definition: "The final error of sdarts-rs is below that of each baseline; " + twoSamples + "; corrected by Holm for the baselines.",
		Needs:      slices.Concat([]string{"sdarts-rs"}, baselines),
		holm:       []spaces.Name{"1", "2", "3"},
		parts: func(j *judge) (parts []Part) {
			for _, b := range baselines {
				parts = append(parts, j.below("sdarts-rs ends below "+b, finalError, "sdarts-rs", b))
			}
			return parts
		},
	},
	{
		Number: "P3", Title: "SDARTS-ADV is better still",
		Statement:  "SDARTS-ADV ends with better cells than SDARTS-RS.",
		Definition: "The final error of sdarts-adv is below that of sdarts-rs; " + twoSamples + ".",
		Needs:      []string{"sdarts-adv", "sdarts-rs"},
		parts: func(j *judge) []Part {
			return []Part{j.below("sdarts-adv ends below sdarts-rs", finalError, "sdarts-adv", "sdarts-rs")}
		},
	},
	{
		Number: "P4", Title: "only ADV still improves at the end",
		Statement: "After epoch 80 of 100 the error of SDARTS-ADV still falls, and that of no other algorithm.",
		Definition: "Of sdarts-adv the mean of e over the last 5 % of the epochs is below that over 75 to 80 %, by one-sided signed ranks of its seeds. " +
			"Every other algorithm falls less, " + twoSamples + "; one that itself falls significantly, by its signed ranks, contradicts.",
		Needs: slices.Concat([]string{"sdarts-adv", "sdarts-rs"}, baselines),
		parts: func(j *judge) []Part {
			parts := []Part{j.within("sdarts-adv falls", "sdarts-adv", errorAtEnd, errorBefore)}
			for _, other := range slices.Concat([]string{"sdarts-rs"}, baselines) {
				p := j.below(other+" falls less", lateFall, other, "sdarts-adv")
				if fall := j.within("", other, errorAtEnd, errorBefore); p.P != nil && fall.P != nil {
					p.Opposite = fall.P
					if *p.Effect < 0 {
						p.needed = nil // more seeds would show that it falls more, which is not the opposite
					}
				}
				parts = append(parts, p)
			}
			return parts
		},
	},
	{
		Number: "P5", Title: "λ of the baselines grows tenfold",
		Statement: "The dominant eigenvalue of every baseline that has one keeps growing over the search, to more than ten times its start.",
		Definition: "Of each baseline with a λ, the median over the seeds of the late mean of λ over the early one is above 10, and the least-squares slope of log λ " +
			"over the epochs is positive; sign tests over the seeds, with the interval of the median ratio between two of its values.",
		Needs: relaxed,
		parts: func(j *judge) (parts []Part) {
			for _, b := range relaxed {
				parts = append(parts, j.above(b+" over tenfold", b, growth, 10), j.above("log λ of "+b+" rises", b, slope, 0))
			}
			return parts
		},
	},
	{
		Number: "P6", Title: "RS and ADV anneal λ to a low level",
		Statement: "SDARTS-RS and SDARTS-ADV bring the dominant eigenvalue down again and end at a low level.",
		Definition: "Of each, the late mean of λ is below the highest smoothed λ of the windows before the late one, by one-sided signed ranks of its seeds, and below the late mean of darts, " +
			twoSamples + ".",
		Needs: slices.Concat(smooth, []string{"darts"}),
		parts: func(j *judge) (parts []Part) {
			for _, s := range smooth {
				parts = append(parts, j.within(s+" ends below its peak", s, lateEigenvalue, peakEigenvalue),
					j.below(s+" ends below darts", lateEigenvalue, s, "darts"))
			}
			return parts
		},
	},
	{
		Number: "P7", Title: "λ of GDAS: lowest, fastest growth",
		Statement: "Of the baselines GDAS starts with the lowest dominant eigenvalue, which then grows fastest.",
		Definition: "In most of the seeds that all baselines with a λ have, gdas has the lowest early mean of λ, and the highest ratio of the late mean to it; " +
			"each seed has a vote, p is that of this number of votes by the chance of 1 in as many baselines. The opposite is that it is so in less than half of the seeds, by a sign test.",
		Needs: relaxed,
		parts: func(j *judge) []Part {
			others := slices.DeleteFunc(slices.Clone(relaxed), func(a string) bool { return a == "gdas" })
			return []Part{
				j.vote("gdas starts lowest", earlyEigenvalue, "gdas", others, false),
				j.vote("gdas grows most", growth, "gdas", others, true),
			}
		},
	},
	{
		Number: "P8", Title: "a large λ goes with poor results",
		Statement: "Searches with a large dominant eigenvalue end with poor cells.",
		Definition: "Kendall's τ between the late mean of λ (its logarithm has the same ranks) and the final error is above 0, over all runs of the space, and over the algorithms' means; " +
			"one-sided permutation test within the space. Algorithms are those of this table that have a λ.",
		Needs: slices.Concat(relaxed, smooth),
		parts: func(j *judge) []Part { return j.correlations() },
	},
	{
		Number: "P9", Title: "a Hessian penalty lies between",
		Statement:  "DARTS with an explicit penalty on the Hessian is better than DARTS and worse than SDARTS-RS.",
		Definition: "The final error of darts-hr is below that of darts and above that of sdarts-rs; " + twoSamples + ". The paper does not give the penalty's strength: it is ours.",
		Needs:      []string{"darts-hr", "darts", "sdarts-rs"},
		parts: func(j *judge) []Part {
			return []Part{
				j.below("darts-hr ends below darts", finalError, "darts-hr", "darts"),
				j.over("darts-hr ends above sdarts-rs", finalError, "darts-hr", "sdarts-rs"),
			}
		},
	},
	{
		Number: "P10", Title: "GDAS is stable, settles for worse",
		Statement: "GDAS hardly changes its decisions later on, having settled early for something worse.",
		Definition: "The decisions that gdas changes in the second half of the epochs are fewer than those of each other baseline, and its final error is above that of sdarts-rs; " +
			twoSamples + "; corrected by Holm for these comparisons.",
		Needs: slices.Concat(baselines, []string{"sdarts-rs"}),
		holm:  []spaces.Name{"1", "2", "3"},
		parts: func(j *judge) (parts []Part) {
			for _, b := range baselines {
				if b != "gdas" {
					parts = append(parts, j.below("gdas changes less than "+b, lateDecisions, "gdas", b))
				}
			}
			return append(parts, j.over("gdas ends above sdarts-rs", finalError, "gdas", "sdarts-rs"))
		},
	},
	{
		Number: "P11", Title: "PC-DARTS: best, but not on space 2",
		Statement: "PC-DARTS is the best of the baselines on spaces 1 and 3, and degenerates on space 2.",
		Definition: "On spaces 1 and 3 the final error of pc-darts is below that of each other baseline, as in P2. On space 2 what P1 says of darts holds of pc-darts: " +
			"it loses more of its lowest smoothed e than sdarts-rs, and than sdarts-adv; " + twoSamples + "; on spaces 1 and 3 corrected by Holm.",
		Needs: slices.Concat(baselines, smooth),
		holm:  []spaces.Name{"1", "3"},
		parts: func(j *judge) []Part {
			if j.space == "2" {
				return j.deteriorates("pc-darts")
			}
			var parts []Part
			for _, b := range baselines {
				if b != "pc-darts" {
					parts = append(parts, j.below("pc-darts ends below "+b, finalError, "pc-darts", b))
				}
			}
			return parts
		},
	},
	{
		Number: "P12", Title: "NASP comes to fluctuate",
		Statement:  "NASP works in the first epochs, and then fluctuates as ENAS does.",
		Definition: "The standard deviation of e over the second half of the epochs is larger for nasp than for sdarts-rs; " + twoSamples + ".",
		Needs:      []string{"nasp", "sdarts-rs"},
		parts: func(j *judge) []Part {
			return []Part{j.over("fluctuates more than sdarts-rs", fluctuation, "nasp", "sdarts-rs")}
		},
	},
	{
		Number: "P13", Title: "RS costs as DARTS, ADV twice that",
		Statement: "A search takes 8 hours with DARTS, 8 with SDARTS-RS, 16 with SDARTS-ADV; 10.5 with ENAS, 4.5 with GDAS, 5 with NASP, 6 with PC-DARTS.",
		Definition: "Seconds that the steps of an epoch take, relative to darts: the ratio of geometric means over the seeds with its 95 % interval (Welch's t of logarithms), of runs on one device. No test. " +
			"The attack as released takes 7 steps: counting a backward pass as two forward ones, a step of DARTS is 6 of them and one of SDARTS-ADV 22 to 29, so the arithmetic asks for about four times.",
		Needs: []string{"darts", "sdarts-rs", "sdarts-adv", "enas", "gdas", "nasp", "pc-darts"},
		parts: func(j *judge) []Part { return j.costs() },
	},
	{
		Number: "P14", Title: "one PGD step costs little quality",
		Statement:  "SDARTS-ADV with an attack of one step is hardly worse than with seven.",
		Definition: "The final errors of sdarts-adv with pgd-steps=1 and of sdarts-adv are within 0.5 points of each other: both of two one-sided tests are significant, by signed ranks of the seeds in pairs, or by rank sums where no pairs or too few. The opposite is that one step ends higher by more.",
		Needs:      []string{"sdarts-adv", oneStep},
		parts: func(j *judge) []Part {
			return []Part{j.equivalent(fmt.Sprintf("within %g points of seven", margin), finalError, oneStep, "sdarts-adv", margin)}
		},
	},
	{
		Number: "P15", Title: "fewer parameter-free operations",
		Statement:  "On S1 to S4 the normal cells of SDARTS-RS and SDARTS-ADV have fewer operations without parameters than those of DARTS (Table 5).",
		Definition: "The share of skip connections, poolings and noise among the 8 operations of the normal cell that a search ends with is below that of darts, for sdarts-rs and for sdarts-adv; " + twoSamples + ".",
		Needs:      []string{"sdarts-rs", "sdarts-adv", "darts"},
		on:         []spaces.Name{"darts-s1", "darts-s2", "darts-s3", "darts-s4"},
		parts: func(j *judge) (parts []Part) {
			for _, s := range smooth {
				parts = append(parts, j.below(s+" has fewer than darts", parameterFree, s, "darts"))
			}
			return parts
		},
	},
	{
		Number: "P16", Title: "better networks after training",
		Statement: "On the space of DARTS and on S1 to S4 the architectures of SDARTS-RS and SDARTS-ADV, trained from scratch, have a lower test error than that of DARTS (Tables 1 and 4).",
		Definition: "The test error of the network of what a search ends with, after training from scratch, is below that of darts, for sdarts-rs and for sdarts-adv; " + twoSamples + ". " +
			"Only evaluations that were made alike count: those that most of these runs have.",
		Needs: []string{"sdarts-rs", "sdarts-adv", "darts"},
		on:    []spaces.Name{"darts", "darts-s1", "darts-s2", "darts-s3", "darts-s4"},
		parts: func(j *judge) (parts []Part) {
			q, note := j.retrained("sdarts-rs", "sdarts-adv", "darts")
			for _, s := range smooth {
				p := j.below(s+" ends below darts", q, s, "darts")
				if note != "" {
					p.note("%s", note)
				}
				parts = append(parts, p)
			}
			return parts
		},
	},
}

// deteriorates is what P1 says of DARTS.
func (j *judge) deteriorates(name string) (parts []Part) {
	for _, s := range smooth {
		parts = append(parts, j.over("loses more than "+s, deterioration, name, s))
	}
	return parts
}

// correlations are the parts of P8.
func (j *judge) correlations() []Part {
	var names []string
	var λ, errs, meanλ, meanErrs []float64
	for _, name := range slices.Concat(relaxed, smooth, []string{"darts-hr"}) {
		x, y := shared(j.numbers(name, lateEigenvalue), j.numbers(name, finalError))
		if len(x) > 0 {
			names = append(names, name)
			λ, errs = append(λ, x...), append(errs, y...)
			meanλ, meanErrs = append(meanλ, logMean(x)), append(meanErrs, stats.Mean(y))
		}
	}
	runs, means := Part{Statement: "over all runs", Verdict: NotRun}, Part{Statement: "over the algorithms' means", Verdict: NotRun}
	switch {
	case len(names) == 0:
		runs.note("no finished run with λ and a final test error")
	case j.sameDefinition(&runs, names...):
		runs = j.correlation(runs.Statement, λ, errs, len(names))
		means = j.correlation(means.Statement, meanλ, meanErrs, 0)
		runs.note("algorithms: %s", strings.Join(names, ", "))
	}
	return []Part{runs, means}
}

// logMean is the mean of the logarithms, of 0 that of the smallest number.
func logMean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += math.Log(max(v, math.SmallestNonzeroFloat64))
	}
	return sum / float64(len(x))
}

// costs are the parts of P13.
func (j *judge) costs() (parts []Part) {
	for _, name := range slices.Concat(smooth, []string{"enas", "gdas", "nasp", "pc-darts"}) {
		p := Part{Statement: name + " to darts", Paper: new(PaperHours[name] / PaperHours["darts"])}
		all, ok := j.gather(&p, stepTime, name, "darts")
		if d := j.devices(name, "darts"); ok && len(d) > 1 {
			p.note("the devices differ: %s", strings.Join(d, "; "))
			ok = false
		}
		if ok {
			p.Verdict = Measured
			p.Samples = []Sample{all[0].sample(), all[1].sample()}
			p.N, p.M = len(all[0].values), len(all[1].values)
			ratio, interval, err := stats.RatioInterval(all[0].values, all[1].values, stability.Level)
			if j.failed(err) {
				return nil
			}
			p.Estimate = &ratio
			if interval != nil {
				p.Interval = &Interval{interval.Low, interval.High, stability.Level}
			}
		}
		parts = append(parts, p)
	}
	return parts
}

// devices are what the runs of algorithms were computed on, ascending.
func (j *judge) devices(names ...string) []string {
	var all []string
	for _, name := range names {
		for _, h := range j.curves[name].Runs {
			all = append(all, cmp.Or(h.Run.Provenance.Device, "not recorded"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
