package benchmark_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// resumable is the job of the tests that stop and continue a run: three epochs of
// three steps.
func resumable(algorithm, root string) (benchmark.Job, error) {
	config, err := benchmark.NewConfig("smoke", spaceOf(algorithm), algorithm)
	if err != nil {
		return benchmark.Job{}, err
	}
	config.Epochs, config.Channels, config.Side, config.Limit, config.Batch, config.ProjectionBatches = 3, 4, 8, 20, 4, 1
	if algorithm == "enas" { // whose search part is a tenth
		config.Batch = 2
	}
	maps.Copy(config.Settings, algorithmstest.Small(algorithm))
	return benchmark.Job{
		Config: config, Train: data.Procedural(20, 0), Oracle: oracleFor(algorithm),
		Test: data.Procedural(4, 1), Engine: "cpu", Threads: 1, Root: root,
	}, nil
}

// spaceOf is one that the algorithm can search: space 2, unless it cannot.
func spaceOf(algorithm string) spaces.Name {
	definition, err := algorithms.Lookup(algorithm)
	if err != nil {
		return "2"
	}
	if space, err := spaces.Get("2"); err == nil && definition.CheckSpace(space) != nil {
		return "darts8"
	}
	return "2"
}

// outcome is all that must be the same however often a run was stopped.
type outcome struct {
	Config, Records string
	Vectors         map[string]checkpoint.Vector
	Blobs           map[string][]byte
}

