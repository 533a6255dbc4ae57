// Package slurm submits the units of a sweep to a cluster that Slurm runs: one array of
// jobs, a task for each unit, and a job that reports when the array has ended. It asks
// Slurm's own commands and needs no accounting daemon: what is done is in the run
// directories, what is to come in the queue. docs/slurm.md tells how it looks to a user.
package slurm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/internal/printable"
)

// AbsentError reports a machine without one of Slurm's commands.
type AbsentError struct{ Command string }

// Error names the command.
func (e *AbsentError) Error() string { return e.Command + " is not found: this machine has no Slurm" }

// RefusedError reports a command of Slurm that failed.
type RefusedError struct {
	Command string
	Words   string // what it said, in one line that a terminal can show
}

// Error repeats what the command said.
func (e *RefusedError) Error() string { return fmt.Sprintf("%s refused: %s", e.Command, e.Words) }

// call runs a command of Slurm and returns its standard output.
func call(ctx context.Context, input string, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &AbsentError{name}
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var out, words bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &words
	cmd.Env = environment(os.Environ(), input)
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &exit):
		return "", &RefusedError{name, said(name, words.String(), exit)}
	case err != nil:
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return out.String(), nil
}

// irregular are the variables of sbatch that are not named as their options are.
var irregular = map[string]string{"time": "TIMELIMIT", "mem": "MEM_PER_NODE", "array": "ARRAY_INX", "requeue": "NO_REQUEUE"}

// environment leaves out the variables by which somebody may have made a habit of what
// must be otherwise here: they go before what a script says, and filter the queue.
func environment(all []string, script string) []string {
	drop := map[string]bool{"SBATCH_WAIT": true}
	for line := range strings.Lines(script) {
		option, ok := strings.CutPrefix(line, "#SBATCH --")
		if !ok {
			continue
		}
		option = strings.TrimSpace(option)
		if i := strings.IndexAny(option, "= "); i >= 0 {
			option = option[:i]
		}
		name := cmp.Or(irregular[option], strings.ToUpper(strings.ReplaceAll(option, "-", "_")))
		drop["SBATCH_"+name] = true
	}
	return slices.DeleteFunc(all, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return drop[name] || strings.HasPrefix(name, "SQUEUE_")
	})
}

// maxWords bounds what is repeated of a command's words, in bytes.
const maxWords = 2000

// said makes one line of what a command wrote before it failed.
func said(name, words string, exit *exec.ExitError) string {
	var lines []string
	for line := range strings.Lines(words) {
		line = strings.TrimPrefix(strings.TrimSpace(line), name+": ")
		if line = strings.TrimPrefix(line, "error: "); line != "" {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, "; ")
	if text == "" {
		text = exit.String()
	}
	return printable.Line(text[:min(len(text), maxWords)])
}

// Submit submits a script and returns the number of its job.
func Submit(ctx context.Context, script string) (job int, err error) {
	out, err := call(ctx, script, "sbatch", "--parsable")
	if err != nil {
		return 0, err
	}
	number, _, _ := strings.Cut(strings.TrimSpace(out), ";") // the cluster may follow
	if job, err = strconv.Atoi(number); err != nil || job < 1 {
		return 0, fmt.Errorf("sbatch printed %q, want the number of the job", printable.Line(out))
	}
	return job, nil
}

// Requeue puts the running task of an array back into the queue. Slurm ends its process.
func Requeue(ctx context.Context, task string) error {
	_, err := call(ctx, "", "scontrol", "requeue", task)
	return err
}

// DelayUntil lets a job that has not begun wait until these jobs have ended.
func DelayUntil(ctx context.Context, job int, ended []int) error {
	_, err := call(ctx, "", "scontrol", "update", fmt.Sprintf("JobId=%d", job), "Dependency="+afterAny(ended))
	return err
}

func afterAny(jobs []int) string {
	text := "afterany"
	for _, job := range jobs {
		text += ":" + strconv.Itoa(job)
	}
	return text
}

// DefaultMaxArraySize is Slurm's own, where a site sets no other.
const DefaultMaxArraySize = 1001

// MaxArraySize is what the indices of an array must be less than.
func MaxArraySize(ctx context.Context) (int, error) {
	out, err := call(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(name) != "MaxArraySize" {
			continue
		}
		value = strings.TrimSpace(value)
		n, err := strconv.Atoi(value)
		if err != nil || n < 2 {
			return 0, fmt.Errorf("the MaxArraySize of this cluster is %q, want at least 2: it takes no arrays", printable.Line(value))
		}
		return n, nil
	}
	return DefaultMaxArraySize, nil
}

// Queue is what of a sweep stands in the queue of the cluster.
type Queue struct {
	Running map[int]bool // by unit, those that end or go back into the queue included
	Pending map[int]bool
	Arrays  []int // the jobs, in ascending order
	// Report is the report job of the folder that was asked for, if it has not begun;
	// else 0.
	Report int
}

// Queue asks what of the sweep stands in the queue.
func (s *Sweep) Queue(ctx context.Context) (*Queue, error) {
	out, err := call(ctx, "", "squeue", "--noheader", "--array", "--format=%F|%K|%T|%k")
	if err != nil {
		return nil, err
	}
	return s.readQueue(out), nil
}

// readQueue picks the sweep's from the lines of squeue, which are of all jobs: the number
// of the array, the index of the task, the state, the comment.
func (s *Sweep) readQueue(lines string) *Queue {
	q := &Queue{Running: map[int]bool{}, Pending: map[int]bool{}}
	for line := range strings.Lines(lines) {
		fields := strings.SplitN(strings.TrimSpace(line), "|", 4)
		if len(fields) < 4 {
			continue
		}
		job, err := strconv.Atoi(fields[0])
		if err != nil {
			continue
		}
		pending := fields[2] == "PENDING"
		if fields[3] == s.reportComment() {
			if pending {
				q.Report = job
			}
			continue
		}
		shift, ours := strings.CutPrefix(fields[3], s.comment())
		offset, err := strconv.Atoi(shift)
		index, err2 := strconv.Atoi(fields[1])
		if !ours || err != nil || err2 != nil {
			continue
		}
		if pending {
			q.Pending[offset+index] = true
		} else {
			q.Running[offset+index] = true
		}
		if !slices.Contains(q.Arrays, job) {
			q.Arrays = append(q.Arrays, job)
		}
	}
	slices.Sort(q.Arrays)
	return q
}
