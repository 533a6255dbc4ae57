// Package watch tells how a folder of runs stands: what is done, what runs where, what
// is missing, what failed and why, how much time is left. It reads files alone, takes no
// lock and writes nothing, so any machine that sees the folder can watch it while others
// work there.
package watch

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nb1shot/nb1shot/benchmark/retrain"
	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// State is how a run stands, as its files and, on its own host, its process tell.
type State string

// The states: those of results, and five that no status.json has.
const (
	Finished    = State(results.Finished)
	Running     = State(results.Running)
	Killed      = State("killed") // stands as running, and its process on this host is there no more
	Interrupted = State(results.Interrupted)
	Failed      = State(results.Failed)
	Damaged     = State("damaged") // cannot be read
	Missing     = State("missing") // in the manifest, and not begun
	Queued      = State("queued")  // waits in the queue of a cluster, begun or not
	// Untrained is searched to the end, in a sweep that trains the network of what was found
	// as well, which is not done.
	Untrained = State("untrained")
)

// States lists them in the order in which they are counted.
var States = []State{Finished, Running, Queued, Untrained, Missing, Interrupted, Killed, Failed, Damaged}

// Run is how one run stands. Times are in seconds; what is not known is nil.
type Run struct {
	Name      string      `json:"run"`            // of its directory
	Unit      *int        `json:"unit,omitempty"` // its index in the manifest; nil for a run beside it
	Space     spaces.Name `json:"space,omitempty"`
	Algorithm string      `json:"algorithm,omitempty"`
	Seed      uint64      `json:"seed"`
	State     State       `json:"state"`
	Reason    string      `json:"reason,omitempty"`  // why it failed or cannot be read
	Process   string      `json:"process,omitempty"` // that runs it or did last, "4711 on host"
	Epochs    int         `json:"epochs"`            // recorded
	// Configured are the epochs that it is to have; 0 where its configuration has none.
	Configured int      `json:"configured"`
	Spent      *float64 `json:"seconds"` // wall time of its records
	// Training is the wall time of the training of its network, nil where that is not done.
	Training *float64  `json:"training_seconds,omitempty"`
	Left     *float64  `json:"seconds_left"`         // of a running one, by the pace of its last epochs
	Record   time.Time `json:"last_record,omitzero"` // when its record was last written
	Bytes    int64     `json:"bytes"`                // of all files in its directory

	training string // how far that of its network has come, in words
}

// pace is over how many of the last epochs the time of one is taken.
const pace = 5

// Of tells how a run stands that was read. recorded is when its record was last written.
// The time left is that at the time of now.
func Of(name string, h *results.History, recorded, now time.Time) Run {
	r := Run{
		Name: name, Space: h.Run.Space, Algorithm: h.Run.Algorithm, Seed: h.Run.Seed,
		State: State(h.Status.State), Reason: h.Status.Message, Process: h.Status.Process, Epochs: h.Trained(), Record: recorded,
	}
	if h.Misfit != nil {
		r.State, r.Reason = Damaged, strings.TrimPrefix(h.Misfit.Error(), h.Dir+string(filepath.Separator))
	}
	if h.Status.Killed() {
		r.State = Killed
	}
	if h.Evaluation != nil {
		r.Training = &h.Evaluation.Seconds
	}
	r.Configured, _ = strconv.Atoi(h.Run.Setting("epochs")) // 0 where there is none
	var seconds []float64
	for _, e := range h.Epochs {
		if !e.Final {
			seconds = append(seconds, e.Duration())
		}
	}
	if len(seconds) == 0 {
		return r
	}
	spent := stats.Mean(seconds) * float64(r.Epochs) // of a long record both ends alone were read
	r.Spent = &spent
	if r.State == Running && r.Configured > 0 {
		each := stats.Mean(seconds[max(len(seconds)-pace, 0):])
		left := max(each*float64(r.Configured-r.Epochs)-max(now.Sub(recorded).Seconds(), 0), 0)
		r.Left = &left
	}
	return r
}

// Survey is how a folder of runs stands.
type Survey struct {
	Dir    string        `json:"dir"`
	Sweep  bool          `json:"sweep"` // whether it has a manifest
	Counts map[State]int `json:"counts"`
	Runs   []Run         `json:"runs"` // those of the manifest in its order, then the others by name
	// Left is the time until all is done but what failed, by the records, with as many at
	// a time as run now, or one; nil where nothing tells and where nothing is left.
	Left  *float64 `json:"seconds_left"`
	Bytes int64    `json:"bytes"` // of all files in the folder
}

// Take looks at the folder at root, whose manifest is m; nil where there is none.
func Take(root string, m *sweep.Manifest, now time.Time) (*Survey, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", root, err)
	}
	var runs []Run
	var bytes int64
	for _, entry := range entries {
		path := filepath.Join(root, entry.Name())
		size := sizeOf(path)
		bytes += size
		if !results.Listed(entry.Name()) || !results.IsRun(path) {
			continue
		}
		r := look(path, now)
		r.Bytes = size
		runs = append(runs, r)
	}
	s := Assemble(root, m, runs)
	s.Bytes = bytes
	return s, nil
}