func outcomeOf(t *testing.T, dir string) outcome {
	t.Helper()
	var o outcome
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	records, err := os.ReadFile(filepath.Join(dir, "epochs.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	state, err := checkpoint.Load(filepath.Join(dir, benchmark.CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	o.Config, o.Records = string(config), string(results.Canonical(records))
	o.Vectors, o.Blobs = state.Vectors, state.Blobs
	return o
}

// mustResume runs the job to its end.
func mustResume(t *testing.T, j benchmark.Job) (dir string, notes []string) {
	t.Helper()
	dir, err := j.Run(context.Background(), func(p benchmark.Progress) { notes = append(notes, p.Notes...) })
	if err != nil {
		t.Fatal(err)
	}
	return dir, notes
}

func mustResumable(t *testing.T, algorithm string) benchmark.Job {
	t.Helper()
	j, err := resumable(algorithm, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// A run that is interrupted at every step, or at any moment, ends with the bytes
// of one that was not. The variants of p-darts, whose networks take long to compile, resume
// as p-darts and the variants of darts do.
func TestResume(t *testing.T) {
	for _, name := range algorithms.Names() {
		if strings.HasPrefix(name, "p-darts-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _ := mustResume(t, mustResumable(t, name))
			want := outcomeOf(t, dir)

			// interrupted runs the job until stop, and tells whether it stopped there.
			interrupted := func(j benchmark.Job, stop func(cancel func(), p benchmark.Progress)) bool {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				_, err := j.Run(ctx, func(p benchmark.Progress) { stop(cancel, p) })
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				return err != nil
			}
			t.Run("steps", func(t *testing.T) {
				j := mustResumable(t, name)
				stops := 0
				for interrupted(j, func(cancel func(), p benchmark.Progress) {
					if len(p.Notes) == 0 && p.Doing == "" { // after a step, so that each attempt makes one
						cancel()
					}
				}) {
					if stops++; stops > 1000 {
						t.Fatal("it does not come to its end")
					}
				}
				if stops < 6 { // early stopping leaves an epoch out
					t.Errorf("stopped %d times", stops)
				}
				dir, err := j.Run(context.Background(), nil)
				if finished := (*results.FinishedError)(nil); !errors.As(err, &finished) {
					t.Fatal(err)
				}
				if d := cmp.Diff(want, outcomeOf(t, dir)); d != "" {
					t.Error(d)
				}
			})
			t.Run("moments", func(t *testing.T) {
				j := mustResumable(t, name)
				r := random.New(1, "moments "+name)
				for range 20 {
					after := time.Duration(r.Int64N(int64(40 * time.Millisecond)))
					if !interrupted(j, func(cancel func(), p benchmark.Progress) { time.AfterFunc(after, cancel) }) {
						break
					}
				}
				dir, err := j.Run(context.Background(), nil)
				if finished := (*results.FinishedError)(nil); err != nil && !errors.As(err, &finished) {
					t.Fatal(err)
				}
				if d := cmp.Diff(want, outcomeOf(t, dir)); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// stopAt runs a job up to a step of an epoch.
func stopAt(t *testing.T, j benchmark.Job, epoch, step int) (dir string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := j.Run(ctx, func(p benchmark.Progress) {
		if p.Epoch == epoch && p.Step == step && p.Last.Epoch < epoch {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want the context's", err)
	}
	return dir
}

// A checkpoint that is damaged, missing, or of another record is passed over for
// the one before it, and the run says so; where both are, nothing is touched.
func TestDamagedCheckpoint(t *testing.T) {
	dir, _ := mustResume(t, mustResumable(t, "gdas"))
	want := outcomeOf(t, dir)
	damage := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			content[len(content)/2] ^= 1
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, benchmark.CheckpointFile)); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(edit func([]byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, "epochs.jsonl")
			content, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, edit(content), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	both := func(a, b func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { a(t, dir); b(t, dir) }
	}
	newest, previous := damage(benchmark.CheckpointFile), damage(benchmark.PreviousCheckpointFile)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		notes  string // "" where it cannot be continued
	}{
		{"none", func(*testing.T, string) {}, "the run continues in epoch 2 of 3 after step 1"},
		{"newest", newest, "is damaged: the SHA-256 at the end is not that of the content; the checkpoint before it serves|the run continues after 2 of 3 epochs"},
		{"previous", previous, "the run continues in epoch 2 of 3 after step 1"},
		{"missing", remove, "the run continues after 2 of 3 epochs"},
		{"torn record", edit(func(b []byte) []byte { return append(b, `{"epoch":2,"ce`...) }), "the run continues in epoch 2 of 3 after step 1"},
		{"both", both(newest, previous), ""},
		{"lost record", edit(func(b []byte) []byte { return b[:bytes.IndexByte(b, '\n')+1] }), ""},
		{"changed record", edit(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"test_error":0.`), []byte(`"test_error":0.0`), 1)
		}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := mustResumable(t, "gdas")
			dir := stopAt(t, j, 2, 1)
			c.damage(t, dir)
			if c.notes == "" {
				before := contents(t, dir)
				_, err := j.Run(context.Background(), nil)
				var unfinished *results.UnfinishedError
				if !errors.As(err, &unfinished) || !strings.Contains(err.Error(), "it cannot be continued") {
					t.Errorf("error %v, want an *UnfinishedError with the reason", err)
				}
				if d := cmp.Diff(before, contents(t, dir)); d != "" {
					t.Error(d)
				}
				return
			}
			dir, notes := mustResume(t, j)
			for _, part := range strings.Split(c.notes, "|") {
				if !strings.Contains(strings.Join(notes, "\n"), part) {
					t.Errorf("notes %q, want %q", notes, part)
				}
			}
			if d := cmp.Diff(want, outcomeOf(t, dir)); d != "" {
				t.Error(d)
			}
		})
	}
}

// A checkpoint of a valid checksum that does not fit the search or the record is
// refused before a byte of the run changes; where the one before it fits, that
// serves, and the record comes out as it would have.
func TestCheckpointThatDoesNotFit(t *testing.T) {
	meta := func(old, new string) func(t *testing.T, s *checkpoint.State) {
		return func(t *testing.T, s *checkpoint.State) {
			meta := regexp.MustCompile(old).ReplaceAll(s.Meta, []byte(new))
			if bytes.Equal(meta, s.Meta) {
				t.Fatalf("no %s in %s", old, s.Meta)
			}
			s.Meta = meta
		}
	}
	j := mustResumable(t, "gdas")
	dir := stopAt(t, j, 2, 1)
	path, previous := filepath.Join(dir, benchmark.CheckpointFile), filepath.Join(dir, benchmark.PreviousCheckpointFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// refused runs the search from an edited checkpoint alone.
	refused := func(t *testing.T, edit func(*testing.T, *checkpoint.State)) {
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
		state, err := checkpoint.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		edit(t, &state)
		if err := checkpoint.Save(path, "", state); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)
		if _, err := j.Run(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "it cannot be continued") {
			t.Errorf("error %v", err)
		}
		if d := cmp.Diff(before, contents(t, dir)); d != "" {
			t.Error(d)
		}
	}
	if err := os.Rename(previous, previous+".kept"); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*testing.T, *checkpoint.State){
		"negative epochs":      meta(`"epochs":2`, `"epochs":-5`),
		"many epochs":          meta(`"epochs":2`, `"epochs":1000000000`),
		"fewer epochs":         meta(`"epochs":2`, `"epochs":1`),
		"stopped by itself":    meta(`"epochs":2`, `"epochs":2,"stopped":true`),
		"no mark":              meta(`"record":`, `"was":`),
		"mark before":          meta(`"bytes":\d+`, `"bytes":1`),
		"mark behind":          meta(`"bytes":\d+`, `"bytes":99999999999`),
		"negative mark":        meta(`"bytes":\d+`, `"bytes":-1`),
		"many steps":           meta(`"steps":1`, `"steps":1000000000`),
		"no steps":             meta(`"steps":1`, `"steps":0`),
		"negative steps":       meta(`"steps":1`, `"steps":-3`),
		"lookup of another":    meta(`"lookup":{"epoch":2`, `"lookup":{"epoch":7`),
		"no lookup":            meta(`"lookup":{"epoch":2`, `"unknown":{"epoch":2`),
		"another cell":         meta(`"hash":"[0-9a-f]{32}"`, `"hash":"00000000000000000000000000000000"`),
		"negative images":      meta(`"images":\d+`, `"images":-1`),
		"more right than seen": meta(`"correct":\d+`, `"correct":99999999`),
		"fewer, none begun": func(t *testing.T, s *checkpoint.State) {
			var all map[string]json.RawMessage
			if err := json.Unmarshal(s.Meta, &all); err != nil {
				t.Fatal(err)
			}
			delete(all, "begun")
			all["epochs"] = json.RawMessage("1") // of the two that its record has
			var err error
			if s.Meta, err = json.Marshal(all); err != nil {
				t.Fatal(err)
			}
		},
		"garbage as searcher": func(_ *testing.T, s *checkpoint.State) { s.Blobs["searcher"] = []byte("garbage") },
		"no searcher":         func(_ *testing.T, s *checkpoint.State) { delete(s.Blobs, "searcher") },
		"fewer weights": func(_ *testing.T, s *checkpoint.State) {
			v := s.Vectors["weights"]
			v.Values = v.Values[1:]
			s.Vectors["weights"] = v
		},
		"no momentum": func(_ *testing.T, s *checkpoint.State) { delete(s.Vectors, "momentum") },
	} {
		t.Run(name, func(t *testing.T) { refused(t, edit) })
	}
	t.Run("previous", func(t *testing.T) {
		refused(t, func(_ *testing.T, s *checkpoint.State) { s.Blobs["searcher"] = []byte("garbage") })
		if err := os.Rename(previous+".kept", previous); err != nil {
			t.Fatal(err)
		}
		dir, notes := mustResume(t, j)
		if !strings.Contains(strings.Join(notes, "\n"), "the checkpoint before it serves") {
			t.Errorf("notes %q", notes)
		}
		whole, _ := mustResume(t, mustResumable(t, "gdas"))
		if d := cmp.Diff(outcomeOf(t, whole), outcomeOf(t, dir)); d != "" {
			t.Error(d)
		}
	})
}

// contents maps the files of a folder to what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(b)
	}
	return all
}

// Two processes never work on one run, and only one of them is refused.
func TestTwoAtOnce(t *testing.T) {
	j := mustResumable(t, "darts")
	var inner error
	dir, err := j.Run(context.Background(), func(p benchmark.Progress) {
		if p.Epoch == 1 && p.Step == 1 {
			_, inner = j.Run(context.Background(), nil)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var locked *results.LockedError
	if !errors.As(inner, &locked) || locked.Dir != dir || !strings.HasPrefix(locked.Status.Process, fmt.Sprintf("%d on ", os.Getpid())) {
		t.Errorf("a second run: %v, want a *LockedError that names this process", inner)
	}
}

// A run that goes on on another device says so in every record from there on.
func TestOtherDevice(t *testing.T) {
	j := mustResumable(t, "darts")
	dir := stopAt(t, j, 1, 1)
	path := filepath.Join(dir, benchmark.CheckpointFile)
	state, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := results.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	state.Meta = bytes.Replace(state.Meta, []byte(h.Run.Provenance.Device), []byte("abacus"), 1)
	if err := checkpoint.Save(path, "", state); err != nil {
		t.Fatal(err)
	}
	mustResume(t, j)
	if h, err = results.Read(dir); err != nil {
		t.Fatal(err)
	}
	for _, e := range h.Epochs {
		if want := e.Epoch > 0; strings.Contains(e.Warning, "computed in turn on abacus, then "+h.Run.Provenance.Device) != want {
			t.Errorf("epoch %d: warning %q", e.Epoch, e.Warning)
		}
	}
}

// searchInChild is set for the child process that TestKilled kills.
const searchInChild = "NB1SHOT_TEST_SEARCH"

func TestSearchChild(t *testing.T) {
	algorithm, root, ok := strings.Cut(os.Getenv(searchInChild), "|")
	if !ok {
		t.Skip("only for TestKilled")
	}
	j, err := resumable(algorithm, root)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	_, err = j.Run(context.Background(), nil)
	if finished := (*results.FinishedError)(nil); err != nil && !errors.As(err, &finished) { // killed after its last write
		t.Fatal(err)
	}
}

// Runs are killed at 100 random moments, half of them while a checkpoint is
// written, and continued until they end: always with the bytes of an uninterrupted
// one.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("100 runs in processes of their own: not in short mode")
	}
	const each = 50
	r := random.New(1, "kills")
	want := map[string]outcome{}
	names := []string{"sdarts-adv", "enas", "darts-es", "gdas", "pc-darts"}
	within, anywhere, ends := 0, 0, 0
	base := t.TempDir()
	rootOf := func(run int) string { return filepath.Join(base, fmt.Sprint(run)) }
	for k := 0; within < each || anywhere < each; k++ {
		if k > 40*each {
			t.Fatalf("%d of %d kills came while a checkpoint was written, %d elsewhere", within, each, anywhere)
		}
		name := names[ends%len(names)]
		root := rootOf(ends)
		if _, ok := want[name]; !ok {
			dir, _ := mustResume(t, mustResumable(t, name))
			want[name] = outcomeOf(t, dir)
		}
		// What is aimed at changes with every process.
		aimed := within < each && (k%2 == 0 || anywhere >= each)
		killed, writing := runAndKill(t, name, root, aimed, r.Int64N)
		switch {
		case killed && writing:
			within++
		case killed:
			anywhere++
		}
		dirs, err := filepath.Glob(filepath.Join(root, "s2-*"))
		if err != nil || len(dirs) > 1 {
			t.Fatalf("%v, %v", dirs, err)
		}
		if len(dirs) == 1 {
			h, err := results.Read(dirs[0])
			if err != nil {
				t.Fatalf("after a kill: %v", err)
			}
			raw, err := os.ReadFile(filepath.Join(dirs[0], "epochs.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			whole := raw[:bytes.LastIndexByte(raw, '\n')+1]
			if !strings.HasPrefix(want[name].Records, string(results.Canonical(whole))) {
				t.Fatalf("after a kill the %d records are not the first of the uninterrupted run", len(h.Epochs))
			}
		}
		if killed {
			continue
		}
		if d := cmp.Diff(want[name], outcomeOf(t, dirs[0])); d != "" {
			t.Fatal(d)
		}
		if left, _ := filepath.Glob(filepath.Join(dirs[0], ".*")); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		ends++
	}
	// The last one to its end.
	name := names[ends%len(names)]
	j, err := resumable(name, rootOf(ends))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := j.Run(context.Background(), nil)
	if finished := (*results.FinishedError)(nil); err != nil && !errors.As(err, &finished) {
		t.Fatal(err)
	}
	if d := cmp.Diff(want[name], outcomeOf(t, dir)); d != "" {
		t.Fatal(d)
	}
	t.Logf("%d kills while a checkpoint was written, %d elsewhere, %d runs came to their end in between", within, anywhere, ends)
}

// runAndKill runs the job in a process of its own and kills it: as soon as it is
// seen to write a checkpoint where that is aimed at, else after a while. killed is
// false where it ended before; writing tells that it has left a checkpoint half
// written.
func runAndKill(t *testing.T, algorithm, root string, aimed bool, below func(int64) int64) (killed, writing bool) {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^TestSearchChild$")
	command.Env = append(os.Environ(), searchInChild+"="+algorithm+"|"+root)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the child says nothing: %v", command.Wait())
	}
	ended := make(chan error, 1)
	var said []string
	go func() {
		for lines.Scan() {
			said = append(said, lines.Text())
		}
		ended <- command.Wait()
	}()
	half := func() bool {
		found, _ := filepath.Glob(filepath.Join(root, "s2-*", "."+benchmark.CheckpointFile+".*"))
		return len(found) > 0
	}
	moment := time.After(time.Duration(below(int64(200 * time.Millisecond))))
	skip := below(3) // checkpoints to let pass
	for seen := false; ; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the child failed: %v\n%s", err, strings.Join(said, "\n"))
			}
			return false, false
		default:
		}
		if aimed {
			now := half()
			if now && !seen {
				skip--
			}
			seen = now
			if !now || skip >= 0 {
				time.Sleep(50 * time.Microsecond) // a checkpoint takes longer to write
				continue
			}
		} else {
			select {
			case <-moment:
			default:
				time.Sleep(time.Millisecond)
				continue
			}
		}
		break
	}
	if err := command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	err = <-ended
	return err != nil, half()
}

// slow is a table of which some answers take their time.
type slow struct {
	nasbench.Oracle
	answers int
	before  func(answer int)
	last    cell.Hash
}

// Query does not count that the record asks again for the cell of the last answer, where it
// is the best so far.
func (s *slow) Query(c cell.Spec) (nasbench.Metrics, error) {
	m, err := s.Oracle.Query(c)
	if err == nil && m.Hash != s.last {
		s.last = m.Hash
		s.before(s.answers)
		s.answers++
	}
	return m, err
}

// An interrupt in the middle of a step that does not end has a state on the disk
// within 20 seconds.
func TestInterruptInALongStep(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for 20 seconds: not in short mode")
	}
	t.Parallel()
	const long = 3 // the step that does not end, from 0
	j := mustResumable(t, "regularized-evolution")
	if err := j.Config.Set("queries", "5"); err != nil {
		t.Fatal(err)
	}
	dir, _ := mustResume(t, j)
	want := outcomeOf(t, dir)

	j.Root = t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	release := make(chan struct{})
	wait := func(answer int) {
		switch answer {
		case long - 1:
			time.Sleep(6 * time.Second) // long enough for the next step to find a state due
		case long:
			cancel()
			<-release
		}
	}
	fast := j.Oracle
	j.Oracle = &slow{Oracle: fast, before: wait}
	ended := make(chan error)
	go func() {
		_, err := j.Run(ctx, nil)
		ended <- err
	}()
	<-ctx.Done()
	start := time.Now()
	name := filepath.Join(j.Root, filepath.Base(dir), benchmark.CheckpointFile)
	for {
		if _, err := os.Stat(name); err == nil {
			break
		}
		if time.Since(start) > 5*time.Second {
			t.Error("no state after 5 seconds")
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	state, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want the context's", err)
	}
	// As if the process had been killed in that step.
	if err := os.WriteFile(name, state, 0o644); err != nil {
		t.Fatal(err)
	}
	j.Oracle = fast
	dir, notes := mustResume(t, j)
	if want := fmt.Sprintf("the run continues in epoch 0 of 3 after step %d", long); len(notes) != 1 || notes[0] != want {
		t.Errorf("notes %q, want %q", notes, want)
	}
	if d := cmp.Diff(want, outcomeOf(t, dir)); d != "" {
		t.Error(d)
	}
}
