package claims

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// power is the probability with which the seeds that an effect needs would show it.
const power = 0.8

// judge makes the parts of a claim from the curves of a space.
type judge struct {
	space  spaces.Name
	curves map[string]results.Curve // by the names that claims ask for
	alpha  float64
	tests  int   // among which p-values are corrected; 1 where they are not
	err    error // the first that a test gave
}

// result judges a claim.
func (j *judge) result(c Claim) (Result, error) {
	j.tests = 1
	parts := c.parts(j)
	holm := slices.Contains(c.holm, j.space)
	if tested := countTested(parts); holm && tested > 1 { // again, with the tests that suit so many
		j.tests = tested
		parts = c.parts(j)
	}
	if j.err != nil {
		return Result{}, j.err
	}
	if err := decide(parts, holm, j.alpha); err != nil {
		return Result{}, err
	}
	r := Result{Claim: c.Number, Space: j.space, Verdict: composite(parts), Parts: parts}
	r.summarise()
	return r, nil
}

func countTested(parts []Part) int {
	n := 0
	for _, p := range parts {
		if p.P != nil {
			n++
		}
	}
	return n
}

// composite is the verdict of a claim with these parts. One that could not be run
// leaves the claim undecided, unless another is contradicted.
func composite(parts []Part) Verdict {
	count := map[Verdict]int{}
	for _, p := range parts {
		count[p.Verdict]++
	}
	switch n := len(parts); {
	case count[NotRun] == n:
		return NotRun
	case count[Contradicted] > 0:
		return Contradicted
	case count[Supported] == n:
		return Supported
	case count[Measured] > 0:
		return Measured
	}
	return Undecided
}

// summarise sets N, P, Needed and Missing from the parts.
func (r *Result) summarise() {
	needed, known := 0, true
	for _, p := range r.Parts {
		for _, name := range p.Missing {
			if !slices.Contains(r.Missing, name) {
				r.Missing = append(r.Missing, name)
			}
		}
		known = known && p.Verdict != NotRun && p.Missing == nil
		if p.P == nil {
			continue
		}
		if p.seeds > 0 && (r.N == 0 || p.seeds < r.N) {
			r.N = p.seeds
		}
		own := *p.P
		if p.Corrected != nil {
			own = *p.Corrected
		}
		switch {
		case r.Verdict != Contradicted:
			if r.P == nil || own > *r.P {
				r.P = &own
			}
		case p.Verdict == Contradicted && (r.P == nil || *p.Opposite < *r.P):
			r.P = new(*p.Opposite)
		}
		if p.Verdict == Undecided {
			known = known && p.Needed > 0
			needed = max(needed, p.Needed)
		}
	}
	slices.Sort(r.Missing)
	if r.Verdict == Undecided && known {
		r.Needed = needed
	}
}

// decide sets the verdicts of the parts that were tested, corrected for each other
// where holm is set, and how many seeds the undecided ones need.
func decide(parts []Part, holm bool, alpha float64) error {
	var tested []*Part
	var p, opposite []float64
	for i := range parts {
		if part := &parts[i]; part.P != nil {
			tested = append(tested, part)
			p, opposite = append(p, *part.P), append(opposite, *part.Opposite)
		}
	}
	tests := 1
	if holm {
		tests = max(1, len(tested))
		var err, err2 error
		p, err = stats.Holm(p)
		opposite, err2 = stats.Holm(opposite)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
	}
	for i, part := range tested {
		if holm {
			part.Corrected = new(p[i])
		}
		part.Opposite = new(opposite[i])
		part.Floor = new(min(1, part.floor*float64(tests)))
		switch {
		case opposite[i] <= alpha:
			part.Verdict = Contradicted
		case p[i] <= alpha && part.Missing == nil:
			part.Verdict = Supported
		case p[i] <= alpha: // of those that were there
			part.Verdict = Undecided
		default:
			part.Verdict = Undecided
			part.ask(alpha / float64(tests))
		}
	}
	return nil
}

// ask says of an undecided part how many seeds it needs at a level.
func (p *Part) ask(level float64) {
	if p.floor > level {
		p.note("no p below %.2g is possible", *p.Floor)
		if p.least != nil {
			p.note("it takes %d seeds", p.least(level))
		}
	}
	switch {
	case *p.Effect == 0:
		p.note("no effect was seen")
	case p.needed != nil:
		if n := p.needed(level); n > 0 {
			p.Needed = max(n, p.seeds+1, p.least(level))
		}
	}
}

func (p *Part) note(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	if p.Note != "" {
		text = p.Note + "; " + text
	}
	p.Note = text
}

