package claims

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// oneStep is what SDARTS-ADV with an attack of one step is called.
const oneStep = "sdarts-adv, pgd-steps 1"

// attackSteps is the setting in which it differs. What the paper calls SDARTS-ADV
// attacks in seven steps.
const attackSteps = "settings.pgd-steps"

// candidate is a curve that may count as its algorithm.
type candidate struct {
	results.Curve
	name     string            // under which claims ask for it; empty where none does
	settings map[string]string // of the configuration
	changed  map[string]string // those that are not the preset's, but for attackSteps; nil where the preset is not known
	varied   map[string]string // those in which curves of one algorithm and space differ, likewise
}

// place is where a candidate counts.
type place struct {
	space spaces.Name
	name  string
}

func newCandidate(c results.Curve, changed func(results.Run) map[string]string) (candidate, error) {
	run := c.Runs[0].Run
	settings, err := run.Settings()
	if err != nil {
		return candidate{}, fmt.Errorf("%s: %w", c.Runs[0].Dir, err)
	}
	all := candidate{Curve: c, name: c.Algorithm, settings: settings}
	if changed != nil {
		all.changed = maps.Clone(changed(run)) // nil stays nil
		delete(all.changed, attackSteps)
	}
	if c.Algorithm == "sdarts-adv" {
		switch settings[attackSteps] {
		case "", "7":
		case "1":
			all.name = oneStep
		default:
			all.name = ""
		}
	}
	return all, nil
}

// agrees tells whether the settings that both have are the preset's in both, or
// changed alike. Where a preset is not known, those that any algorithm varies must be
// equal.
func (c candidate) agrees(d candidate) bool {
	if c.changed == nil || d.changed == nil {
		for name, value := range c.varied {
			if other, has := d.settings[name]; has && other != value {
				return false
			}
		}
		return true
	}
	for _, pair := range [][2]candidate{{c, d}, {d, c}} {
		for name, value := range pair[0].changed {
			if _, has := pair[1].settings[name]; !has {
				continue
			}
			if other, ok := pair[1].changed[name]; !ok || other != value {
				return false
			}
		}
	}
	return true
}

// vary sets what the candidates vary.
func vary(all []candidate) {
	names := map[string]bool{}
	for i, c := range all {
		for _, d := range all[:i] {
			if d.Space != c.Space || d.Algorithm != c.Algorithm {
				continue
			}
			for name, value := range c.settings {
				if other, has := d.settings[name]; has && other != value && name != attackSteps {
					names[name] = true
				}
			}
		}
	}
	for i := range all {
		all[i].varied = map[string]string{}
		for name := range names {
			if value, has := all[i].settings[name]; has {
				all[i].varied[name] = value
			}
		}
	}
}

// family is curves that can be compared, one at each place.
type family struct {
	members map[place]candidate
	leftOut []candidate // curves that another has taken the place of
}

// agrees tells whether a candidate agrees with all members but that in its place.
func (f *family) agrees(c candidate) bool {
	for at, m := range f.members {
		if at != (place{c.Space, c.name}) && !c.agrees(m) {
			return false
		}
	}
	return true
}

// sort parts curves of one setting into families. A curve without the settings in
// which two families differ is in both.
func sort(curves []results.Curve, changed func(results.Run) map[string]string) ([]*family, error) {
	var all, nameless []candidate
	for _, c := range curves {
		k, err := newCandidate(c, changed)
		switch {
		case err != nil:
			return nil, err
		case k.name == "":
			nameless = append(nameless, k)
		default:
			all = append(all, k)
		}
	}
	vary(all)
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(len(a.changed), len(b.changed)), -cmp.Compare(len(a.Runs), len(b.Runs)),
			strings.Compare(a.Runs[0].Run.ConfigHash, b.Runs[0].Run.ConfigHash))
	})
	var families []*family
	member, out := make([]bool, len(all)), make([]bool, len(all))
	for first := range all {
		if member[first] || out[first] {
			continue
		}
		f := &family{members: map[place]candidate{{all[first].Space, all[first].name}: all[first]}}
		member[first] = true
		for i, c := range all {
			at := place{c.Space, c.name}
			if _, taken := f.members[at]; !taken && !out[i] && f.agrees(c) {
				f.members[at] = c
				member[i] = true
			}
		}
		for i, c := range all { // now that all members are there to agree with
			if !member[i] && !out[i] && f.agrees(c) {
				f.leftOut = append(f.leftOut, c)
				out[i] = true
			}
		}
		families = append(families, f)
	}
	for _, c := range nameless {
		if len(families) > 0 {
			families[0].leftOut = append(families[0].leftOut, c)
		}
	}
	return families, nil
}

// describe says in s what the family is made of.
func (f *family) describe(s *Setting) {
	on, there, devices := map[spaces.Name]bool{}, map[string]bool{}, map[string]bool{}
	for at, c := range f.members {
		on[at.space], there[at.name] = true, true
		for _, h := range c.Runs {
			if d := h.Run.Provenance.Device; d != "" {
				devices[d] = true
			}
		}
	}
	s.Algorithms, s.LeftOut = inOrder(there), []string{}
	s.Spaces = slices.AppendSeq([]spaces.Name{}, maps.Keys(on))
	slices.Sort(s.Spaces)
	s.Devices = append([]string{}, slices.Sorted(maps.Keys(devices))...)
	s.Changed = f.changes(func(c candidate) map[string]string { return c.changed })
	s.Varied = f.changes(func(c candidate) map[string]string {
		if c.changed != nil {
			return nil
		}
		return c.varied
	})
	for _, c := range f.leftOut {
		what := fmt.Sprintf("space %s, %s", c.Space, c.Algorithm)
		if c.Variant != "" {
			what += ", " + c.Variant
		}
		s.LeftOut = append(s.LeftOut, fmt.Sprintf("%s: seed %s", what, stability.List(seedsOf(c.Curve))))
	}
	slices.Sort(s.LeftOut)
}

// changes lists settings of the members, with the algorithms that have them.
func (f *family) changes(of func(candidate) map[string]string) []Change {
	changers := map[[2]string]map[string]bool{} // name and value → algorithms
	for at, c := range f.members {
		for name, value := range of(c) {
			change := [2]string{name, value}
			if changers[change] == nil {
				changers[change] = map[string]bool{}
			}
			changers[change][at.name] = true
		}
	}
	all := []Change{}
	for change, names := range changers {
		all = append(all, Change{change[0], change[1], inOrder(names)})
	}
	slices.SortFunc(all, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
	return all
}

// inOrder sorts names as the claims have them.
func inOrder(names map[string]bool) []string {
	return slices.DeleteFunc(append(slices.Clone(algorithms), oneStep), func(name string) bool { return !names[name] })
}

func seedsOf(c results.Curve) []uint64 {
	var all []uint64
	for _, h := range c.Runs {
		all = append(all, h.Run.Seed)
	}
	return all
}

// result judges a claim on a space.
func (f *family) result(c Claim, space spaces.Name, alpha float64) (Result, error) {
	j := &judge{space: space, curves: map[string]results.Curve{}, alpha: alpha}
	for at, m := range f.members {
		if at.space == space {
			j.curves[at.name] = m.Curve
		}
	}
	r, err := j.result(c)
	if err != nil {
		return r, fmt.Errorf("%s on space %s: %w", c.Number, space, err)
	}
	return r, nil
}
