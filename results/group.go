package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/spaces"
)

// Curve is the runs of one configuration, apart only in their seed.
type Curve struct {
	Space      spaces.Name
	Algorithm  string
	Variant    string     // the settings that tell it from other curves of its algorithm, "steps 1, cutout true"; empty where there is no other
	Provenance Provenance // of the first run; Key is common to all
	Runs       []*History // by ascending seed, at least one
}

// Statistic is how the values of several seeds become a middle and a spread.
type Statistic int

const (
	// Arithmetic is the mean, and one sample standard deviation to either side.
	Arithmetic Statistic = iota
	// Geometric is the same of the logarithms: the geometric mean, divided and
	// multiplied by the geometric standard deviation. Values that are not positive
	// have no logarithm and are left out, as if they were not recorded.
	Geometric
	// Quartiles is the median and the two other quartiles, interpolated linearly
	// between the seeds.
	Quartiles
	// Uncertainty is the mean, and its standard error to either side.
	Uncertainty
)

// of returns the statistic of some values; low and high are the middle itself for
// one value. There must be one, and Geometric needs positive ones.
func (s Statistic) of(x []float64) (low, middle, high float64) {
	switch s {
	case Geometric:
		logs := make([]float64, len(x))
		for i, v := range x {
			logs[i] = math.Log(v)
		}
		low, middle, high = Arithmetic.of(logs)
		return math.Exp(low), math.Exp(middle), math.Exp(high)
	case Quartiles:
		low, high = stats.Quartiles(x)
		return low, stats.Median(x), high
	}
	mean, std := stats.Mean(x), 0.0
	if len(x) > 1 {
		std = stats.Std(x)
	}
	if s == Uncertainty {
		std /= math.Sqrt(float64(len(x)))
	}
	return mean - std, mean, mean + std
}

// Point is the statistic of one quantity over the seeds that have it.
type Point struct {
	Epoch  int     // of the records
	Final  bool    // the marked evaluation after the last epoch
	Middle float64 // mean or median
	// Low and High bound the spread around it; both are Middle for one seed.
	Low, High float64
	Seeds     int // at least 1
}

// Group gathers runs into curves: one for each space, algorithm, configuration
// and Provenance.Key, in this order (all four make up ConfigHash). Runs of
// different length are kept whole; Point.Seeds tells how many reach an epoch.
// The same seed twice in one curve is an error.
func Group(runs []*History) ([]Curve, error) {
	sorted := slices.SortedFunc(slices.Values(runs), func(a, b *History) int {
		return cmp.Or(
			cmp.Compare(a.Run.Space, b.Run.Space),
			strings.Compare(a.Run.Algorithm, b.Run.Algorithm),
			strings.Compare(a.Run.ConfigHash, b.Run.ConfigHash),
			cmp.Compare(a.Run.Seed, b.Run.Seed),
		)
	})
	var curves []Curve
	for i, h := range sorted {
		if i == 0 || sorted[i-1].Run.ConfigHash != h.Run.ConfigHash {
			curves = append(curves, Curve{
				Space: h.Run.Space, Algorithm: h.Run.Algorithm, Provenance: h.Run.Provenance, Runs: []*History{h},
			})
			continue
		}
		if previous := sorted[i-1]; previous.Run.Seed == h.Run.Seed {
			return nil, fmt.Errorf("%s and %s are the same run, seed %d: give one of them", previous.Dir, h.Dir, h.Run.Seed)
		}
		c := &curves[len(curves)-1]
		c.Runs = append(c.Runs, h)
	}
	if err := nameVariants(curves); err != nil {
		return nil, err
	}
	return curves, nil
}

// nameVariants sets Variant on the curves of every algorithm that has more
// than one curve on some space: the settings in which those of one space
// differ, so that a variant is called the same on every space.
func nameVariants(curves []Curve) error {
	settings := make([]map[string]string, len(curves))
	apart := map[string]map[string]bool{} // algorithm → names of settings
	// Curves that differ from each other differ from the first of them.
	type group struct {
		space     spaces.Name
		algorithm string
	}
	firsts := map[group]map[string]string{}
	for i, c := range curves {
		var err error
		if settings[i], err = c.Runs[0].Run.Conditions(); err != nil {
			return fmt.Errorf("%s: %w", c.Runs[0].Dir, err)
		}
		first, there := firsts[group{c.Space, c.Algorithm}]
		if !there {
			firsts[group{c.Space, c.Algorithm}] = settings[i]
			continue
		}
		if apart[c.Algorithm] == nil {
			apart[c.Algorithm] = map[string]bool{}
		}
		for _, pair := range [][2]map[string]string{{settings[i], first}, {first, settings[i]}} {
			for name, value := range pair[0] {
				if other, ok := pair[1][name]; !ok || other != value {
					apart[c.Algorithm][name] = true
				}
			}
		}
	}
	for i := range curves {
		var parts []string
		for name := range apart[curves[i].Algorithm] {
			if value, ok := settings[i][name]; ok {
				parts = append(parts, name+" "+value)
			}
		}
		slices.Sort(parts)
		curves[i].Variant = strings.Join(parts, ", ")
	}
	return nil
}

