package slurm_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// On a real Slurm. The tests run side by side: most of their time they wait.
func TestSlurm(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Slurm and waits for its limits of time, two minutes: not in short mode")
	}
	c := startCluster(t)
	t.Run("tests", func(t *testing.T) { // ends when all have
		for name, test := range map[string]func(*testing.T, *cluster){
			"Twelve": testTwelve, "TimeLimit": testTimeLimit, "Killed": testKilled, "Cancelled": testCancelled,
			"Failing": testFailing, "TwoAtOnce": testTwoAtOnce, "Split": testSplit, "Refused": testRefused,
			"Hopeless": testHopeless, "Later": testLater,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, c)
			})
		}
	})
}

// submission is the output of sweep --on slurm --json.
type submission struct {
	Arrays []struct {
		Job   int
		Units []int
	}
	Report                                int
	Finished, Running, Pending, Elsewhere int
}

// tiny is the options of runs that are as short as can be, of so many epochs.
func tiny(epochs int) []string {
	return append(untrained(epochs), "--limit", "16", "--batch", "4", "--channels", "2")
}

// untrained is the options of runs that ask the table alone.
func untrained(epochs int) []string {
	return []string{"--preset", "smoke", "--data", "procedural", "--table", "surrogate", "--epochs", strconv.Itoa(epochs)}
}

// submit submits a sweep in the folder out.
func (c *cluster) submit(t *testing.T, out string, args ...string) submission {
	t.Helper()
	text := c.must(t, c.program, append([]string{"sweep", "--out", out, "--on", "slurm", "--json"}, args...)...)
	var s submission
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return s
}

// only submits and returns the one array that this must make, of these units.
func (c *cluster) only(t *testing.T, out string, units []int, args ...string) (job, report int) {
	t.Helper()
	s := c.submit(t, out, args...)
	if len(s.Arrays) != 1 || !slices.Equal(s.Arrays[0].Units, units) {
		t.Fatalf("submitted %+v, want one array of the units %v", s, units)
	}
	return s.Arrays[0].Job, s.Report
}

// finished fails the test unless so many units are, which are all.
func (c *cluster) finished(t *testing.T, out string, want int) {
	t.Helper()
	c.must(t, c.program, "sweep", "--check", "--out", out)
	if s := c.submit(t, out); len(s.Arrays) > 0 || s.Finished != want {
		t.Errorf("the same command again: %+v, want nothing submitted and %d finished", s, want)
	}
}

// runDir is the directory of the only run of a seed.
func runDir(t *testing.T, out string, seed int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "sweep.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Units []struct {
			Seed int
			Run  string
		}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	for _, u := range m.Units {
		if u.Seed == seed {
			return filepath.Join(out, u.Run)
		}
	}
	t.Fatalf("no seed %d in %s", seed, text)
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// records counts the records of a run.
func records(dir string) int {
	text, _ := os.ReadFile(filepath.Join(dir, "epochs.jsonl"))
	return strings.Count(string(text), "\n")
}

// process is that of a run that has made more records than so many.
func (c *cluster) process(t *testing.T, dir string, more int) int {
	t.Helper()
	c.until(t, fmt.Sprintf("%s has more than %d records", dir, more), func() bool { return records(dir) > more })
	var status struct{ State, Process string }
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "status.json"))), &status); err != nil {
		t.Fatal(err)
	}
	number, _, _ := strings.Cut(status.Process, " ")
	id, err := strconv.Atoi(number)
	if err != nil || status.State != "running" {
		t.Fatalf("%s: %+v", dir, status)
	}
	return id
}

