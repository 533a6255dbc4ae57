package claims

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// search is how the runs of an algorithm go, in the 40 epochs of these tests.
type search struct {
	low, final float64 // errors in percent at half time and at the end, from 12 at the start, in straight lines
	jitter     float64 // by which the errors of the second half alternate
	λ          [3]float64
	decisions  int // changed in every epoch
	seconds    float64
	free       float64 // share of parameter-free operations at the end
}

// world is searches by the names that claims ask for; nil or absent ones did not run.
type world map[string]search

const epochs = 40

// paper is a world in which all that the paper claims of a space holds.
func paper(space spaces.Name) world {
	w := world{
		"enas":       {low: 8, final: 8, decisions: 3, seconds: 10.5},
		"darts":      {low: 6.5, final: 9, λ: [3]float64{0.1, 1, 4}, decisions: 2, seconds: 8},
		"gdas":       {low: 7.5, final: 7.5, λ: [3]float64{0.01, 0.2, 2}, decisions: 0, seconds: 4.5},
		"nasp":       {low: 8.5, final: 8.5, jitter: 1, λ: [3]float64{0.07, 1, 2.8}, decisions: 5, seconds: 5},
		"pc-darts":   {low: 7, final: 7, λ: [3]float64{0.04, 0.4, 1.6}, decisions: 2, seconds: 6},
		"sdarts-rs":  {low: 6.2, final: 6.2, jitter: 0.01, λ: [3]float64{0.1, 0.5, 0.2}, decisions: 1, seconds: 8},
		"sdarts-adv": {low: 6.8, final: 6, λ: [3]float64{0.1, 0.5, 0.15}, decisions: 1, seconds: 16},
		"darts-hr":   {low: 7.2, final: 7.2, λ: [3]float64{0.1, 0.8, 1.8}, decisions: 2, seconds: 30},
		oneStep:      {low: 6.8, final: 6.1, λ: [3]float64{0.1, 0.5, 0.15}, decisions: 1, seconds: 10},
	}
	if space == "2" {
		w["pc-darts"] = search{low: 7, final: 9.5, λ: [3]float64{0.12, 1, 4.8}, decisions: 2, seconds: 6}
	}
	return w
}

// but returns the world with some searches changed.
func (w world) but(change func(w world)) world {
	w = maps.Clone(w)
	change(w)
	return w
}

// at changes one search.
func (w world) at(name string, change func(s *search)) {
	s := w[name]
	change(&s)
	w[name] = s
}

func provenance() results.Provenance {
	return results.Provenance{
		Images: results.CIFAR10, ImagesDigest: "aa11", Table: results.NASBench101, TableDigest: "bb22", Preset: "small",
		Scale: "3 cells, 8 channels", Engine: "cpu", Precision: "float32", Device: "CPU of a test",
	}
}

func config(name string) (algorithm string, config map[string]any) {
	settings := map[string]any{"momentum": 0.9}
	algorithm = name
	switch name {
	case oneStep:
		algorithm = "sdarts-adv"
		settings["pgd-steps"] = 1
	case "sdarts-adv":
		settings["pgd-steps"] = 7
	}
	config = map[string]any{"epochs": epochs, "evaluate": "before", "settings": settings}
	if name == "enas" {
		config["evaluate"] = "after"
	}
	return algorithm, config
}

// run makes up a finished run. Seeds differ a little in all numbers, by a share of
// them that is the same for all algorithms.
func (s search) run(t fataler, space spaces.Name, name string, seed uint64) *results.History {
	t.Helper()
	algorithm, c := config(name)
	return s.runOf(t, space, algorithm, seed, provenance(), c)
}

func (s search) runOf(t fataler, space spaces.Name, algorithm string, seed uint64, p results.Provenance, c map[string]any) *results.History {
	t.Helper()
	run, err := results.NewRun(space, algorithm, seed, p, c)
	if err != nil {
		t.Fatal(err)
	}
	h := &results.History{Dir: "runs/" + run.Name(), Run: run, Status: results.Status{State: results.Finished}}
	own := 1 + 0.001*float64(seed*seed%17)
	end := c["epochs"].(int)
	at := func(time int) float64 {
		half := float64(end) / 2
		if time <= end/2 {
			return own * (12 + (s.low-12)*float64(time)/half)
		}
		e := s.low + (s.final-s.low)*(float64(time)-half)/half
		if time < end {
			e += s.jitter * float64(2*(time%2)-1)
		}
		return own * e
	}
	for e := range end + 1 {
		time := e
		if c["evaluate"] == "after" {
			time = min(e+1, end)
		}
		r := results.Epoch{
			Epoch: e, Final: e == end,
			Lookup:    results.Lookup{Source: "table", TestError: new(at(time) / 100)},
			Structure: &results.Structure{Changed: new(s.decisions), ParameterFree: own * s.free},
		}
		if e == 0 {
			r.Structure.Changed = nil
		}
		if !r.Final {
			r.Seconds = map[string]float64{"steps": own * s.seconds, "hessian": 1}
			if s.λ != [3]float64{} {
				way := 2 * float64(e) / float64(end-1)
				k := min(int(way), 1)
				λ := own * s.λ[k] * math.Pow(s.λ[k+1]/s.λ[k], way-float64(k))
				r.Hessian = &results.Hessian{Eigenvalues: []float64{λ}, Reported: λ, SpectralNorm: λ, Min: λ, Batch: 4, Definition: "largest"}
			}
		}
		h.Epochs = append(h.Epochs, r)
	}
	return h
}

