package algorithms

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// tableSearches are the algorithms that ask the table alone.
func tableSearches() (names []string) {
	for _, name := range Names() {
		if d, err := Lookup(name); err == nil && d.TableOnly {
			names = append(names, name)
		}
	}
	return names
}

// smooth is a table whose errors fall with the number of 3×3 convolutions and with the
// parents of the output, and whose longer trainings take longer.
func smooth(space *nb1shot1.Space) func(spaces.Architecture, int) (Answer, error) {
	return func(a spaces.Architecture, epochs int) (Answer, error) {
		e, seconds := 0.9, float64(epochs)
		g := space.Genotype(a)
		for i, op := range g.Ops {
			if op == nb1shot1.Conv3x3 {
				e -= 0.1
				seconds *= 1.5
			}
			e += 0.001 * float64(i*int(op))
		}
		output := g.Parents[len(g.Parents)-1]
		return Answer{Error: e + 0.01*float64(len(output)-output[0]) + 0.05/float64(epochs), Seconds: &seconds}, nil
	}
}

// searchOf makes a search of space 3.
func searchOf(t *testing.T, name string, settings Settings) *tableSearch {
	t.Helper()
	space := nb1shot1.All()[2]
	s, err := New(name, Config{Space: space.Space, Cells: 1, Epochs: 40, Seed: 3, Settings: settings, Query: smooth(space)})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*tableSearch)
}

// trials runs a search for a number of steps.
func trials(t *testing.T, s *tableSearch, steps int) (all []Trial) {
	t.Helper()
	s.StartEpoch(0)
	for range steps {
		info, err := s.Step(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, *info.Trial)
	}
	return all
}

// Evolution finds better cells than it starts from, and keeps its population.
func TestEvolution(t *testing.T) {
	e := searchOf(t, "regularized-evolution", Settings{"population": 10, "sample": 4})
	all := trials(t, e, 400)
	members := e.strategy.(*evolution).Members
	if len(members) != 10 {
		t.Fatalf("%d members", len(members))
	}
	first, mean := math.Inf(1), 0.0
	for _, one := range all[:10] {
		first = min(first, one.Error)
	}
	for _, m := range members {
		mean += m.Error / 10
	}
	if !(e.best.Error < first && mean < first) {
		t.Errorf("best %v, population's mean %v, best of the first epoch %v", e.best.Error, mean, first)
	}
}