// Twelve units, two at a time, in a folder whose name needs care in a script, and the report.
func testTwelve(t *testing.T, c *cluster) {
	out := filepath.Join(t.TempDir(), `it's a "$(touch no)" #é`)
	reported := filepath.Join(out, "a report")
	args := append(tiny(2), "--spaces", "1,3", "--algos", "darts,random-search", "--seeds", "3", "--max-running", "2", "--cpus", "1", "--report", reported)
	job, report := c.only(t, out, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, args...)

	// Submitted again at once, nothing is submitted.
	if s := c.submit(t, out, args...); len(s.Arrays) > 0 || s.Running+s.Pending+s.Finished != 12 || s.Report != report {
		t.Errorf("submitted again: %+v, want 12 in the queue or finished and report job %d", s, report)
	}
	most := 0
	c.until(t, "the array has ended", func() bool {
		lines, err := c.try("squeue", "--noheader", "--array", "--format=%T", fmt.Sprintf("--jobs=%d", job))
		most = max(most, strings.Count(lines, "RUNNING"))
		return err == nil && lines == ""
	})
	if most < 1 || most > 2 {
		t.Errorf("%d ran at a time, want at most 2 and at least 1", most)
	}
	if code := c.exitCode(t, report); code != "0:0" {
		t.Errorf("the report job ended with %s", code)
	}
	c.finished(t, out, 12)
	for i := range 12 {
		if log := read(t, filepath.Join(out, fmt.Sprintf("slurm-%d_%d.log", job, i))); !strings.Contains(log, "1 of 1 done") {
			t.Errorf("the log of task %d: %s", i, log)
		}
	}
	if page := read(t, filepath.Join(reported, "index.html")); !strings.Contains(page, "</html>") {
		t.Error("the report is cut short")
	}
	if log := read(t, filepath.Join(out, fmt.Sprintf("slurm-report-%d.log", report))); !strings.Contains(log, "P1 ") || !strings.Contains(log, "algorithm ") {
		t.Errorf("the report job says %s, want claims and the table", log)
	}
}

