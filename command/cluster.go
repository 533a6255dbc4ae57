package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/slurm"
)

// onSlurm is the value of --on for clusters that Slurm runs.
const onSlurm = "slurm"

// resourceFlags say what each task of a cluster gets.
func resourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "partition", Usage: "with --on slurm: submit to the partition `NAME`", DefaultText: "the site's"},
		&cli.StringFlag{Name: "account", Usage: "with --on slurm: charge the account `NAME`", DefaultText: "the site's"},
		&cli.StringFlag{Name: "time", Usage: "with --on slurm: each task has `TIME`, such as 8:00:00; what is not finished then goes on in another", DefaultText: "the site's"},
		bounded(&cli.IntFlag{Name: "cpus", Usage: "with --on: each task has `N` processors", DefaultText: "1"}, 1, maxThreads),
		&cli.StringFlag{Name: "mem", Usage: "with --on: each task has so much `MEMORY`, such as 2G", DefaultText: "the site's"},
		&cli.StringFlag{Name: "gres", Usage: "with --on: each task has the generic `RESOURCES`, such as gpu:1, nvidia.com/gpu:1 on kubernetes", DefaultText: "none"},
		bounded(&cli.IntFlag{Name: "max-running", Usage: "with --on: at most `N` tasks at a time", DefaultText: "as many as there is room for"}, 1, 1_000_000),
		&cli.StringFlag{Name: "report", Usage: "with --on: when all tasks have ended, make report and claims in the folder `DIR`", DefaultText: "no report"},
	}
}

func clusterFlags() []cli.Flag {
	on := &cli.StringFlag{Name: "on", Usage: "run the units on a `CLUSTER`: slurm, or kubernetes, for which their Job is printed", DefaultText: "this machine"}
	return slices.Concat([]cli.Flag{on}, resourceFlags(), podFlags())
}

// readCluster reads how a sweep is run on a cluster, nil where it is not.
func readCluster(c *cli.Context) (*slurm.Sweep, error) {
	example := "an example is: nb1shot sweep --on slurm --time 8:00:00"
	for _, f := range podFlags() {
		if name := f.Names()[0]; c.IsSet(name) {
			return nil, misuse(fmt.Errorf("--%s goes with --on %s", name, onKubernetes), "%s", podExample)
		}
	}
	if !c.IsSet("on") {
		for _, f := range resourceFlags() {
			if name := f.Names()[0]; c.IsSet(name) {
				return nil, misuse(fmt.Errorf("--%s goes with --on", name), "%s", example)
			}
		}
		return nil, noArguments(c)
	}
	if on := c.String("on"); on != onSlurm {
		return nil, misuse(fmt.Errorf("--on is %q, want %s or %s", on, onSlurm, onKubernetes), "%s", example)
	}
	if c.IsSet("unit") { // a task of the cluster
		for _, f := range resourceFlags() {
			if name := f.Names()[0]; c.IsSet(name) {
				return nil, misuse(fmt.Errorf("--unit and --%s do not go together", name), "with --unit, --on is for the tasks of a cluster themselves")
			}
		}
		return &slurm.Sweep{}, noArguments(c)
	}
	for _, other := range []struct{ name, instead string }{
		{"jobs", "--max-running N"}, {"threads", "--cpus N"}, {"manifest-only", "--dry-run"}, {"on-finish", "--report DIR"},
	} {
		if c.IsSet(other.name) {
			return nil, misuse(fmt.Errorf("--on and --%s do not go together", other.name), "with --on it is %s", other.instead)
		}
	}
	s := &slurm.Sweep{
		Resources: slurm.Resources{
			Partition: c.String("partition"), Account: c.String("account"), Time: c.String("time"),
			Memory: c.String("mem"), Generic: c.String("gres"), CPUs: c.Int("cpus"),
		},
		MaxRunning: c.Int("max-running"), Further: c.Args().Slice(),
	}
	if err := slurm.CheckFurther(s.Further); err != nil {
		return nil, misuse(err, "options of sbatch stand behind --: nb1shot sweep --on slurm -- --qos long")
	}
	var err error
	if s.Program, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if s.Root, err = resolved(c.String("out")); err != nil {
		return nil, err
	}
	if c.IsSet("report") {
		if s.Report, err = resolved(c.String("report")); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"SLURM_CONF", "NB1SHOT_HOME"} {
		if value, set := os.LookupEnv(name); set {
			s.Environment = append(s.Environment, slurm.Variable{Name: name, Value: value})
		}
	}
	return s, nil
}