// Conditions lists the Settings of the run and its Provenance.Key by dotted name.
// A member of the provenance that is called like one of the configuration is
// "provenance.NAME".
func (r Run) Conditions() (map[string]string, error) {
	all, err := r.Settings()
	if err != nil {
		return nil, err
	}
	for _, m := range r.Provenance.key() {
		if _, taken := all[m.name]; taken {
			m.name = "provenance." + m.name
		}
		all[m.name] = m.value
	}
	return all, nil
}

// flatten lists the members of a JSON object by dotted names below name, in one
// pass. The decoder stands before the object, at whose bytes text begins.
func flatten(d *json.Decoder, text []byte, name string, into map[string]string) error {
	if len(text) == 0 { // of a run without a configuration
		return nil
	}
	if _, err := d.Token(); err != nil { // the brace
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		member := strings.TrimPrefix(name+"."+key.(string), ".")
		if rest := bytes.TrimLeft(text[d.InputOffset():], ": \t\r\n"); bytes.HasPrefix(rest, []byte("{")) {
			err = flatten(d, text, member, into)
		} else {
			var value json.RawMessage
			if err = d.Decode(&value); err == nil {
				into[member] = strings.Trim(string(value), `"`)
			}
		}
		if err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// MixedError reports two runs that must not stand in one figure or table, because
// they were not measured on the same images, table, preset and scale.
type MixedError struct {
	Field  string // as in config.json, such as "table_digest"
	Dirs   [2]string
	Values [2]string // of Field
}

// Error names both runs and what they differ in.
func (e *MixedError) Error() string {
	return fmt.Sprintf("%s and %s differ in %s (%s, %s): draw and compare them apart",
		e.Dirs[0], e.Dirs[1], e.Field, e.Values[0], e.Values[1])
}

// CheckSetting refuses curves of different Provenance.Setting with a *MixedError.
func CheckSetting(curves []Curve) error {
	if len(curves) == 0 {
		return nil
	}
	first := Trained(curves).Runs[0]
	for _, c := range curves {
		h := c.Runs[0] // the others agree, or would be another curve
		field, a, b := Difference(Comparable(first.Run.Provenance.Setting(), h.Run.Provenance.Setting()))
		if field != "" {
			return &MixedError{Field: field, Dirs: [2]string{first.Dir, h.Dir}, Values: [2]string{a, b}}
		}
	}
	return nil
}

// Trained is the first of some curves, at least one, whose runs trained on images,
// which have more to differ in, or else the first.
func Trained(curves []Curve) Curve {
	for _, c := range curves {
		if c.Provenance.Images != NoImages {
			return c
		}
	}
	return curves[0]
}

// Trajectory is a statistic of a quantity over the seeds, one point for every
// epoch at which at least one seed has it (the quantity is nil where a record
// lacks it). A final record is a point of its own.
func (c Curve) Trajectory(quantity func(Epoch) *float64, statistic Statistic) []Point {
	longest := 0
	for _, h := range c.Runs {
		longest = max(longest, len(h.Epochs))
	}
	var points []Point
	for epoch := range longest {
		for _, final := range []bool{false, true} {
			var values []float64
			for _, h := range c.Runs {
				if epoch >= len(h.Epochs) || h.Epochs[epoch].Final != final {
					continue
				}
				if x := quantity(h.Epochs[epoch]); x != nil && (statistic != Geometric || *x > 0) {
					values = append(values, *x)
				}
			}
			if len(values) > 0 {
				low, middle, high := statistic.of(values)
				points = append(points, Point{Epoch: epoch, Final: final, Low: low, Middle: middle, High: high, Seeds: len(values)})
			}
		}
	}
	return points
}

// Has tells whether any record of the curve has a quantity.
func (c Curve) Has(quantity func(Epoch) *float64) bool {
	return slices.ContainsFunc(c.Runs, func(h *History) bool {
		return slices.ContainsFunc(h.Epochs, func(e Epoch) bool { return quantity(e) != nil })
	})
}