// runs are the searches of a world, of these seeds.
func (w world) runs(t fataler, space spaces.Name, seeds ...uint64) (all []*results.History) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(w)) {
		for _, seed := range seeds {
			all = append(all, w[name].run(t, space, name, seed))
		}
	}
	return all
}

func upTo(n int) (seeds []uint64) {
	for i := range n {
		seeds = append(seeds, uint64(i))
	}
	return seeds
}

func judged(t fataler, runs []*results.History) *Judgement {
	t.Helper()
	j, err := Judge(runs, Options{Alpha: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// one judges runs of one setting by one claim.
func one(t testing.TB, runs []*results.History, number string, space spaces.Name) Result {
	t.Helper()
	curves, err := results.Group(runs)
	if err != nil {
		t.Fatal(err)
	}
	families, err := sort(curves, nil)
	if err != nil || len(families) != 1 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	i := slices.IndexFunc(All, func(c Claim) bool { return c.Number == number })
	r, err := families[0].result(All[i], space, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reversals turn the paper's world into one in which a claim is wrong.
var reversals = []struct {
	claim  string
	space  spaces.Name
	change func(w world)
}{
	{"P1", "2", func(w world) {
		w.at("darts", func(s *search) { s.final = s.low })
		w.at("sdarts-adv", func(s *search) { s.final = s.low + 2 })
	}},
	{"P2", "1", func(w world) { w.at("gdas", func(s *search) { s.low, s.final = 5, 5 }) }},
	{"P3", "1", func(w world) { w.at("sdarts-adv", func(s *search) { s.final = 7 }) }},
	{"P4", "1", func(w world) { w.at("nasp", func(s *search) { s.final = 5 }) }},
	{"P4", "3", func(w world) { w.at("sdarts-adv", func(s *search) { s.final = 8 }) }},
	{"P5", "1", func(w world) { w.at("darts", func(s *search) { s.λ[2] = s.λ[0] / 2 }) }},
	{"P5", "2", func(w world) { w.at("nasp", func(s *search) { s.λ = [3]float64{0.1, 0.2, 0.4} }) }},
	{"P6", "1", func(w world) { w.at("sdarts-rs", func(s *search) { s.λ = [3]float64{0.1, 0.5, 1} }) }},
	{"P6", "2", func(w world) { w.at("sdarts-adv", func(s *search) { s.λ = [3]float64{1, 9, 5} }) }},
	{"P7", "1", func(w world) { w.at("gdas", func(s *search) { s.λ = [3]float64{1, 1.5, 2} }) }},
	{"P8", "1", func(w world) {
		for name := range w {
			w.at(name, func(s *search) {
				if s.λ[2] > 0 {
					s.λ[2] = 1 / s.λ[2]
				}
			})
		}
	}},
	{"P9", "1", func(w world) { w.at("darts-hr", func(s *search) { s.final = 11 }) }},
	{"P9", "2", func(w world) { w.at("darts-hr", func(s *search) { s.final = 5 }) }},
	{"P10", "1", func(w world) { w.at("gdas", func(s *search) { s.decisions = 9 }) }},
	{"P10", "3", func(w world) { w.at("gdas", func(s *search) { s.low, s.final = 5, 5 }) }},
	{"P11", "1", func(w world) { w.at("pc-darts", func(s *search) { s.low, s.final = 10, 10 }) }},
	{"P11", "3", func(w world) { w.at("enas", func(s *search) { s.low, s.final = 5, 5 }) }},
	{"P11", "2", func(w world) {
		w.at("pc-darts", func(s *search) { s.final = s.low })
		w.at("sdarts-rs", func(s *search) { s.final = 9 })
	}},
	{"P12", "1", func(w world) {
		w.at("sdarts-rs", func(s *search) { s.jitter = 1 })
		w.at("nasp", func(s *search) { s.jitter = 0 })
	}},
	{"P14", "1", func(w world) { w.at(oneStep, func(s *search) { s.final = 8 }) }},
}

// TestVerdicts: each claim holds, is reversed, and is undecided where half of the
// seeds hold and half are reversed.
func TestVerdicts(t *testing.T) {
	const n = 8
	covered := map[string]bool{}
	for _, c := range reversals {
		covered[c.claim] = true
		t.Run(fmt.Sprintf("%s on space %s", c.claim, c.space), func(t *testing.T) {
			right := paper(c.space)
			wrong := right.but(c.change)
			for verdict, runs := range map[Verdict][]*results.History{
				Supported:    right.runs(t, c.space, upTo(n)...),
				Contradicted: wrong.runs(t, c.space, upTo(n)...),
				Undecided:    slices.Concat(right.runs(t, c.space, 0, 2, 4, 6), wrong.runs(t, c.space, 1, 3, 5, 7)),
			} {
				r := one(t, runs, c.claim, c.space)
				if r.Verdict != verdict {
					t.Errorf("%s, want %s:%s", r.Verdict, verdict, parts(r))
					continue
				}
				if r.N != n || r.P == nil || (*r.P <= 0.05) != (verdict != Undecided) || r.Missing != nil {
					t.Errorf("%s: n %d, p %v, missing %v:%s", verdict, r.N, deref(r.P), r.Missing, parts(r))
				}
				if verdict != Undecided && r.Needed != 0 {
					t.Errorf("%s needs %d seeds", verdict, r.Needed)
				}
			}
		})
	}
	for _, c := range All {
		if !covered[c.Number] && c.Number != "P13" && c.SpeaksOf("1") {
			t.Errorf("%s is not tested", c.Number)
		}
	}
}

func deref(x *float64) string {
	if x == nil {
		return "none"
	}
	return strconv.FormatFloat(*x, 'g', 3, 64)
}

// parts shows what a verdict rests on.
func parts(r Result) string {
	text := ""
	for _, p := range r.Parts {
		text += fmt.Sprintf("\n%s: %s, %s n %d/%d, p %s, corrected %s, opposite %s, effect %s, needs %d, %s %+v", p.Statement, p.Verdict, p.Test, p.N, p.M, deref(p.P), deref(p.Corrected), deref(p.Opposite), deref(p.Effect), p.Needed, p.Note, p.Samples)
	}
	return text
}

// TestEverythingHoldsAtOnce: in the paper's world every claim is supported on every
// space, and what is printed of a claim is there.
func TestEverythingHoldsAtOnce(t *testing.T) {
	var runs []*results.History
	for _, space := range []spaces.Name{"1", "2", "3"} {
		runs = append(runs, paper(space).runs(t, space, upTo(7)...)...)
	}
	j := judged(t, runs)
	if len(j.Settings) != 1 || len(j.Settings[0].Results) != 3*14 || len(j.Warnings) != 0 || !j.Settings[0].Judged() {
		t.Fatalf("%d settings, warnings %v", len(j.Settings), j.Warnings)
	}
	for _, r := range j.Settings[0].Results {
		want := Supported
		if r.Claim == "P13" {
			want = Measured
		}
		if r.Verdict != want {
			t.Errorf("%s on space %s is %s:%s", r.Claim, r.Space, r.Verdict, parts(r))
		}
	}
	for _, c := range All {
		if c.Statement == "" || c.Definition == "" || c.Needs == nil || len([]rune(c.Title)) > 34 {
			t.Errorf("%s: %+v", c.Number, c)
		}
	}
	if got := len(strings.Split(strings.TrimSpace(string(j.CSV())), "\n")); got < 100 {
		t.Errorf("%d lines of CSV", got)
	}
}

// TestFewSeeds: with too few seeds nothing is decided, and the parts say what they
// would take.
func TestFewSeeds(t *testing.T) {
	for _, c := range reversals {
		if c.claim == "P8" {
			continue // of 14 runs
		}
		r := one(t, paper(c.space).runs(t, c.space, 0, 1), c.claim, c.space)
		if r.Verdict != Undecided {
			t.Errorf("%s with two seeds: %s", c.claim, r.Verdict)
		}
		noted := false
		for _, p := range r.Parts {
			noted = noted || strings.Contains(p.Note, "no p below") && *p.Floor > 0.05
			if p.Verdict == Undecided && p.Statement != "over the algorithms' means" && *p.Effect != 0 && p.Needed <= 2 {
				t.Errorf("%s, %s: needs %d seeds", c.claim, p.Statement, p.Needed)
			}
		}
		if !noted && c.claim != "P7" { // two votes of one in four are rare enough to be close
			t.Errorf("%s does not say that there are too few seeds:%s", c.claim, parts(r))
		}
	}
}

// TestNeededSeedsSuffice: a separation that is complete becomes significant with the
// seeds that are said to do.
func TestNeededSeedsSuffice(t *testing.T) {
	for _, c := range reversals {
		if c.claim == "P8" {
			continue // its algorithms count, too
		}
		r := one(t, paper(c.space).runs(t, c.space, 0, 1), c.claim, c.space)
		if r.Needed == 0 {
			t.Errorf("%s does not say how many seeds it needs:%s", c.claim, parts(r))
			continue
		}
		if again := one(t, paper(c.space).runs(t, c.space, upTo(r.Needed)...), c.claim, c.space); again.Verdict != Supported {
			t.Errorf("%s with the %d seeds that it needs: %s%s", c.claim, r.Needed, again.Verdict, parts(again))
		}
		if r.Needed > 1 {
			if again := one(t, paper(c.space).runs(t, c.space, upTo(r.Needed-1)...), c.claim, c.space); again.Verdict == Supported {
				t.Errorf("%s is supported by less than the %d seeds that it needs", c.claim, r.Needed)
			}
		}
	}
}

// TestMissingAlgorithms: without one that it needs a claim is never supported, and
// without all of them it is not run; one baseline can contradict it all the same.
func TestMissingAlgorithms(t *testing.T) {
	whole := paper("1")
	for _, c := range All {
		if !c.SpeaksOf("1") {
			continue
		}
		for _, name := range c.Needs {
			if c.Number == "P13" || c.Number == "P8" || c.Number == "P11" && slices.Contains(smooth, name) {
				continue
			}
			w := whole.but(func(w world) { delete(w, name) })
			r := one(t, w.runs(t, "1", upTo(8)...), c.Number, "1")
			if r.Verdict == Supported || r.Verdict == Contradicted || !slices.Contains(r.Missing, name) || r.Needed != 0 {
				t.Errorf("%s without %s: %s, missing %v, needs %d", c.Number, name, r.Verdict, r.Missing, r.Needed)
			}
		}
	}
	only := world{"sdarts-rs": whole["sdarts-rs"], "darts": whole["darts"]}
	runs := only.runs(t, "1", upTo(8)...)
	for number, want := range map[string]Verdict{"P1": Undecided, "P2": Undecided, "P3": NotRun, "P4": NotRun, "P7": NotRun, "P9": NotRun, "P12": NotRun, "P13": Measured, "P14": NotRun} {
		if r := one(t, runs, number, "1"); r.Verdict != want {
			t.Errorf("%s of two algorithms: %s, want %s", number, r.Verdict, want)
		}
	}
	only["darts"] = search{low: 5, final: 5, λ: [3]float64{0.1, 1, 4}, seconds: 8}
	if r := one(t, only.runs(t, "1", upTo(8)...), "P2", "1"); r.Verdict != Contradicted {
		t.Errorf("P2 with a better baseline: %s", r.Verdict)
	}
}

// TestParameterFree: what Table 5 says of S1 to S4 is judged there alone, and what is said
// of NAS-Bench-1Shot1 is not.
func TestParameterFree(t *testing.T) {
	for _, c := range []struct {
		space          spaces.Name
		darts, rs, adv float64
		want           Verdict // "" where no claim speaks of the space
	}{
		{"darts-s2", 0.75, 0.5, 0.25, Supported},
		{"darts-s4", 0.25, 0.5, 0.25, Contradicted},
		{"darts-s1", 0.5, 0.25, 0.5, Undecided},
		{"darts8", 0.75, 0.5, 0.25, ""},
	} {
		w := world{"darts": {free: c.darts}, "sdarts-rs": {free: c.rs}, "sdarts-adv": {free: c.adv}}
		j := judged(t, w.runs(t, c.space, upTo(7)...))
		if len(j.Settings) != 1 {
			t.Fatalf("%d settings", len(j.Settings))
		}
		results := j.Settings[0].Results
		if c.want == "" {
			if len(results) != 0 || len(j.Claims) != 0 {
				t.Errorf("space %s: %d results, %d claims", c.space, len(results), len(j.Claims))
			}
			continue
		}
		if len(results) != 2 || results[0].Claim != "P15" || results[0].Verdict != c.want || results[1].Verdict != NotRun || len(j.Claims) != 2 {
			t.Errorf("space %s: %+v, want P15 to be %s, P16 not run", c.space, results, c.want)
		}
	}
}

// evaluated gives runs an evaluation of a preset with a test error, which the seeds move a
// little.
func evaluated(runs []*results.History, preset string, testError float64) []*results.History {
	for _, h := range runs {
		p := provenance()
		p.Table, p.Preset = results.NoTable, preset
		h.Evaluation = &results.Evaluation{
			Subject: results.Subject{Form: results.FormCIFAR}, Provenance: p, Recipe: results.Recipe{Epochs: 600, MeasuredOn: results.PartTest},
			Test: results.Score{Accuracy: 1 - testError*(1+0.001*float64(h.Run.Seed))},
		}
	}
	return runs
}

// TestRetrained: what Tables 1 and 4 say is judged by evaluations that were made alike.
func TestRetrained(t *testing.T) {
	const space = "darts-s3"
	of := func(algorithm string, seeds int, preset string, testError float64) []*results.History {
		return evaluated(world{algorithm: {free: 0.5}}.runs(t, space, upTo(seeds)...), preset, testError)
	}
	for name, c := range map[string]struct {
		runs []*results.History
		want Verdict
		note string // in that of the first part
	}{
		"both better": {slices.Concat(of("darts", 7, "small", 0.2), of("sdarts-rs", 7, "small", 0.1), of("sdarts-adv", 7, "small", 0.15)), Supported, "preset small"},
		"one worse":   {slices.Concat(of("darts", 7, "small", 0.2), of("sdarts-rs", 7, "small", 0.3), of("sdarts-adv", 7, "small", 0.15)), Contradicted, ""},
		"never mixed": {slices.Concat(of("darts", 7, "small", 0.2), of("sdarts-rs", 7, "quick", 0.1), of("sdarts-adv", 7, "small", 0.15)), Undecided, "made otherwise, which do not count: 7"},
		"too few":     {slices.Concat(of("darts", 1, "small", 0.2), of("sdarts-rs", 1, "small", 0.1), of("sdarts-adv", 1, "small", 0.15)), Undecided, "no p below"},
	} {
		j := judged(t, c.runs)
		r, ok := j.Settings[0].Result("P16", space)
		if !ok || r.Verdict != c.want || !strings.Contains(r.Parts[0].Note, c.note) {
			t.Errorf("%s: %+v, want %s with a note of %q", name, r, c.want, c.note)
		}
	}
}

// TestPairs: the seeds say by which test two algorithms are compared.
func TestPairs(t *testing.T) {
	w := paper("1")
	rs, adv := w["sdarts-rs"], w["sdarts-adv"]
	several := func(s search, name string, seeds ...uint64) (all []*results.History) {
		for _, seed := range seeds {
			all = append(all, s.run(t, "1", name, seed))
		}
		return all
	}
	for name, c := range map[string]struct {
		rs, adv []uint64
		test    string
		n, m    int
	}{
		"all in pairs":         {upTo(6), upTo(6), "Wilcoxon", 6, 0},
		"some without":         {upTo(9), upTo(6), "Wilcoxon", 6, 0},
		"too few pairs":        {upTo(4), upTo(4), "Mann–Whitney", 4, 4},
		"different seeds":      {upTo(6), []uint64{10, 11, 12, 13, 14, 15}, "Mann–Whitney", 6, 6},
		"some in common alone": {upTo(9), []uint64{3, 4, 5, 6, 7, 8, 20, 21}, "Mann–Whitney", 9, 8},
	} {
		p := one(t, slices.Concat(several(rs, "sdarts-rs", c.rs...), several(adv, "sdarts-adv", c.adv...)), "P3", "1").Parts[0]
		if p.Test != c.test || p.N != c.n || p.M != c.m {
			t.Errorf("%s: %s of %d and %d", name, p.Test, p.N, p.M)
		}
		if strings.Contains(p.Note, "without a partner are left out: 3") != (name == "some without") {
			t.Errorf("%s: note %q", name, p.Note)
		}
	}
}

// TestWhatIsJudgedApart: runs of different settings never share a verdict.
func TestWhatIsJudgedApart(t *testing.T) {
	w := paper("1")
	same := w.runs(t, "1", upTo(8)...)
	var others []*results.History
	_, c := config("sdarts-adv")
	for name, change := range map[string]func(*results.Provenance){
		"images": func(p *results.Provenance) { p.Images = "procedural" },
		"pixels": func(p *results.Provenance) { p.ImagesDigest = "another" },
		"table":  func(p *results.Provenance) { p.Table = "surrogate" },
		"preset": func(p *results.Provenance) { p.Preset = "quick" },
		"scale":  func(p *results.Provenance) { p.Scale = "another" },
	} {
		p := provenance()
		change(&p)
		others = append(others, w["sdarts-adv"].runOf(t, "1", "sdarts-adv", 0, p, c))
		j := judged(t, append(slices.Clone(same), others[len(others)-1]))
		if len(j.Settings) != 2 {
			t.Errorf("%s: %d settings", name, len(j.Settings))
		}
		for _, s := range j.Settings {
			if images, table := s.Provenance.StandIns(); (len(s.StandIns) > 0) != (images || table) || strings.Contains(s.Heading(), "a stand-in for") != (images || table) {
				t.Errorf("%s: stand-ins %v of %s", name, s.StandIns, s.Heading())
			}
		}
	}
	short := maps.Clone(c)
	short["epochs"] = 20
	others = append(others, w["sdarts-adv"].runOf(t, "1", "sdarts-adv", 0, provenance(), short))
	if j := judged(t, slices.Concat(same, others)); len(j.Settings) != 7 {
		t.Errorf("all: %d settings", len(j.Settings))
	}
	// Another engine and device are no other setting.
	p := provenance()
	p.Engine, p.Precision, p.Device = "cuda", "float64", "GPU"
	more := w["sdarts-adv"].runOf(t, "1", "sdarts-adv", 9, p, c)
	if j := judged(t, append(slices.Clone(same), more)); len(j.Settings) != 1 || len(j.Settings[0].LeftOut) != 1 || len(j.Settings[0].Devices) != 1 {
		t.Errorf("%d settings, left out %q", len(j.Settings), j.Settings[0].LeftOut)
	}
}

// TestUnfinishedRuns are left out, by name.
func TestUnfinishedRuns(t *testing.T) {
	runs := paper("1").runs(t, "1", 0, 1, 2)
	stopped, torn := runs[0], runs[1]
	stopped.Status.State = results.Interrupted
	torn.Epochs = torn.Epochs[:len(torn.Epochs)-1]
	j := judged(t, runs)
	want := []string{stopped.Dir + " is interrupted after 41 records: left out", torn.Dir + " is without its final record after 40 records: left out"}
	slices.Sort(want)
	if diff := cmp.Diff(want, j.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	for _, h := range runs {
		h.Status.State = results.Running
	}
	if j := judged(t, runs); len(j.Settings) != 0 || len(j.Warnings) != len(runs) {
		t.Errorf("%d settings of unfinished runs, %d warnings", len(j.Settings), len(j.Warnings))
	}
}

// variant is a run with settings of its own.
func (s search) variant(t fataler, name string, seed uint64, settings map[string]any) *results.History {
	algorithm, c := config(name)
	maps.Copy(c["settings"].(map[string]any), settings)
	return s.runOf(t, "1", algorithm, seed, provenance(), c)
}

// changed is what a preset would say: momentum 0.9, pgd-steps 7 and no others.
func changed(r results.Run) map[string]string {
	all, _ := r.Settings()
	changed := map[string]string{}
	for name, value := range all {
		if name == "settings.momentum" && value != "0.9" || name == attackSteps && value != "7" || name == "settings.roll-back" && value != "on" {
			changed[name] = value
		}
	}
	return changed
}

// TestConfigurations: which configurations count as the algorithm.
func TestConfigurations(t *testing.T) {
	w := paper("1")
	darts, adv := w["darts"], w["sdarts-adv"]
	judge := func(runs ...*results.History) []Setting {
		t.Helper()
		j, err := Judge(runs, Options{Alpha: 0.05, Changed: changed})
		if err != nil {
			t.Fatal(err)
		}
		return j.Settings
	}
	low, high := map[string]any{"momentum": 0.5}, map[string]any{"momentum": 0.99}

	// The preset's own counts, however many seeds another has.
	s := judge(adv.variant(t, "sdarts-adv", 0, map[string]any{"roll-back": "on"}), adv.variant(t, "sdarts-adv", 0, map[string]any{"roll-back": "off"}),
		adv.variant(t, "sdarts-adv", 1, map[string]any{"roll-back": "off"}), darts.run(t, "1", "darts", 0))
	if len(s) != 1 || len(s[0].Changed) != 0 || !slices.Equal(s[0].LeftOut, []string{"space 1, sdarts-adv, settings.roll-back off: seed 0-1"}) {
		t.Errorf("variants of one algorithm: %+v", s)
	}

	// What all share is part of the setting; an algorithm without it stays.
	enas := w["enas"].run(t, "1", "enas", 0)
	if _, c := config("enas"); true {
		c["settings"] = map[string]any{"clip": 1}
		enas = w["enas"].runOf(t, "1", "enas", 0, provenance(), c)
	}
	s = judge(darts.variant(t, "darts", 0, low), adv.variant(t, "sdarts-adv", 0, low), enas)
	if len(s) != 1 || !slices.Equal(s[0].Algorithms, []string{"enas", "darts", "sdarts-adv"}) ||
		cmp.Diff([]Change{{"settings.momentum", "0.5", []string{"darts", "sdarts-adv"}}}, s[0].Changed) != "" {
		t.Errorf("a change that all share: %+v", s)
	}

	// Algorithms whose changes differ are never compared.
	s = judge(darts.variant(t, "darts", 0, low), adv.variant(t, "sdarts-adv", 0, high), enas)
	if len(s) != 2 || len(s[0].Algorithms) != 2 || len(s[1].Algorithms) != 2 || s[0].Algorithms[0] != "enas" || s[1].Algorithms[0] != "enas" {
		t.Errorf("changes that differ: %+v", s)
	}
	s = judge(darts.variant(t, "darts", 0, low), adv.variant(t, "sdarts-adv", 0, low), darts.variant(t, "darts", 0, high), adv.variant(t, "sdarts-adv", 0, high))
	if len(s) != 2 || len(s[0].LeftOut)+len(s[1].LeftOut) != 0 || len(s[0].Changed) != 1 || len(s[1].Changed) != 1 || s[0].Changed[0].Value == s[1].Changed[0].Value {
		t.Errorf("two pairs: %+v", s)
	}

	// Without a preset to compare with, what an algorithm varies must agree.
	j, err := Judge([]*results.History{darts.variant(t, "darts", 0, low), adv.variant(t, "sdarts-adv", 0, low), darts.variant(t, "darts", 0, high), adv.variant(t, "sdarts-adv", 0, high), enas}, Options{Alpha: 0.05})
	if err != nil || len(j.Settings) != 2 || len(j.Settings[0].LeftOut)+len(j.Settings[1].LeftOut) != 0 || len(j.Settings[0].Algorithms) != 3 || len(j.Settings[1].Algorithms) != 3 || len(j.Settings[0].Varied) != 1 || len(j.Settings[0].Changed) != 0 {
		t.Errorf("two pairs of no preset: %+v, %v", j, err)
	}

	// SDARTS-ADV attacks in seven steps, and in one for P14 alone.
	s = judge(adv.variant(t, "sdarts-adv", 0, map[string]any{"pgd-steps": 3}), adv.run(t, "1", oneStep, 0), darts.run(t, "1", "darts", 0))
	if len(s) != 1 || !slices.Equal(s[0].Algorithms, []string{"darts", oneStep}) || len(s[0].LeftOut) != 1 || len(s[0].Changed) != 0 {
		t.Errorf("other attacks: %+v", s)
	}

	// The same run twice is an error.
	h := darts.run(t, "1", "darts", 0)
	if _, err := Judge([]*results.History{h, h}, Options{Alpha: 0.05}); err == nil {
		t.Error("the same run twice")
	}
	if _, err := Judge(nil, Options{}); err == nil {
		t.Error("judged at level 0")
	}
}

// TestLambdaOfTwoDefinitions is not compared.
func TestLambdaOfTwoDefinitions(t *testing.T) {
	runs := paper("1").runs(t, "1", upTo(8)...)
	for _, h := range runs {
		if h.Run.Algorithm == "darts" {
			for i := range h.Epochs {
				if h.Epochs[i].Hessian != nil {
					h.Epochs[i].Hessian.Definition = "norm"
				}
			}
		}
	}
	for _, number := range []string{"P6", "P7", "P8"} {
		r := one(t, runs, number, "1")
		if r.Verdict == Supported || r.Verdict == Contradicted || !strings.Contains(parts(r), "λ is defined differently (largest; norm)") {
			t.Errorf("%s: %s%s", number, r.Verdict, parts(r))
		}
	}
	if r := one(t, runs, "P5", "1"); r.Verdict != Supported {
		t.Errorf("growth within one definition: %s", r.Verdict)
	}
}

// TestMissingNumbers: a run without a number does not count where it is asked for.
func TestMissingNumbers(t *testing.T) {
	runs := paper("1").runs(t, "1", upTo(8)...)
	for _, h := range runs {
		if h.Run.Seed == 3 && h.Run.Algorithm == "sdarts-rs" {
			h.Epochs[7].Lookup.TestError = nil
			h.Epochs[8].Hessian = nil
			h.Epochs[9].Structure = nil
		}
	}
	for number, note := range map[string]string{
		"P1": "sdarts-rs of seed 3 has no test error in every record", "P6": "sdarts-rs of seed 3 has no λ of every epoch", "P12": "sdarts-rs of seed 3 has no two test errors in the second half",
	} {
		r := one(t, runs, number, "1")
		if r.Verdict != Supported || r.N != 7 || !strings.Contains(parts(r), note) {
			t.Errorf("%s: %s, n %d%s", number, r.Verdict, r.N, parts(r))
		}
	}
	if r := one(t, runs, "P3", "1"); r.N != 8 {
		t.Errorf("the final error is there: n %d", r.N)
	}
}

// TestCosts: ratios of runs on one device, beside the paper's.
func TestCosts(t *testing.T) {
	runs := paper("1").runs(t, "1", 0, 1, 2)
	for _, p := range one(t, runs, "P13", "1").Parts {
		if p.Verdict != Measured || p.P != nil || math.Abs(*p.Estimate-*p.Paper) > 1e-9 || p.Interval == nil || p.Interval.Low > *p.Estimate || p.Interval.High < *p.Estimate {
			t.Errorf("%s: %s, %v, paper %v, %v", p.Statement, p.Verdict, deref(p.Estimate), *p.Paper, p.Interval)
		}
	}
	for _, h := range runs {
		if h.Run.Algorithm == "gdas" && h.Run.Seed == 1 {
			h.Run.Provenance.Device = "another"
		}
	}
	for _, p := range one(t, runs, "P13", "1").Parts {
		if (p.Verdict == NotRun) != (p.Statement == "gdas to darts") || p.Verdict == NotRun && !strings.Contains(p.Note, "the devices differ: CPU of a test; another") {
			t.Errorf("%s: %s, %s", p.Statement, p.Verdict, p.Note)
		}
	}
}

// TestWindows: what the shares of the epochs are, of a record before each epoch and
// of one after it.
func TestWindows(t *testing.T) {
	line := func(first, last int) (s series) {
		s.first, s.end = first, 100
		for time := first; time <= last; time++ {
			s.values = append(s.values, float64(time))
		}
		return s
	}
	for _, s := range []series{line(0, 100), line(1, 100)} {
		for _, c := range []struct {
			got         []float64
			first, last float64
		}{
			{s.within(0.75, 0.80), 76, 80}, {s.within(0.95, 1), 96, 100}, {s.within(0.5, 1), 51, 100}, {s.late(), 91, 100},
		} {
			if len(c.got) != int(c.last-c.first)+1 || c.got[0] != c.first || c.got[len(c.got)-1] != c.last {
				t.Errorf("from time %d: %v, want %v to %v", s.first, c.got, c.first, c.last)
			}
		}
		if got := s.smoothed(); len(got) != len(s.values)-9 || got[len(got)-1] != 95.5 {
			t.Errorf("smoothed: %v", got)
		}
	}
	if got := line(1, 100).early(); got[0] != 1 || got[9] != 10 || len(got) != 10 {
		t.Errorf("early: %v", got)
	}
	short := series{first: 0, end: 4, values: []float64{1, 2, 3, 4, 5}}
	if short.within(0.75, 0.80) != nil || short.window() != 1 {
		t.Errorf("of four epochs: %v, a window of %d", short.within(0.75, 0.8), short.window())
	}
}

// TestJudgeProperties: the order of the runs does not matter; neither does which
// seeds the runs have, nor the unit of time; and verdicts follow from p.
func TestJudgeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{}
		space := rapid.SampledFrom(spaces.Names()).Draw(t, "space")
		number := rapid.Float64Range(1, 10)
		for name := range paper("1") {
			if rapid.IntRange(0, 5).Draw(t, "there") == 0 {
				continue
			}
			s := search{low: number.Draw(t, "low"), final: number.Draw(t, "final"), jitter: rapid.Float64Range(0, 0.5).Draw(t, "jitter"),
				decisions: rapid.IntRange(0, 3).Draw(t, "decisions"), seconds: number.Draw(t, "seconds")}
			if name != "enas" {
				s.λ = [3]float64{number.Draw(t, "λ"), number.Draw(t, "λ"), number.Draw(t, "λ")}
			}
			w[name] = s
		}
		seeds := upTo(rapid.IntRange(1, 4).Draw(t, "seeds"))
		runs := w.runs(t, space, seeds...)
		judge := func(runs []*results.History) *Judgement {
			j, err := Judge(runs, Options{Alpha: 0.05})
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
		j := judge(runs)
		if diff := cmp.Diff(string(j.CSV()), string(judge(rapid.Permutation(runs).Draw(t, "order")).CSV())); diff != "" {
			t.Fatalf("the order of the runs matters: %s", diff)
		}
		for _, s := range j.Settings {
			about := 0
			for _, c := range All {
				if c.SpeaksOf(space) {
					about++
				}
			}
			if len(s.Results) != about*len(s.Spaces) {
				t.Fatalf("%d results", len(s.Results))
			}
			for _, r := range s.Results {
				if want := composite(r.Parts); r.Verdict != want {
					t.Fatalf("%s is %s, its parts say %s", r.Claim, r.Verdict, want)
				}
				for _, p := range r.Parts {
					if p.P == nil {
						continue
					}
					own := *p.P
					if p.Corrected != nil {
						own = *p.Corrected
					}
					if own < *p.P || own < p.floor-1e-12 || (p.Verdict == Contradicted) != (*p.Opposite <= 0.05) || p.Verdict == Supported && own > 0.05 || math.Abs(*p.Effect) > 1 {
						t.Fatalf("%s, %s: %s, p %v, corrected %v, floor %v, opposite %v", r.Claim, p.Statement, p.Verdict, *p.P, own, p.floor, *p.Opposite)
					}
				}
			}
		}
	})
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// TestDocumented: the document has every claim as it is judged.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/claims.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range All {
		if line := fmt.Sprintf("| %s | %s | %s |\n", c.Number, c.Statement, c.Definition); !strings.Contains(string(text), line) {
			t.Errorf("docs/claims.md lacks the line\n%s", line)
		}
	}
}
