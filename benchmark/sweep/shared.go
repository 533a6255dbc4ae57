package sweep

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/spaces"
)

// Shared is what all runs of a sweep have in common. With space, algorithm and
// seed it decides every number of a run.
type Shared struct {
	Preset string `json:"preset"`
	// Values is the preset that has the values of Preset, where that is its former
	// name, see [Manifest.Renamed]; else empty.
	Values string `json:"-"`
	// Settings are the departures from the preset, as benchmark.Config.Set takes
	// them: NAME is for all runs, ALGORITHM.NAME for those of one algorithm and
	// goes before NAME.
	Settings map[string]string `json:"settings"`
	Images   *Source           `json:"images,omitempty"` // at the side that is searched at; nil while no unit needs any
	Table    Source            `json:"table"`
	Engine   string            `json:"engine"` // its name
	// Retrain says how the network of what each run found is trained; nil where none is.
	Retrain *Retraining `json:"retrain,omitempty"`
}

// Source identifies the images or the table as the provenance of a run does.
type Source struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"` // SHA-256, hex
}

func (s Source) String() string { return fmt.Sprintf("%s %.8s", s.Kind, s.Digest) }

// ofAll are the settings that cannot be those of one algorithm: all runs share
// their images.
var ofAll = []string{"limit", "side"}

// ErrOfAll reports a setting that only all runs together can have.
var ErrOfAll = errors.New("applies to all algorithms: the runs share their images")

// SplitSetting divides the name of a setting into the algorithm that it is for,
// empty for all, and its name there. A setting that cannot be of one algorithm is
// an error that wraps [ErrOfAll].
func SplitSetting(name string) (algorithm, setting string, err error) {
	algorithm, setting, limited := strings.Cut(name, ".")
	if !limited {
		return "", name, nil
	}
	if slices.Contains(ofAll, setting) {
		return "", "", fmt.Errorf("%s %w", setting, ErrOfAll)
	}
	return algorithm, setting, nil
}

func (s Shared) check() error {
	if !word.MatchString(s.Preset) {
		return fmt.Errorf("preset: %q is not a name of lower-case letters, digits and hyphens", s.Preset)
	}
	for name := range s.Settings {
		algorithm, setting, err := SplitSetting(name)
		if err != nil {
			return fmt.Errorf("settings.%s: %w", name, err)
		}
		if !word.MatchString(setting) || algorithm != "" && !word.MatchString(algorithm) || strings.HasPrefix(name, ".") {
			return fmt.Errorf("settings: %q is neither NAME nor ALGORITHM.NAME", name)
		}
	}
	if s.Images != nil && (s.Images.Kind == "" || s.Images.Digest == "") {
		return errors.New("images: kind or digest is missing")
	}
	if s.Table.Kind == "" || s.Table.Digest == "" {
		return errors.New("table: kind or digest is missing")
	}
	if s.Engine == "" {
		return errors.New("engine is missing")
	}
	if s.Retrain != nil {
		if err := s.Retrain.check(); err != nil {
			return fmt.Errorf("retrain.%w", err)
		}
	}
	return nil
}

// Config returns the configuration of an algorithm on a space. A setting for all
// algorithms that this one lacks is an error that wraps benchmark.ErrSetting.
func (s Shared) Config(space spaces.Name, algorithm string) (benchmark.Config, error) {
	c, err := benchmark.NewConfig(cmp.Or(s.Values, s.Preset), space, algorithm)
	if err != nil {
		return benchmark.Config{}, err
	}
	c.Preset = s.Preset
	for _, limited := range []bool{false, true} {
		for _, name := range slices.Sorted(maps.Keys(s.Settings)) {
			of, setting, err := SplitSetting(name)
			if err != nil {
				return benchmark.Config{}, err
			}
			if (of != "") != limited || limited && of != algorithm {
				continue
			}
			if err := c.Set(setting, s.Settings[name]); err != nil {
				return benchmark.Config{}, fmt.Errorf("setting %s of the sweep: %w", name, err)
			}
		}
	}
	return c, c.Check()
}

// DifferentError reports that a folder holds a sweep of another configuration.
type DifferentError struct {
	// Differences says in what: "preset is quick there, paper here".
	Differences []string
}

// Error lists the differences.
func (e *DifferentError) Error() string {
	return "another sweep: " + strings.Join(e.Differences, "; ")
}

// Extend makes the manifest's configuration that of new, which may add what
// concerns none of its units: settings of other algorithms, and images where there
// were none; and that networks are trained, where none were. Anything else is a *DifferentError. A manifest without units takes
// any. nil images in new stand for those that are there.
func (m *Manifest) Extend(new Shared) error {
	if len(m.Units) == 0 {
		m.Shared = new
		return nil
	}
	old := m.Shared
	if new.Images == nil {
		new.Images = old.Images
	}
	different := &DifferentError{}
	compare := func(what string, there, here any) {
		if there != here {
			different.Differences = append(different.Differences, fmt.Sprintf("%s is %v there, %v here", what, there, here))
		}
	}
	compare("preset", old.Preset, new.Preset)
	compare("engine", old.Engine, new.Engine)
	compare("table", old.Table, new.Table)
	if old.Images != nil {
		compare("images", *old.Images, *new.Images)
	}
	if old.Retrain != nil {
		here := "none"
		if new.Retrain != nil {
			here = new.Retrain.String()
		}
		compare("training of networks", old.Retrain.String(), here)
	}
	changed, err := m.changedSettings(new.Settings)
	if err != nil {
		return err
	}
	different.Differences = append(different.Differences, changed...)
	if len(different.Differences) > 0 {
		return different
	}
	m.Shared = new
	return nil
}

// changedSettings says which settings of the manifest's algorithms would be others
// by the given ones.
func (m *Manifest) changedSettings(settings map[string]string) ([]string, error) {
	with := m.Shared
	with.Settings = settings
	grid := m.Grid()
	all := grid.Algorithms
	var changes []string        // in the order in which they were found
	of := map[string][]string{} // change → algorithms
	for _, algorithm := range all {
		for _, space := range grid.Spaces {
			there, err := m.Shared.Config(space, algorithm)
			if err != nil {
				return nil, fmt.Errorf("manifest: %w", err)
			}
			here, err := with.Config(space, algorithm)
			if err != nil {
				return nil, err
			}
			for _, name := range benchmark.Settable(algorithm) {
				if old, new := format(there, name), format(here, name); old != new {
					change := fmt.Sprintf("%s is %s there, %s here", name, old, new)
					changes = include(changes, change)
					of[change] = include(of[change], algorithm)
				}
			}
		}
	}
	for i, change := range changes {
		if len(of[change]) < len(all) {
			changes[i] = strings.Join(of[change], ", ") + ": " + change
		}
	}
	return changes, nil
}

// format writes the value of a setting that benchmark.Settable lists.
func format(c benchmark.Config, name string) string {
	for _, o := range benchmark.Options {
		if o.Name == name {
			return o.Format(c)
		}
	}
	if definition, err := algorithms.Lookup(c.Algorithm); err == nil {
		for _, o := range definition.OnEverySpace() {
			if v, ok := c.Settings[name]; ok && o.Name == name {
				return o.Format(v)
			}
		}
	}
	return ""
}