// All searches but the random one find better cells than that does.
func TestSearchesLearn(t *testing.T) {
	mean := func(name string) (sum float64) {
		for seed := range uint64(5) {
			s := searchOf(t, name, nil)
			s.cfg.Seed = seed
			if name == "reinforce" { // which is slow at the default rate
				s = searchOf(t, name, Settings{"policy-learning-rate": 2})
				s.cfg.Seed = seed
			}
			cost, best := 0, 1.0
			s.StartEpoch(0)
			for cost < 200*FullBudget {
				info, err := s.Step(t.Context(), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				cost += info.Trial.Budget
				best = s.best.Error
			}
			sum += best / 5
		}
		return sum
	}
	random := mean("random-search")
	for _, name := range tableSearches() {
		if name == "random-search" || name == "hyperband" { // which draws at random too
			continue
		}
		if got := mean(name); !(got < random) {
			t.Errorf("%s: best %v on average, random search %v", name, got, random)
		}
	}
}

func TestConfigurations(t *testing.T) {
	for _, space := range nb1shot1.All() {
		c := newConfigurations(space.Space)
		n := 0
		for range space.Enumerate {
			n++
		}
		if c.size() != n {
			t.Errorf("space %s: %d configurations, %d architectures", space.Name(), c.size(), n)
		}
		rapid.Check(t, func(t *rapid.T) {
			k := rapid.IntRange(0, c.size()-1).Draw(t, "configuration")
			a := c.architecture(k)
			if err := a.Check(); err != nil {
				t.Fatal(err)
			}
			if back := c.of(a); back != k || c.join(c.split(k)) != k {
				t.Fatalf("configuration %d came back as %d", k, back)
			}
			neighbours := c.neighbours(k)
			want := 0
			for _, levels := range c.levels() {
				want += levels - 1
			}
			slices.Sort(neighbours)
			if len(slices.Compact(neighbours)) != want {
				t.Fatalf("%d neighbours, want %d", len(neighbours), want)
			}
			for _, other := range neighbours {
				if changed := c.architecture(other).Changed(a); changed != 1 {
					t.Fatalf("a neighbour differs in %d choices", changed)
				}
			}
		})
	}
}

// With one worker the brackets have the sizes of the paper, in its order, and each halving
// keeps the best third.
func TestHyperbandBrackets(t *testing.T) {
	for _, name := range []string{"hyperband", "bohb"} {
		all := trials(t, searchOf(t, name, nil), 2*69)
		want := []struct{ n, budget int }{
			{27, 4}, {9, 12}, {3, 36}, {1, 108}, {12, 12}, {4, 36}, {1, 108}, {6, 36}, {2, 108}, {4, 108},
		}
		at := 0
		for range 2 {
			var rung []Trial
			for _, w := range want {
				before := rung
				rung = all[at : at+w.n]
				at += w.n
				for _, one := range rung {
					if one.Budget != w.budget {
						t.Fatalf("%s: training %d is of %d epochs, want %d", name, at-w.n, one.Budget, w.budget)
					}
				}
				if len(before) < w.n || w.budget == 4 { // the first rung of a bracket
					continue
				}
				if w.n == 4 && w.budget == 108 || w.n == 12 || w.n == 6 {
					continue
				}
				kept := 0.0
				for _, one := range rung {
					i := slices.IndexFunc(before, func(b Trial) bool { return b.Architecture.Equal(one.Architecture) })
					if i < 0 {
						t.Fatalf("%s: a cell in the rung of %d epochs that was not in the one before", name, w.budget)
					}
					kept = max(kept, before[i].Error)
				}
				better := 0
				for _, b := range before {
					if b.Error < kept {
						better++
					}
				}
				if better >= w.n {
					t.Errorf("%s: rung of %d epochs: %d of the one before are better than one that was kept", name, w.budget, better)
				}
			}
		}
	}
}

// Local search goes to the best neighbour, or with first-improvement to the first better
// one, and ends a descent where no neighbour is better.
func TestLocalSearch(t *testing.T) {
	for _, first := range []float64{0, 1} {
		s := searchOf(t, "local-search", Settings{"first-improvement": first})
		l := s.strategy.(*localSearch)
		s.StartEpoch(0)
		place, descents := result{Error: 1}, 0
		asked := map[int]bool{}
		for range 1000 {
			from := l.Current
			if _, err := s.Step(t.Context(), nil, nil); err != nil {
				t.Fatal(err)
			}
			if from != nil && l.Current != from && l.Current != nil && len(l.Unasked) == 0 && !l.Expanded { // a new start
				descents++
				for _, n := range s.space.neighbours(place.Configuration) {
					e, ok := l.known[n]
					if !ok || e < place.Error {
						t.Fatalf("a descent ended beside a better neighbour (%v, known %v)", e, ok)
					}
				}
			}
			if l.Current != nil {
				place = *l.Current
			}
		}
		for _, k := range l.Known {
			if asked[k.Configuration] {
				t.Errorf("configuration %d is known twice", k.Configuration)
			}
			asked[k.Configuration] = true
		}
		if descents < 2 {
			t.Errorf("first-improvement=%v: %d descents ended in 1000 trainings", first, descents)
		}
	}
}

func TestReinforce(t *testing.T) {
	space := newConfigurations(nb1shot1.All()[0].Space)
	d, err := Lookup("reinforce")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := d.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := d.New(Config{Space: space.space, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	p := searcher.(*tableSearch).strategy.(*reinforce)
	p.told(trial{Configuration: 7, Error: 0.4})
	if p.Logits[0][0] != 0 || math.Abs(p.Sum/p.Weight-0.6) > 1e-12 {
		t.Errorf("after the first reward: logits %v, baseline %v, want no change and 0.6", p.Logits[0], p.Sum/p.Weight)
	}
	p.told(trial{Configuration: 7, Error: 0.2}) // advantage 0.8 − (0.09·0.6 + 0.1·0.8)/0.19
	advantage := 0.8 - (0.09*0.6+0.1*0.8)/0.19
	values := space.split(7)
	for i, logits := range p.Logits {
		n := float64(len(logits))
		for k, got := range logits {
			want := -0.1 * advantage / n
			if k == values[i] {
				want += 0.1 * advantage
			}
			if math.Abs(got-want) > 1e-12 {
				t.Errorf("logit %d of parameter %d is %v, want %v", k, i, got, want)
			}
		}
	}
}

// The densities are distributions, the draws follow them, and what is proposed is like the
// best.
func TestDensities(t *testing.T) {
	space := newConfigurations(nb1shot1.All()[0].Space)
	d := densities{space: space, levels: space.levels(), share: 0.15, candidates: 64, widening: 1}
	r := random.New(1, "densities")
	var results []result
	for range 60 {
		c := space.sample(r)
		e := 0.5
		if space.split(c)[0] == 1 { // the operation of the first block
			e = 0.1
		}
		results = append(results, result{c, e})
	}
	d.prior = 1
	k := d.fit(byError(results)[:9])
	sum := 0.0
	counts := make([]float64, space.levels()[0])
	for c := range space.size() {
		p := k.at(space.split(c), d.levels)
		sum += p
		counts[space.split(c)[0]] += p
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("the density sums to %v", sum)
	}
	const n = 20000
	drawn := make([]float64, len(counts))
	for range n {
		drawn[k.draw(r, d.levels, 1)[0]] += 1. / n
	}
	if diff := cmp.Diff(counts, drawn, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 0.015 })); diff != "" {
		t.Errorf("draws do not follow the density:\n%s", diff)
	}
	good := 0
	for range 50 {
		if c, ok := d.propose(results, r, nil); ok && space.split(c)[0] == 1 {
			good++
		}
	}
	if good < 45 {
		t.Errorf("%d of 50 proposals have the operation of the best", good)
	}
	if c, ok := d.propose(results, r, func(int) bool { return false }); ok {
		t.Errorf("%d is proposed and not wanted", c)
	}
	if d.enough(d.least()+1) || !d.enough(d.least()+2) {
		t.Errorf("enough from %d results on, want %d", d.least(), len(d.levels)+3)
	}
}

// With simulated workers trainings end in the order of their time, as many at a time as
// there are workers, and a saved state continues with the same numbers.
func TestWorkers(t *testing.T) {
	for _, name := range tableSearches() {
		t.Run(name, func(t *testing.T) {
			settings := Settings{"workers": 5, "queries": 150}
			want := trials(t, searchOf(t, name, settings), 150)
			busy, last := 0.0, 0.0
			for _, one := range want {
				if *one.Clock < last {
					t.Fatalf("a training ended at %v after one at %v", *one.Clock, last)
				}
				last = *one.Clock
				answer, err := smooth(nb1shot1.All()[2])(one.Architecture, one.Budget)
				if err != nil {
					t.Fatal(err)
				}
				busy += *answer.Seconds
			}
			// Only local search has workers wait for each other, beside a start for a neighbourhood.
			if most := 5 * last; busy > most || name != "local-search" && busy < 0.85*most {
				t.Errorf("%v seconds of training in %v seconds of 5 workers", busy, last)
			}
			for _, cut := range []int{0, 1, 40, 97} {
				s := searchOf(t, name, settings)
				got := trials(t, s, cut)
				state, err := s.State()
				if err != nil {
					t.Fatal(err)
				}
				s = searchOf(t, name, settings)
				if err := s.SetState(state); err != nil {
					t.Fatal(err)
				}
				for range 150 - cut {
					info, err := s.Step(t.Context(), nil, nil)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, *info.Trial)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("restored after %d trainings, the search differs:\n%s", cut, diff)
				}
			}
		})
	}
}

