package benchmark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/checkpoint"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/supernet"
)

// CheckpointFile is the name of the checkpoint in a run directory: the search
// after the newest epoch that is in the record.
const CheckpointFile = "checkpoint"

// checkpointMeta is what a checkpoint says of itself.
type checkpointMeta struct {
	ConfigHash string `json:"config_hash"` // of the run it belongs to
	Seed       uint64 `json:"seed"`
	Epochs     int    `json:"epochs"` // done
}

// vectors lists the parts of the supernet that a checkpoint holds.
func vectors(net *supernet.Net) map[string]struct {
	n     int
	read  func([]float64)
	write func([]float64)
} {
	p, s := net.ParameterCount(), net.StatisticsCount()
	return map[string]struct {
		n     int
		read  func([]float64)
		write func([]float64)
	}{
		"weights":    {p, net.ReadParameters, net.WriteParameters},
		"momentum":   {p, net.ReadMomentum, net.WriteMomentum},
		"statistics": {s, net.ReadStatistics, net.WriteStatistics},
	}
}

// save writes the checkpoint of the search after so many epochs.
func (s *Search) save(epochs int) error {
	meta, err := json.Marshal(checkpointMeta{s.record.ConfigHash, s.Seed, epochs})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	searcher, err := s.searcher.State()
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	state := checkpoint.State{Meta: meta, Blobs: map[string][]byte{"searcher": searcher}, Vectors: map[string]checkpoint.Vector{}}
	if s.net != nil {
		for name, v := range vectors(s.net) {
			values := make([]float64, v.n)
			v.read(values)
			state.Vectors[name] = checkpoint.Vector{Values: values, Single: s.engine.Precision() == "float32"}
		}
		if touched := s.net.ReadTouched(); touched != nil {
			state.Blobs["touched"] = make([]byte, len(touched))
			for i, t := range touched {
				if t {
					state.Blobs["touched"][i] = 1
				}
			}
		}
	}
	if err := checkpoint.Save(filepath.Join(s.writer.Dir(), CheckpointFile), state); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// ErrNoCheckpoint reports a run directory without a checkpoint: of a run before
// its first epoch was done, or made by an older program.
var ErrNoCheckpoint = errors.New("no checkpoint")

// ErrOtherRun reports a run directory that is not of this search.
var ErrOtherRun = errors.New("another run")

// Restore brings a prepared search to where the checkpoint of its run directory
// left it, and returns how many epochs that had done. The directory stays as it
// is.
func (s *Search) Restore(dir string) (epochs int, err error) {
	path := filepath.Join(dir, CheckpointFile)
	state, err := checkpoint.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("%s: %w", dir, ErrNoCheckpoint)
	case err != nil:
		return 0, err
	}
	var meta checkpointMeta
	if err := json.Unmarshal(state.Meta, &meta); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if meta.ConfigHash != s.record.ConfigHash || meta.Seed != s.Seed {
		return 0, fmt.Errorf("%s: the checkpoint is of %w: configuration %.8s, seed %d, not %.8s, %d",
			path, ErrOtherRun, meta.ConfigHash, meta.Seed, s.record.ConfigHash, s.Seed)
	}
	if s.net != nil {
		for name, v := range vectors(s.net) {
			if n := len(state.Vectors[name].Values); n != v.n {
				return 0, fmt.Errorf("%s: %s has %d numbers, the supernet %d", path, name, n, v.n)
			}
		}
	}
	var touched []bool
	for _, b := range state.Blobs["touched"] {
		touched = append(touched, b == 1)
	}
	if s.net != nil && len(touched) != len(s.net.ReadTouched()) {
		return 0, fmt.Errorf("%s: it says of %d weight tensors whether they were trained, the supernet has %d to say so of", path, len(touched), len(s.net.ReadTouched()))
	}
	if err := s.searcher.SetState(state.Blobs["searcher"]); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if s.net != nil {
		for name, v := range vectors(s.net) {
			v.write(state.Vectors[name].Values)
		}
		s.net.WriteTouched(touched)
	}
	return meta.Epochs, nil
}

// Recorded returns the job that made a run directory, without images, table,
// threads and folder.
func Recorded(run results.Run) (Job, error) {
	job := Job{Seed: run.Seed, Engine: run.Provenance.Engine}
	if err := json.Unmarshal(run.Config, &job.Config); err != nil {
		return Job{}, fmt.Errorf("configuration of the run: %w", err)
	}
	job.Config.Space, job.Config.Algorithm, job.Config.Preset = run.Space, run.Algorithm, run.Provenance.Preset
	return job, nil
}

// Landscape restores the search from the checkpoint of its run directory and
// scores the supernet around its alphas, see [Landscape], on the first batches of
// the search part, which are not augmented. Where an algorithm samples or
// binarises, the softmax of the alphas stands for it, in all cells.
func (s *Search) Landscape(ctx context.Context, dir string, batches int, o LandscapeOptions) (results.Landscape, error) {
	if _, err := s.Restore(dir); err != nil {
		return results.Landscape{}, err
	}
	relaxed, ok := s.searcher.(algorithms.Relaxed)
	if !ok || s.net == nil {
		return results.Landscape{}, fmt.Errorf("%s has no architecture parameters, so there is no landscape around them", s.Config.Algorithm)
	}
	var held []data.Batch
	for k := range min(batches, s.queues.Len(algorithms.Held)) {
		b := s.queues.Batch(algorithms.Held, 0, k)
		b.Images, b.Labels = slices.Clone(b.Images), slices.Clone(b.Labels)
		held = append(held, b)
	}
	if copies := s.net.Config().MixingLen() / s.space.Dim(); copies > 1 {
		o.Relaxation = SoftmaxRelaxation(s.space).repeated(copies)
	}
	return Landscape(ctx, s.net, s.space, relaxed.Alphas(), held, o)
}

// repeated is the relaxation of a supernet that has weights for every cell.
func (r Relaxation) repeated(copies int) Relaxation {
	return Relaxation{
		Mixing: func(alphas []float64) []float64 { return slices.Repeat(r.Mixing(alphas), copies) },
		Gradient: func(mixing, grad []float64) []float64 {
			d := len(mixing) / copies
			total := make([]float64, d)
			for from := 0; from < len(mixing); from += d {
				for i, v := range r.Gradient(mixing[from:from+d], grad[from:from+d]) {
					total[i] += v
				}
			}
			return total
		},
	}
}
