package sweep

import (
	"context"
	"maps"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms"
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
	shared := m.Shared
	shared.Values = benchmark.Presets[i].Name
	if !m.names(ctx, shared, m.Units[0], oracle) { // all have the preset in common
		return ""
	}
	return shared.Values
}

// LastHessian tells whether the units of the manifest have the setting hessian=last by their
// preset, as small and quick had it before they took λ on several batches: the setting then
// stands for it. It is false where that cannot be told. The oracle is the table that the
// manifest names.
func (m *Manifest) LastHessian(ctx context.Context, oracle nasbench.Oracle) bool {
	if _, set := m.Shared.Settings[hessian]; set {
		return false
	}
	i := slices.IndexFunc(m.Units, func(u Unit) bool { // of an algorithm that has one
		d, err := algorithms.Lookup(u.Algorithm)
		return err == nil && !d.Discrete && !d.TableOnly
	})
	if i < 0 {
		return false
	}
	now, former := m.Shared, m.Shared
	former.Settings = maps.Clone(m.Shared.Settings)
	if former.Settings == nil {
		former.Settings = map[string]string{}
	}
	former.Settings[hessian] = "last"
	c, err := now.Config(m.Units[i].Space, m.Units[i].Algorithm)
	return err == nil && c.Hessian != "last" && m.names(ctx, former, m.Units[i], oracle)
}

// hessian is the setting of benchmark.Options.
const hessian = "hessian"

// names tells whether a unit has the name that the configuration gives it.
func (m *Manifest) names(ctx context.Context, shared Shared, u Unit, oracle nasbench.Oracle) bool {
	r := &Runner{Shared: shared, Oracle: oracle}
	config, err := shared.Config(u.Space, u.Algorithm)
	if err != nil {
		return false
	}
	// The name of a run depends on how many images there are, and on those that the
	// manifest states: any will do to prepare it.
	r.Train, r.Test = data.Procedural(config.Limit, 0), data.Procedural(max(config.Limit/5, 1), 1)
	search, err := r.prepare(ctx, u, 1)
	if err != nil {
		return false
	}
	made := search.Record()
	if m.Shared.Images != nil && made.Provenance.Images != results.NoImages {
		made.Provenance.Images, made.Provenance.ImagesDigest = m.Shared.Images.Kind, m.Shared.Images.Digest
	}
	made, err = results.NewRun(u.Space, u.Algorithm, u.Seed, made.Provenance, made.Config)
	return err == nil && made.Name() == u.Run
}