// resolved is the absolute path of a folder, the same by whatever links it was reached.
// What does not exist yet is part of it as it stands.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := path; ; dir = filepath.Dir(dir) {
		if there, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(there, rest), nil
		}
		if dir == filepath.Dir(dir) {
			return path, nil
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// submission is what became of a sweep that was submitted, and the output of
// sweep --on slurm --json.
type submission struct {
	Dir    string           `json:"dir"`
	Arrays []submittedArray `json:"arrays"`           // what was submitted
	Report int              `json:"report,omitempty"` // number of the report job
	// The other units that were asked for.
	Finished  int `json:"finished"`
	Running   int `json:"running"` // in the queue's words, the others' included
	Pending   int `json:"pending"`
	Elsewhere int `json:"elsewhere"` // a process outside the queue works on it
}

type submittedArray struct {
	Job   int   `json:"job"`
	Units []int `json:"units"`
}

// submitSweep submits what is neither finished nor in the queue, or prints what that
// would be.
func submitSweep(c *cli.Context, plan *sweepPlan) error {
	if err := nameSources(plan); err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return printScripts(c, plan)
	}
	// Whoever submits at the same time waits, and finds these tasks in the queue.
	lock, err := os.OpenFile(filepath.Join(plan.root, ".submission.lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := durable.LockWaiting(lock); err != nil {
		return err
	}
	s := plan.cluster
	queue, err := s.Queue(c.Context)
	if err != nil {
		return ofSlurm(err)
	}
	made := &submission{Dir: plan.root, Arrays: []submittedArray{}}
	missing := made.missing(plan, queue)
	err = submitMissing(c.Context, s, queue, missing, made)
	if err == nil || len(made.Arrays) > 0 {
		err = errors.Join(err, made.show(c, s))
	}
	return ofSlurm(err)
}

// nameSources tells the jobs where images and table are, which a command finds by its
// environment as well.
func nameSources(plan *sweepPlan) error {
	s := plan.cluster
	for _, source := range []struct{ option, path, standIn string }{
		{"--data", plan.paths.images, procedural}, {"--table", plan.paths.table, surrogate},
	} {
		path := source.path
		if path != source.standIn && !generated(path) {
			var err error
			if path, err = filepath.Abs(path); err != nil {
				return err
			}
			if source.standIn == surrogate {
				s.ReportArguments = []string{source.option, path}
			}
		}
		s.Arguments = append(s.Arguments, source.option, path)
	}
	return nil
}

// missing counts how the units stand and returns those to be submitted.
func (made *submission) missing(plan *sweepPlan, queue *slurm.Queue) []int {
	var missing []int
	for _, u := range plan.units {
		switch state := plan.manifest().Standing(plan.root, u).State; {
		case state == sweep.Finished:
			made.Finished++
		case queue.Running[u.Index]:
			made.Running++
		case queue.Pending[u.Index]:
			made.Pending++
		case state == sweep.Elsewhere:
			made.Elsewhere++
		default:
			missing = append(missing, u.Index)
		}
	}
	return missing
}

// submitMissing submits the units and the report job. What was submitted before an error
// stands in made.
func submitMissing(ctx context.Context, s *slurm.Sweep, queue *slurm.Queue, missing []int, made *submission) error {
	active := queue.Arrays
	if len(missing) > 0 {
		most, err := slurm.MaxArraySize(ctx)
		if err != nil {
			return err
		}
		for _, array := range slurm.Split(missing, most) {
			var after []int
			if s.MaxRunning > 0 {
				after = active // each array has a limit of its own
			}
			script, err := s.ArrayScript(array, after)
			if err != nil {
				return err
			}
			job, err := slurm.Submit(ctx, script)
			if err != nil {
				return err
			}
			made.Arrays = append(made.Arrays, submittedArray{job, array.Units})
			active = append(active, job)
		}
	}
	if s.Report == "" {
		return nil
	}
	if queue.Report != 0 {
		made.Report = queue.Report
		if len(made.Arrays) == 0 {
			return nil
		}
		return slurm.DelayUntil(ctx, queue.Report, active)
	}
	script, err := s.ReportScript(active)
	if err != nil {
		return err
	}
	made.Report, err = slurm.Submit(ctx, script)
	return err
}

// show prints what was submitted and how to watch it.
func (made *submission) show(c *cli.Context, s *slurm.Sweep) error {
	if c.Bool("json") {
		return writeJSON(c.App.Writer, made)
	}
	var jobs, logs []string
	p := &printer{w: c.App.Writer}
	for _, a := range made.Arrays {
		job := strconv.Itoa(a.Job)
		jobs = append(jobs, job)
		logs = append(logs, filepath.Join(made.Dir, "slurm-"+job+"_*.log"))
		text := fmt.Sprintf("array %s: %s", job, counted(len(a.Units), "unit"))
		if s.MaxRunning > 0 {
			text += fmt.Sprintf(", at most %d at a time", s.MaxRunning)
		}
		p.line("%s", text)
	}
	if len(made.Arrays) == 0 {
		p.line("nothing to submit")
	}
	var others []string
	for _, o := range []struct {
		n    int
		text string
	}{{made.Finished, "finished"}, {made.Running, "running"}, {made.Pending, "waiting in the queue"}, {made.Elsewhere, "under way outside the queue"}} {
		if o.n > 0 {
			others = append(others, fmt.Sprintf("%d %s", o.n, o.text))
		}
	}
	if others != nil {
		p.line("not submitted: %s", strings.Join(others, ", "))
	}
	stop := jobs
	if made.Report != 0 {
		p.line("report job %d: to %s, when all tasks have ended", made.Report, s.Report)
		jobs = append(jobs, strconv.Itoa(made.Report))
		logs = append(logs, filepath.Join(made.Dir, fmt.Sprintf("slurm-report-%d.log", made.Report)))
	}
	if jobs != nil && !c.Bool("quiet") {
		p.line("watch: squeue --jobs %s", strings.Join(jobs, ","))
		p.line("logs: %s", strings.Join(logs, " "))
	}
	if stop != nil && !c.Bool("quiet") {
		p.line("stop: scancel %s; the same command goes on later", strings.Join(stop, " "))
	}
	return p.err
}

// printScripts prints what would be submitted. Slurm is asked where there is one.
func printScripts(c *cli.Context, plan *sweepPlan) error {
	s := plan.cluster
	most, err := slurm.MaxArraySize(c.Context)
	var queue *slurm.Queue
	if err == nil {
		queue, err = s.Queue(c.Context)
	}
	if c.Context.Err() != nil {
		return c.Context.Err()
	}
	if err != nil {
		most, queue = slurm.DefaultMaxArraySize, &slurm.Queue{}
		fmt.Fprintf(c.App.ErrWriter, "%s: warning: no word from Slurm (%s): what is in the queue is not left out, and its MaxArraySize is taken to be %d\n", program, message(err), most)
	}
	missing := (&submission{}).missing(plan, queue)
	var scripts []string
	for _, array := range slurm.Split(missing, most) {
		script, err := s.ArrayScript(array, nil)
		if err != nil {
			return ofSlurm(err)
		}
		scripts = append(scripts, script)
	}
	if s.Report != "" {
		script, err := s.ReportScript(nil)
		if err != nil {
			return ofSlurm(err)
		}
		scripts = append(scripts, script)
	}
	for i, script := range scripts {
		if len(scripts) > 1 {
			head, rest, _ := strings.Cut(script, "\n")
			script = fmt.Sprintf("%s\n# Script %d of %d, each for a file of its own.\n%s", head, i+1, len(scripts), rest)
		}
		if i > 0 {
			script = "\n" + script
		}
		if _, err := io.WriteString(c.App.Writer, script); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(plan.root, sweep.File)); err != nil {
		fmt.Fprintf(c.App.ErrWriter, "before sbatch, write the manifest: the same options with --manifest-only in place of --dry-run and --on\n")
	}
	if s.Report != "" && len(scripts) > 1 {
		fmt.Fprintf(c.App.ErrWriter, "submit the last script with sbatch --dependency=afterany:JOB, JOB the number of the array\n")
	}
	if scripts == nil {
		fmt.Fprintln(c.App.ErrWriter, "nothing to submit")
	}
	return nil
}

// ofSlurm says what to do about an error of Slurm.
func ofSlurm(err error) error {
	var absent *slurm.AbsentError
	var refused *slurm.RefusedError
	switch {
	case errors.As(err, &absent):
		return hinted(err, "submit where Slurm's commands are, mostly a login node; --dry-run prints the script without")
	case errors.Is(err, slurm.ErrControl):
		return hinted(err, "take another name")
	case errors.As(err, &refused):
		return hinted(err, "--dry-run prints the script; what was submitted before stays submitted")
	}
	return err
}

// requeueWithin bounds how long Slurm may take to put a task back into the queue.
const requeueWithin = time.Minute

// requeue puts this task back into the queue: its time ends, as Slurm has announced. err
// is what the unit has come to. A task that has done nothing in its time would do nothing
// in any other.
func requeue(c *cli.Context, err error, advanced bool) error {
	if !advanced {
		return hinted(fmt.Errorf("%w; no step was finished before the time limit came near, so the task does not go back into the queue", err), "submit again with more --time")
	}
	array, task := os.Getenv("SLURM_ARRAY_JOB_ID"), os.Getenv("SLURM_ARRAY_TASK_ID")
	if array == "" || task == "" {
		return err // told by somebody else
	}
	fmt.Fprintln(c.App.ErrWriter, "the time limit is near: back into the queue")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context), requeueWithin)
	defer cancel()
	if failed := slurm.Requeue(ctx, array+"_"+task); failed != nil {
		return hinted(fmt.Errorf("%w; back into the queue: %w", err, failed), "the same sweep --on slurm submits it again")
	}
	return hinted(err, "the task resumes it by itself")
}