// numbers is a quantity of an algorithm, by ascending seed.
type numbers struct {
	name    string
	seeds   []uint64
	values  []float64
	lacking []uint64
}

func (j *judge) numbers(name string, q quantity) numbers {
	n := numbers{name: name}
	for _, h := range j.curves[name].Runs {
		if x, ok := q.of(h); ok {
			n.seeds, n.values = append(n.seeds, h.Run.Seed), append(n.values, x)
		} else {
			n.lacking = append(n.lacking, h.Run.Seed)
		}
	}
	return n
}

func (n numbers) sample() Sample {
	return Sample{Name: n.name, N: len(n.values), Mean: stats.Mean(n.values), Median: stats.Median(n.values)}
}

// shared returns the values of the seeds that both have.
func shared(a, b numbers) (x, y []float64) {
	for i, seed := range a.seeds {
		if k := slices.Index(b.seeds, seed); k >= 0 {
			x, y = append(x, a.values[i]), append(y, b.values[k])
		}
	}
	return x, y
}

// gather returns a quantity of some algorithms. Where one has none, the part is not
// run, and says why.
func (j *judge) gather(p *Part, q quantity, names ...string) (all []numbers, ok bool) {
	p.Verdict, p.Unit = NotRun, q.unit
	ok = true
	for _, name := range names {
		n := j.numbers(name, q)
		all = append(all, n)
		switch {
		case len(j.curves[name].Runs) == 0:
			p.Missing = append(p.Missing, name)
			ok = false
		case len(n.values) == 0:
			p.note("the runs of %s have no %s", name, q.name)
			ok = false
		case len(n.lacking) > 0:
			p.note("%s of seed %s has no %s", name, stability.List(n.lacking), q.name)
		}
	}
	if p.Missing != nil {
		p.note("no finished run of %s", strings.Join(p.Missing, ", "))
	}
	return all, ok
}

// below is the part that a quantity of x is below that of y.
func (j *judge) below(statement string, q quantity, x, y string) Part {
	p := Part{Statement: statement}
	all, ok := j.gather(&p, q, x, y)
	if ok && (!q.lambda || j.sameDefinition(&p, x, y)) {
		p.Samples = []Sample{all[0].sample(), all[1].sample()}
		j.compare(&p, all[1], all[0], j.design(all[1], all[0]))
	}
	return p
}

// over is the part that a quantity of x is above that of y.
func (j *judge) over(statement string, q quantity, x, y string) Part {
	p := j.below(statement, q, y, x)
	slices.Reverse(p.Samples)
	return p
}

// sameDefinition tells whether the algorithms define λ alike, and notes where not.
func (j *judge) sameDefinition(p *Part, names ...string) bool {
	all := map[string]bool{}
	for _, name := range names {
		for _, h := range j.curves[name].Runs {
			if d := definition(h); d != "" {
				all[d] = true
			}
		}
	}
	if len(all) > 1 {
		p.note("λ is defined differently (%s)", strings.Join(slices.Sorted(maps.Keys(all)), "; "))
	}
	return len(all) < 2
}

// design says by which test two algorithms are compared, seed by seed or not. It
// follows from the seeds alone, never from what they gave.
type design struct {
	pairs bool
	x, y  []float64
}

func (j *judge) design(a, b numbers) design {
	x, y := shared(a, b)
	level := j.alpha / float64(j.tests)
	if len(x) == min(len(a.values), len(b.values)) && stats.WilcoxonFloor(len(x), stats.Greater) <= level {
		return design{true, x, y}
	}
	return design{false, a.values, b.values}
}

func (d design) test(x, y []float64, alternative stats.Alternative) (stats.Test, error) {
	if d.pairs {
		return stats.Wilcoxon(x, y, alternative)
	}
	return stats.MannWhitney(x, y, alternative)
}

// describe says what a part was tested by.
func (p *Part) describe(d design, a, b numbers, method stats.Method) {
	p.N, p.seeds = len(d.x), len(d.x)
	if d.pairs {
		p.Test = stability.SignedRank
		p.floor = stats.WilcoxonFloor(p.N, stats.Greater)
		if left := len(a.values) + len(b.values) - 2*p.N; left > 0 {
			p.note("values without a partner are left out: %d", left)
		}
	} else {
		p.Test = stability.RankSum
		p.M = len(d.y)
		p.seeds = min(p.N, p.M)
		p.floor = stats.MannWhitneyFloor(p.N, p.M, stats.Greater)
	}
	if method != stats.Exact {
		p.Test += ", " + string(method)
	}
	p.least = d.least
}

