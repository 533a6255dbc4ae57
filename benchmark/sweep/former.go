package sweep

import (
	"context"
	"slices"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
)

// Renamed returns what the preset of the manifest is called now, if its units have
// the values of a preset whose name another one has taken over: they are then for
// [Shared.Values], and the sweep goes on with them under the name that it has. It
// is empty where they do not, and where that cannot be told. The oracle is the
// table that the manifest names.
func (m *Manifest) Renamed(ctx context.Context, oracle nasbench.Oracle) string {
	i := slices.IndexFunc(benchmark.Presets, func(p benchmark.Preset) bool { return p.Former == m.Shared.Preset })
	if i < 0 || len(m.Units) == 0 {
		return ""
	}
	u := m.Units[0] // all have the preset in common
	r := &Runner{Shared: m.Shared, Oracle: oracle}
	r.Shared.Values = benchmark.Presets[i].Name
	config, err := r.Shared.Config(u.Space, u.Algorithm)
	if err != nil {
		return ""
	}
	// The name of a run depends on how many images there are, and on those that the
	// manifest states: any will do to prepare it.
	r.Train, r.Test = data.Procedural(config.Limit, 0), data.Procedural(max(config.Limit/5, 1), 1)
	search, err := r.prepare(ctx, u, 1)
	if err != nil {
		return ""
	}
	made := search.Record()
	if m.Shared.Images != nil && made.Provenance.Images != results.NoImages {
		made.Provenance.Images, made.Provenance.ImagesDigest = m.Shared.Images.Kind, m.Shared.Images.Digest
	}
	made, err = results.NewRun(u.Space, u.Algorithm, u.Seed, made.Provenance, made.Config)
	if err != nil || made.Name() != u.Run {
		return ""
	}
	return r.Shared.Values
}
