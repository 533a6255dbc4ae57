// Package verify checks the program against golden data: numbers that the
// released code of NAS-Bench-1Shot1 and SmoothDARTS computed in float64.
//
// A source of golden data has one folder per case. What a case is shows in what it
// holds, above all in its manifest; the folder's name does not matter. Everything a case stores is either an
// input of the computation or an expectation of it, apart from a few declared
// descriptions, so nothing goes unchecked unnoticed; a case that the program has no
// check for does not pass.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"runtime"
	"slices"

	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/engine"
	_ "github.com/nb1shot/nb1shot/internal/engine/ref" // the float64 engine that widen measures with
	"github.com/nb1shot/nb1shot/random"
)

// Verdict is the outcome of one case.
type Verdict int

const (
	Pass       Verdict = iota
	Fail               // a number is off, something stored was not computed, or the case cannot be read
	NotChecked         // the program has no computation of this kind
)

// String returns "pass", "FAIL" or "not checked".
func (v Verdict) String() string { return [...]string{"pass", "FAIL", "not checked"}[v] }

// Result is what came of one case.
type Result struct {
	Case     string // name of its folder
	Kind     string // "" where it cannot be told
	Verdict  Verdict
	Compared int // numbers and texts that were held against the case

	// The array or field that is off the most for its tolerance. Error is the
	// largest difference relative to the largest expected magnitude in it, +Inf
	// where a difference cannot be measured.
	At        string
	Error     float64
	Tolerance float64

	Detail string // why it failed where the numbers do not say
}

// kind is a family of cases and how to compute them.
type kind struct {
	name    string
	is      func(*golden) bool // tells from what is stored whether a case is of this kind
	network func(*golden, engine.Engine, *findings) error
	host    func(*golden, *findings) error // instead of network, where no supernet is involved
	// background are leaves that cannot be compared; each declaration says why.
	background *regexp.Regexp
	// single are leaves that went through single precision in the released code.
	single    *regexp.Regexp
	tolerance float64 // of host kinds; 0 means hostTolerance
}

// ErrNoCases reports a directory without golden cases.
var ErrNoCases = errors.New("no golden cases")

// Run computes every case of a source, in alphabetical order, on the named engine
// with the given number of threads and calls report, if not nil, after each. The error is
// about the source, the engine or the context; cases that fail are in the
// results, see [Passed].
func Run(ctx context.Context, source Source, engineName string, threads int, report func(Result)) ([]Result, error) {
	e, err := engine.Open(engineName, threads)
	if err != nil {
		return nil, err
	}
	if e.Precision() == engine.Mixed {
		return nil, fmt.Errorf("engine %s rounds activations to bfloat16, for which golden numbers have no tolerance; engine cpu runs the same kernels in float32", engineName)
	}
	names, err := source.cases()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(names, source.isCase) {
		like := ""
		if source.like != "" {
			like = fmt.Sprintf(" like %q", source.like)
		}
		return nil, fmt.Errorf("%w%s in %s: a case is a folder with a %s", ErrNoCases, like, source, manifestFile)
	}
	var all []Result
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		r, err := abandon.Do(ctx, 0, func() (Result, error) { return runCase(source, name, e), nil })
		if err != nil {
			return all, err
		}
		if report != nil {
			report(r)
		}
		all = append(all, r)
	}
	return all, nil
}

const manifestFile = "manifest.json"

// isCase tells whether a folder is meant as a case, of whatever kind.
func (s Source) isCase(name string) bool {
	files, err := s.list(name)
	return err == nil && slices.ContainsFunc(files, func(f fs.DirEntry) bool { return f.Name() == manifestFile })
}

// Passed reports whether every case passed.
func Passed(results []Result) bool {
	for _, r := range results {
		if r.Verdict != Pass {
			return false
		}
	}
	return len(results) > 0
}

func runCase(source Source, name string, e engine.Engine) Result {
	r := Result{Case: name}
	failed := func(err error) Result {
		r.Verdict, r.Detail, r.Error = Fail, err.Error(), math.Inf(1)
		return r
	}
	g, err := loadGolden(source, name)
	if err != nil {
		return failed(err)
	}
	k, ok := kindOf(g)
	if !ok {
		r.Verdict = NotChecked
		return r
	}
	r.Kind = k.name
	all, err := k.run(g, e)
	if err != nil {
		return failed(err)
	}
	for _, d := range all {
		r.Compared += d.count
	}
	w := worst(all)
	r.At, r.Error, r.Tolerance, r.Detail = w.leaf, w.error, w.tolerance, w.note
	if !w.ok() {
		r.Verdict = Fail
	}
	return r
}

func kindOf(g *golden) (kind, bool) {
	for _, k := range kinds {
		if k.is(g) {
			return k, true
		}
	}
	return kind{}, false
}

// run computes a case and returns how far each leaf is off.
func (k kind) run(g *golden, e engine.Engine) ([]deviation, error) {
	r, err := k.compute(g, e)
	if err != nil {
		return nil, err
	}
	all := k.compare(g, r, e.Precision())
	if len(all) == 0 {
		return nil, errors.New("the case expects nothing")
	}
	if e.Precision() == "float32" && !worst(all).ok() {
		return all, k.widen(all, g)
	}
	return all, nil
}

func (k kind) compute(g *golden, e engine.Engine) (*findings, error) {
	r := newResults()
	var err error
	if k.network != nil {
		err = k.network(g, e, r)
	} else {
		err = k.host(g, r)
	}
	// A wrong input explains what went wrong after it.
	if g.err != nil {
		err = g.err
	}
	return r, err
}

func (k kind) compare(g *golden, r *findings, precision string) []deviation {
	tolerance := networkTolerance(precision)
	switch {
	case k.network == nil:
		tolerance = func(string) float64 {
			if k.tolerance > 0 {
				return k.tolerance
			}
			return hostTolerance
		}
	case k.single != nil:
		double := tolerance
		tolerance = func(name string) float64 {
			if k.single.MatchString(name) {
				return max(double(name), singleTolerance)
			}
			return double(name)
		}
	}
	return compare(g, r, k.background, tolerance)
}

// widen raises the tolerances of single precision to what the case allows. Where
// an activation lies at a kink of ReLU or max-pooling, or a gradient that PGD
// takes the sign of at 0, rounding makes it switch, and everything after jumps.
// A leaf may move by twice as much as it does in float64 when every weight the
// case starts from is off by a few roundings of single precision.
func (k kind) widen(all []deviation, g *golden) error {
	const (
		trials = 8
		jitter = 1e-6
	)
	if k.network == nil {
		return nil
	}
	e, err := engine.Open("ref", runtime.GOMAXPROCS(0))
	if err != nil {
		return fmt.Errorf("measure how the case reacts to rounding: %w", err)
	}
	defer func() { g.jitter = nil }()
	for trial := range uint64(trials) {
		g.jitter = func(weights []float64) {
			draws := random.New(trial, "verify/jitter")
			for i := range weights {
				weights[i] *= 1 + jitter*draws.NormFloat64()
			}
		}
		r, err := k.compute(g, e)
		if err != nil {
			return err
		}
		for i, d := range k.compare(g, r, e.Precision()) {
			// What is missing, or a text, does not move by rounding.
			if !math.IsInf(d.error, 0) {
				all[i].tolerance = max(all[i].tolerance, 2*d.error)
			}
		}
	}
	return nil
}