// least is the number of seeds without which no p is as low as the level.
func (d design) least(level float64) int {
	return smallest(func(n int) bool {
		if d.pairs {
			return stats.WilcoxonFloor(n, stats.Greater) <= level
		}
		return min(stats.MannWhitneyFloor(n, n, stats.Greater), stats.WilcoxonFloor(n, stats.Greater)) <= level
	})
}

func smallest(enough func(n int) bool) int {
	n := 1
	for !enough(n) {
		n++
	}
	return n
}

// size is the number of seeds that show an effect in [−1,1], on either side.
func (d design) size(effect, level float64) int {
	effect = math.Abs(effect)
	if effect == 1 {
		return d.least(level)
	}
	of := stats.RankSumSize
	if d.pairs {
		of = stats.SignedRankSize
	}
	n, err := of((1+effect)/2, level, power)
	if err != nil {
		return 0
	}
	return n
}

// compare tests that a is above b.
func (j *judge) compare(p *Part, a, b numbers, d design) {
	t, err := d.test(d.x, d.y, stats.Greater)
	opposite, err2 := d.test(d.x, d.y, stats.Less)
	effect, err3 := d.effect(d.x, d.y)
	if j.failed(err, err2, err3) {
		return
	}
	p.describe(d, a, b, t.Method)
	p.P, p.Opposite, p.Effect = &t.P, &opposite.P, &effect
	p.needed = func(level float64) int { return d.size(effect, level) }
}

// effect is positive where x is above y.
func (d design) effect(x, y []float64) (float64, error) {
	if d.pairs {
		return stats.RankBiserial(x, y)
	}
	return stats.CliffDelta(x, y)
}

func (j *judge) failed(errs ...error) bool {
	err := errors.Join(errs...)
	if err != nil && j.err == nil {
		j.err = err
	}
	return err != nil
}

// within is the part that in the runs of an algorithm one quantity is below another.
func (j *judge) within(statement, name string, low, high quantity) Part {
	p := Part{Statement: statement}
	a, ok := j.gather(&p, low, name)
	b, ok2 := []numbers(nil), false
	if ok {
		b, ok2 = j.gather(&p, high, name)
	}
	if !ok2 {
		return p
	}
	x, y := shared(b[0], a[0])
	if len(x) == 0 {
		return p
	}
	p.Samples = []Sample{a[0].sample(), b[0].sample()}
	p.Samples[0].Name, p.Samples[1].Name = low.short, high.short
	j.compare(&p, b[0], a[0], design{true, x, y})
	return p
}

// above is the part that the median of a quantity of an algorithm is above a value.
func (j *judge) above(statement, name string, q quantity, value float64) Part {
	p := Part{Statement: statement}
	all, ok := j.gather(&p, q, name)
	if !ok {
		return p
	}
	n := all[0]
	t, err := stats.SignTest(n.values, value, stats.Greater)
	opposite, err2 := stats.SignTest(n.values, value, stats.Less)
	interval, found, err3 := stats.MedianInterval(n.values, 1-2*j.alpha)
	if j.failed(err, err2, err3) {
		return p
	}
	share := 0.5
	if t.N > 0 {
		share = t.Statistic / float64(t.N)
	}
	p.Samples = []Sample{n.sample()}
	p.Estimate = new(stats.Median(n.values))
	if found {
		p.Interval = &Interval{interval.Low, interval.High, 1 - 2*j.alpha}
	}
	p.Test, p.N, p.P, p.Opposite = "sign test", len(n.values), &t.P, &opposite.P
	p.seeds = p.N
	p.Effect = new(2*share - 1)
	p.floor = stats.WilcoxonFloor(p.N, stats.Greater) // that of the sign test, too
	p.least = func(level float64) int {
		return smallest(func(n int) bool { return stats.WilcoxonFloor(n, stats.Greater) <= level })
	}
	p.needed = func(level float64) int {
		n, err := stats.BinomialSize(max(share, 1-share), 0.5, level, power)
		if err != nil {
			return 0
		}
		return n
	}
	return p
}