// look reads one run.
func look(path string, now time.Time) Run {
	name := filepath.Base(path)
	h, _, err := results.Skim(path)
	if err != nil {
		return Run{Name: name, State: Damaged, Reason: strings.TrimPrefix(err.Error(), "read run: ")}
	}
	r := Of(name, h, results.Recorded(path), now)
	if r.State == Finished && r.Training == nil {
		folder := filepath.Join(path, retrain.Folder)
		if epochs, err := retrain.ReadEpochs(folder); err == nil && len(epochs) > 0 {
			r.training = fmt.Sprintf("the training of its network has come to epoch %d", len(epochs))
			if info, err := os.Stat(folder); err == nil { // each record replaces a file in it
				r.Record = info.ModTime()
			}
		}
	}
	return r
}

// Assemble puts together how the runs of a folder stand, and what of the manifest, nil
// where there is none, is missing.
func Assemble(dir string, m *sweep.Manifest, runs []Run) *Survey {
	s := &Survey{Dir: dir, Sweep: m != nil, Counts: map[State]int{}, Runs: []Run{}}
	named := map[string]Run{}
	for _, r := range runs {
		named[r.Name] = r
	}
	if m != nil {
		for i, u := range m.Units {
			r, ok := named[u.Run]
			if !ok {
				r = Run{Name: u.Run, State: Missing}
			}
			delete(named, u.Run)
			if m.Shared.Retrain != nil && r.State == Finished && r.Training == nil {
				r.State, r.Reason = Untrained, r.training
			}
			r.Unit, r.Space, r.Algorithm, r.Seed = &i, u.Space, u.Algorithm, u.Seed
			s.Runs = append(s.Runs, r)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		s.Runs = append(s.Runs, named[name])
	}
	for _, r := range s.Runs {
		s.Counts[r.State]++
		s.Bytes += r.Bytes
	}
	s.Left = left(s.Runs, m != nil && m.Shared.Retrain != nil)
	return s
}

// Queue marks the units that wait in the queue of a cluster.
func (s *Survey) Queue(pending map[int]bool) {
	for i := range s.Runs {
		r := &s.Runs[i]
		if r.Unit == nil || !pending[*r.Unit] || r.State == Finished || r.State == Running {
			continue
		}
		s.Counts[r.State]--
		r.State, r.Reason = Queued, ""
		s.Counts[Queued]++
	}
}

// left estimates the time until what is not done, and has not failed, is done; with the
// training of networks, if the sweep does that.
func left(runs []Run, trains bool) *float64 {
	known := newTimes(runs, trains)
	total, longest, running, open := 0.0, 0.0, 0, 0
	for _, r := range runs {
		var seconds float64
		switch r.State {
		case Running, Missing, Interrupted, Killed, Untrained:
			if r.Left != nil && !trains {
				seconds = *r.Left
				break
			}
			all, ok := known.expected(r)
			if !ok {
				return nil
			}
			if seconds = all; r.Spent != nil {
				seconds = max(all-*r.Spent, 0)
			}
		default:
			continue
		}
		if open++; r.State == Running {
			running++
		}
		total += seconds
		longest = max(longest, seconds)
	}
	if open == 0 {
		return nil
	}
	all := max(total/float64(max(running, 1)), longest)
	return &all
}

// kind is what runs have in common that take about as long: an algorithm on a space, an
// algorithm, or nothing.
type kind struct {
	space     spaces.Name
	algorithm string
}

// times are how long runs take, by their kind.
type times map[kind][]float64

// newTimes takes them from the runs; with the training of their networks, if there is one.
func newTimes(runs []Run, trains bool) times {
	t := times{}
	for _, r := range runs {
		if r.Spent == nil || r.State != Finished && r.Left == nil || trains && r.Training == nil {
			continue
		}
		seconds := *r.Spent
		if trains {
			seconds += *r.Training
		}
		if r.Left != nil {
			seconds += *r.Left
		}
		for _, k := range []kind{{r.Space, r.Algorithm}, {"", r.Algorithm}, {}} {
			t[k] = append(t[k], seconds)
		}
	}
	return t
}

// expected is the mean time of the runs that are most like r; false where there are none.
func (t times) expected(r Run) (float64, bool) {
	for _, k := range []kind{{r.Space, r.Algorithm}, {"", r.Algorithm}, {}} {
		if len(t[k]) > 0 {
			return stats.Mean(t[k]), true
		}
	}
	return 0, false
}

// sizeOf is the number of bytes of the file at path or of all files in the folder, links
// not followed; what vanishes meanwhile has none.
func sizeOf(path string) int64 {
	var sum int64
	filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// Counted is the counts in words, "3 finished, 1 running".
func (s *Survey) Counted() string {
	var parts []string
	for _, state := range States {
		if n := s.Counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "no runs")
}

// Seconds writes seconds as Duration does, and "" where they are not known.
func Seconds(s *float64) string {
	if s == nil {
		return ""
	}
	return Duration(time.Duration(*s * float64(time.Second)))
}

// Megabytes writes a size: 1.2 MB.
func Megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// Duration writes a time as people say it: 42 s, 3 min 7 s, 2 h 5 min.
func Duration(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
}