// Without training times one worker is enough, and several are refused.
func TestNoTimes(t *testing.T) {
	s := searchOf(t, "random-search", Settings{"workers": 2})
	s.cfg.Query = func(spaces.Architecture, int) (Answer, error) { return Answer{Error: 0.5}, nil }
	if _, err := s.Step(t.Context(), nil, nil); !errors.Is(err, errNoTimes) {
		t.Errorf("two workers: %v", err)
	}
	s = searchOf(t, "random-search", nil)
	s.cfg.Query = func(spaces.Architecture, int) (Answer, error) { return Answer{Error: 0.5}, nil }
	info, err := s.Step(t.Context(), nil, nil)
	if err != nil || info.Trial.Clock != nil {
		t.Errorf("one worker: %+v, %v", info.Trial, err)
	}
}

// The best is what was trained for longest, and of that the lowest error.
func TestIncumbent(t *testing.T) {
	s := searchOf(t, "hyperband", nil)
	budget, best := 0, 2.0
	for _, one := range trials(t, s, 138) {
		better := one.Budget > budget || one.Budget == budget && one.Error < best
		if one.Incumbent != better {
			t.Fatalf("a training of %d epochs and error %v beside %d and %v: incumbent %v", one.Budget, one.Error, budget, best, one.Incumbent)
		}
		if better {
			budget, best = one.Budget, one.Error
		}
	}
	if budget != FullBudget {
		t.Errorf("the best was trained for %d epochs", budget)
	}
}