// vote is the part that in each seed that all have, a quantity of one algorithm is
// the extreme: above or below that of all others.
func (j *judge) vote(statement string, q quantity, name string, others []string, highest bool) Part {
	p := Part{Statement: statement}
	names := []string{name}
	for _, other := range others {
		if len(j.curves[other].Runs) > 0 {
			names = append(names, other)
		} else {
			p.Missing = append(p.Missing, other)
		}
	}
	if len(names) < 2 {
		names = append(names, others...) // for the note
		p.Missing = nil
	}
	all, ok := j.gather(&p, q, names...)
	if !ok || !j.sameDefinition(&p, names...) {
		return p
	}
	voters, votes := 0, 0
	for i, seed := range all[0].seeds {
		won, counts := true, true
		for _, n := range all[1:] {
			k := slices.Index(n.seeds, seed)
			if counts = counts && k >= 0; !counts {
				break
			}
			won = won && (highest && all[0].values[i] > n.values[k] || !highest && all[0].values[i] < n.values[k])
		}
		if counts {
			voters++
			if won {
				votes++
			}
		}
	}
	if voters == 0 {
		p.note("no seed has runs of all")
		return p
	}
	chance := 1 / float64(len(names))
	chanced, err := stats.Binomial(votes, voters, chance, stats.Greater)
	half, err2 := stats.Binomial(votes, voters, 0.5, stats.Less)
	if j.failed(err, err2) {
		return p
	}
	for _, n := range all {
		p.Samples = append(p.Samples, n.sample())
	}
	share := float64(votes) / float64(voters)
	if 2*votes <= voters { // not even most of the seeds
		chanced = 1
	}
	p.Test, p.N, p.P, p.Opposite, p.Effect = fmt.Sprintf("vote, %d of %d", votes, voters), voters, &chanced, &half, new(2*share-1)
	p.seeds = voters
	p.floor = math.Pow(chance, float64(voters))
	p.least = func(level float64) int {
		return smallest(func(n int) bool { return math.Pow(chance, float64(n)) <= level })
	}
	p.needed = func(level float64) int {
		n, err := 0, error(nil)
		if share > 0.5 {
			n, err = stats.BinomialSize(share, chance, level, power)
		} else {
			n, err = stats.BinomialSize(1-share, 0.5, level, power)
		}
		if err != nil {
			return 0
		}
		return n
	}
	return p
}

// correlation is the part that two quantities rise together. perSeed is how many
// pairs a seed adds, 0 where the pairs are not of seeds.
func (j *judge) correlation(statement string, x, y []float64, perSeed int) Part {
	p := Part{Statement: statement, Verdict: NotRun}
	if len(x) < 3 {
		p.note("pairs: %d, of 3 that it takes", len(x))
		return p
	}
	t, err := stats.Kendall(x, y, stats.Greater)
	opposite, err2 := stats.Kendall(x, y, stats.Less)
	if j.failed(err, err2) {
		return p
	}
	p.Test, p.N, p.P, p.Opposite, p.Effect = "Kendall, "+string(t.Method), len(x), &t.P, &opposite.P, &t.Statistic
	p.floor = stats.KendallFloor(len(x), stats.Greater)
	if perSeed == 0 {
		return p
	}
	seeds := func(pairs int) int { return (pairs + perSeed - 1) / perSeed }
	p.seeds = len(x) / perSeed
	p.least = func(level float64) int {
		return seeds(smallest(func(n int) bool { return stats.KendallFloor(n, stats.Greater) <= level }))
	}
	p.needed = func(level float64) int {
		n, err := stats.KendallSize(t.Statistic, level, power)
		if err != nil {
			return 0
		}
		return seeds(n)
	}
	return p
}

// equivalent is the part that a quantity of x is within margin of that of y. Its
// opposite is that x is above by more.
func (j *judge) equivalent(statement string, q quantity, x, y string, margin float64) Part {
	p := Part{Statement: statement}
	all, ok := j.gather(&p, q, x, y)
	if !ok {
		return p
	}
	a, b := all[0], all[1]
	d := j.design(a, b)
	above, below, err := stats.Equivalence(d.test, d.x, d.y, margin)
	moved := slices.Clone(d.x)
	for i := range moved {
		moved[i] -= margin
	}
	opposite, err2 := d.test(moved, d.y, stats.Greater)
	over, err3 := d.effect(moved, d.y) // positive where x is above by more than the margin
	for i := range moved {
		moved[i] += 2 * margin
	}
	under, err4 := d.effect(moved, d.y) // positive where x is not below by more
	if j.failed(err, err2, err3, err4) {
		return p
	}
	p.Samples = []Sample{a.sample(), b.sample()}
	p.describe(d, a, b, above.Method)
	p.Test = "two one-sided " + p.Test
	worse := max(above.P, below.P)
	p.P, p.Opposite, p.Effect = &worse, &opposite.P, new(min(under, -over))
	p.needed = func(level float64) int { return d.size(*p.Effect, level) }
	return p
}