// A task whose time ends twice puts itself back into the queue, goes on and makes what a
// task that nothing ends makes.
func testTimeLimit(t *testing.T, c *cluster) {
	out, undisturbed := t.TempDir(), t.TempDir()
	args := append(tiny(300), "--spaces", "1", "--algos", "darts", "--seeds", "1")
	job, report := c.only(t, out, []int{0}, append(args, "--time", "1", "--report", filepath.Join(out, "report"), "--", "--signal=B:USR1@20")...)
	dir := runDir(t, out, 0)
	log := filepath.Join(out, fmt.Sprintf("slurm-%d_0.log", job))
	made := 0
	for i := range 2 {
		// The process is held so that its work does not end before its time.
		id := c.process(t, dir, made)
		if err := syscall.Kill(id, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		c.until(t, "the process is held", func() bool { return held(id) })
		c.until(t, "Slurm says that the time ends", func() bool { return !held(id) })
		// Slurm lets a task that comes back wait for two minutes. It need not here, but a
		// node starts nothing that it has ended in the same second.
		c.until(t, "the task is back in the queue", func() bool {
			line, _ := c.try("squeue", "--noheader", "--array", "--format=%T", fmt.Sprintf("--jobs=%d", job))
			return strings.TrimSpace(line) == "PENDING"
		})
		if made = records(dir); made > 299 {
			t.Fatal("the run is finished already")
		}
		if text := read(t, log); strings.Count(text, "the time limit is near: back into the queue") != i+1 {
			t.Errorf("the log after limit %d: %s", i+1, text)
		}
		if s := c.submit(t, out); len(s.Arrays) > 0 || s.Pending != 1 {
			t.Errorf("submitted while it waits: %+v", s)
		}
		task := fmt.Sprintf("JobId=%d_0", job)
		if i > 0 { // the rest has all the time that a busy machine needs
			c.must(t, "scontrol", "update", task, "TimeLimit=60")
		}
		c.must(t, "scontrol", "update", task, "StartTime=now+3")
	}
	if code := c.exitCode(t, report); code != "0:0" {
		t.Errorf("the report job ended with %s: %s", code, read(t, filepath.Join(out, fmt.Sprintf("slurm-report-%d.log", report))))
	}
	if n := strings.Count(read(t, log), "the run continues"); n != 2 {
		t.Errorf("continued %d times, want 2: %s", n, read(t, log))
	}
	c.finished(t, out, 1)
	c.must(t, c.program, append([]string{"sweep", "--out", undisturbed, "--quiet"}, args...)...)
	c.must(t, c.program, "results", "diff", dir, runDir(t, undisturbed, 0))
}

// held tells whether a process is stopped. Slurm lets one go on that it sends a signal.
func held(id int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
	return err == nil && strings.Contains(string(text), "T (stopped)")
}

// A task that does nothing in its time does not come back for ever.
func testHopeless(t *testing.T, c *cluster) {
	out := t.TempDir()
	c.must(t, c.program, append([]string{"sweep", "--out", out, "--manifest-only", "--spaces", "1", "--algos", "darts", "--seeds", "1"}, tiny(300)...)...)

	// As a task would be run whose time ends before the first step.
	_, err := c.try("bash", "-c", `SLURM_ARRAY_JOB_ID=99999999 SLURM_ARRAY_TASK_ID=0 "$0" sweep --on slurm --out "$1" --unit 0 2>"$1/words" &
		until grep -q ^record "$1/words"; do sleep 0.001; done; kill -USR1 $!; wait $!`, c.program, out)
	if err == nil || !strings.Contains(err.Error(), "exit status 138") {
		t.Errorf("%v, want exit code 138", err)
	}
	// It may have done a step in the moment that it had; then Slurm does not know the task.
	words := read(t, filepath.Join(out, "words"))
	stays, goes := strings.Contains(words, "does not go back into the queue"), strings.Contains(words, "scontrol refused: ")
	if done := records(runDir(t, out, 0)); stays == goes || stays && done > 0 {
		t.Errorf("after %d records: %s", done, words)
	}
}

// A task that is killed is over for Slurm; the same command goes on with it.
func testKilled(t *testing.T, c *cluster) {
	out := t.TempDir()
	args := append(tiny(100), "--spaces", "2", "--algos", "darts", "--seeds", "2", "--report", filepath.Join(out, "report"))
	job, report := c.only(t, out, []int{0, 1}, args...)
	id := c.process(t, runDir(t, out, 1), 0)
	if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := c.exitCode(t, report); code != "1:0" {
		t.Errorf("the report job ended with %s, want 1:0", code)
	}
	log := read(t, filepath.Join(out, fmt.Sprintf("slurm-report-%d.log", report)))
	if !strings.Contains(log, "1 of 2 units are not finished: 1 missing") {
		t.Errorf("the report job says %s", log)
	}
	again, second := c.only(t, out, []int{1}, args...)
	if again == job || second == report {
		t.Errorf("jobs %d, %d again", again, second)
	}
	if code := c.exitCode(t, second); code != "0:0" {
		t.Errorf("the second report job ended with %s", code)
	}
	if log := read(t, filepath.Join(out, fmt.Sprintf("slurm-%d_1.log", again))); !strings.Contains(log, "the run continues") && !strings.Contains(log, "it starts again") {
		t.Errorf("the log of the task: %s", log)
	}
	c.finished(t, out, 2)
}

// An array that is cancelled stops at a step and goes on when it is submitted again.
func testCancelled(t *testing.T, c *cluster) {
	out := t.TempDir()
	args := append(tiny(100), "--spaces", "1", "--algos", "darts", "--seeds", "3", "--max-running", "1", "--report", filepath.Join(out, "report"))
	job, report := c.only(t, out, []int{0, 1, 2}, args...)
	dir := runDir(t, out, 0)
	c.process(t, dir, 0)
	c.must(t, "scancel", strconv.Itoa(job))
	c.waitFor(t, job)
	if status := read(t, filepath.Join(dir, "status.json")); !strings.Contains(status, `"interrupted"`) {
		t.Errorf("the status of what was cancelled: %s", status)
	}
	again, second := c.only(t, out, []int{0, 1, 2}, args...)
	c.waitFor(t, again)
	c.waitFor(t, report)
	if second != 0 { // the first had begun already
		c.waitFor(t, second)
	}
	c.finished(t, out, 3)
	if log := read(t, filepath.Join(out, fmt.Sprintf("slurm-%d_0.log", again))); !strings.Contains(log, "the run continues") {
		t.Errorf("the log of the task: %s", log)
	}
}

// A unit that fails stops no other; the report job says which and fails.
func testFailing(t *testing.T, c *cluster) {
	out := t.TempDir()
	args := append(untrained(2), "--spaces", "1", "--algos", "random-search", "--seeds", "3")
	c.must(t, c.program, append([]string{"sweep", "--out", out, "--manifest-only"}, args...)...)
	bad := runDir(t, out, 1)
	if err := os.Mkdir(bad, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "config.json"), []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, report := c.only(t, out, []int{0, 1, 2}, append(args, "--report", filepath.Join(out, "report"))...)
	if code := c.exitCode(t, report); code != "1:0" {
		t.Errorf("the report job ended with %s, want 1:0", code)
	}
	log := read(t, filepath.Join(out, fmt.Sprintf("slurm-report-%d.log", report)))
	for _, want := range []string{"1 of 3 units are not finished: 1 failed", bad + "\n  failed: "} {
		if !strings.Contains(log, want) {
			t.Errorf("the report job says %s, want %q", log, want)
		}
	}
	for _, seed := range []int{0, 2} {
		if status := read(t, filepath.Join(runDir(t, out, seed), "status.json")); !strings.Contains(status, `"finished"`) {
			t.Errorf("seed %d: %s", seed, status)
		}
	}
	read(t, filepath.Join(out, "report", "index.html")) // of the others
	if s := c.submit(t, out); len(s.Arrays) != 1 || !slices.Equal(s.Arrays[0].Units, []int{1}) {
		t.Errorf("submitted again: %+v, want unit 1 alone", s)
	}
}

// Of several who submit at once, one submits each unit.
func testTwoAtOnce(t *testing.T, c *cluster) {
	out := t.TempDir()
	args := append(untrained(2), "--spaces", "1", "--algos", "random-search", "--seeds", "4", "--", "--begin=now+5")
	var all [3]submission
	var group sync.WaitGroup
	for i := range all {
		group.Add(1)
		go func() {
			defer group.Done()
			text, err := c.try(c.program, append([]string{"sweep", "--out", out, "--on", "slurm", "--json"}, args...)...)
			if err == nil {
				err = json.Unmarshal([]byte(text), &all[i])
			}
			if err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	var units []int
	for _, s := range all {
		for _, a := range s.Arrays {
			units = append(units, a.Units...)
			defer c.waitFor(t, a.Job)
		}
	}
	if slices.Sort(units); !slices.Equal(units, []int{0, 1, 2, 3}) {
		t.Errorf("submitted the units %v, want each once", units)
	}
}

// A manifest with more units than an array may have indices becomes several arrays.
func testSplit(t *testing.T, c *cluster) {
	out := t.TempDir()
	args := append(untrained(1), "--spaces", "1", "--algos", "random-search")
	c.must(t, c.program, append([]string{"sweep", "--out", out, "--seeds", "45", "--manifest-only"}, args...)...)
	args = append(args, "--seeds", "38,39,41,44", "--max-running", "1")
	s := c.submit(t, out, args...)
	if len(s.Arrays) != 2 || !slices.Equal(s.Arrays[0].Units, []int{38, 39}) || !slices.Equal(s.Arrays[1].Units, []int{41, 44}) {
		t.Fatalf("submitted %+v, want 38, 39 and 41, 44", s)
	}
	if again := c.submit(t, out, args...); len(again.Arrays) > 0 {
		t.Errorf("submitted again: %+v, want nothing", again)
	}
	for _, a := range s.Arrays {
		c.waitFor(t, a.Job)
	}
	if log := read(t, filepath.Join(out, fmt.Sprintf("slurm-%d_4+40.log", s.Arrays[1].Job))); !strings.Contains(log, "seeds 44;") {
		t.Errorf("the log of unit 44: %s", log)
	}
	if s := c.submit(t, out, args...); len(s.Arrays) > 0 || s.Finished != 4 {
		t.Errorf("afterwards: %+v, want 4 finished", s)
	}
}

// A report job that waits for tasks waits for those as well that are submitted later.
func testLater(t *testing.T, c *cluster) {
	out := t.TempDir()
	args := append(untrained(1), "--spaces", "1", "--algos", "random-search", "--report", filepath.Join(out, "report"))
	first := c.submit(t, out, append(args, "--seeds", "1", "--", "--begin=now+4")...)
	second := c.submit(t, out, append(args, "--seeds", "2", "--", "--begin=now+8")...)
	if len(first.Arrays) != 1 || len(second.Arrays) != 1 || !slices.Equal(second.Arrays[0].Units, []int{1}) || first.Report != second.Report {
		t.Fatalf("submitted %+v, then %+v, want one report job", first, second)
	}
	for _, s := range []submission{first, second} {
		if wait := c.must(t, "squeue", "--noheader", "--format=%E", fmt.Sprintf("--jobs=%d", first.Report)); !strings.Contains(wait, fmt.Sprintf("afterany:%d_", s.Arrays[0].Job)) {
			t.Errorf("the report job waits for %s, want job %d too", wait, s.Arrays[0].Job)
		}
	}
	if code := c.exitCode(t, first.Report); code != "0:0" {
		t.Errorf("the report job ended with %s", code)
	}
	c.finished(t, out, 2)
}

// What Slurm refuses is said in its words.
func testRefused(t *testing.T, c *cluster) {
	out := t.TempDir()
	args := append([]string{"sweep", "--out", out, "--on", "slurm", "--partition", "nosuch", "--spaces", "1", "--algos", "darts", "--seeds", "1"}, tiny(1)...)
	_, err := c.try(c.program, args...)
	if err == nil || !strings.Contains(err.Error(), "sbatch refused: ") || !strings.Contains(err.Error(), "invalid partition") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("%v, want the words of sbatch", err)
	}
}