// States that contradict themselves are refused.
func TestForeignTableStates(t *testing.T) {
	for _, name := range tableSearches() {
		s := searchOf(t, name, Settings{"workers": 3})
		trials(t, s, 30)
		state, err := s.State()
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range [][2]string{
			{`"epoch":0`, `"epoch":-1`},
			{`"clock":`, `"clock":-`},
			{`"configuration":`, `"configuration":99`},
			{`"strategy":`, `"former":`},
		} {
			if err := s.SetState([]byte(strings.Replace(string(state), change[0], change[1], 1))); err == nil {
				t.Errorf("%s: a state with %s was accepted", name, change[1])
			}
		}
	}
	h := searchOf(t, "hyperband", nil)
	trials(t, h, 30)
	state, err := h.State()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`"number":0`, `"number":7`}, {`"rung":1`, `"rung":9`}, {`"undrawn":0`, `"undrawn":3`}, {`"waiting":0`, `"waiting":1`}, {`"open":[{`, `"open":[null,{`}} {
		if !strings.Contains(string(state), change[0]) {
			t.Fatalf("no %s in %s", change[0], state)
		}
		if err := h.SetState([]byte(strings.Replace(string(state), change[0], change[1], 1))); err == nil {
			t.Errorf("a state with %s was accepted", change[1])
		}
	}
}

func TestCheckBudgets(t *testing.T) {
	d, err := Lookup("bohb")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CheckBudgets("x", []int{4, 12, 36, 108}); err != nil {
		t.Error(err)
	}
	err = d.CheckBudgets("the surrogate", []int{108})
	if want := "algorithm bohb: training budgets are missing in the table: it asks for results after 4, 12, 36 and 108 epochs, the surrogate has those after 108 alone"; !errors.Is(err, ErrBudgets) || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// Options that are younger than the first records are recorded only where they are used.
func TestRecordedSettings(t *testing.T) {
	d, err := Lookup("random-search")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Settings{"queries": 10}, d.Recorded(Settings{"queries": 10, "workers": 1})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Settings{"queries": 10, "workers": 2}, d.Recorded(Settings{"queries": 10, "workers": 2})); diff != "" {
		t.Error(diff)
	}
}
