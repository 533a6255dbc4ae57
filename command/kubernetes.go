package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/internal/kubernetes"
	"github.com/nb1shot/nb1shot/internal/slurm"
)

// onKubernetes is the value of --on for clusters that Kubernetes runs.
const onKubernetes = "kubernetes"

const podExample = "an example is: nb1shot sweep --on kubernetes --image registry.example.org/nb1shot:1 --claim runs --mount /srv/nas"

// podFlags are options of --on kubernetes alone.
func podFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "image", Usage: "with --on kubernetes: the pods run `IMAGE`, which has nb1shot", DefaultText: "must be given"},
		&cli.StringFlag{Name: "claim", Usage: "with --on kubernetes: the folders are in the PersistentVolumeClaim `NAME`", DefaultText: "must be given"},
		&cli.StringFlag{Name: "mount", Usage: "with --on kubernetes: the claim is mounted at `DIR`, here as in the pods", DefaultText: "the folder of the sweep"},
		&cli.StringFlag{Name: "name", Usage: "with --on kubernetes: the Job is called `NAME`", DefaultText: "by the folder"},
	}
}

// readPods reads how a sweep is run on Kubernetes.
func readPods(c *cli.Context) (*kubernetes.Sweep, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	for _, name := range []string{"partition", "account", "time"} {
		if c.IsSet(name) {
			return nil, misuse(fmt.Errorf("--%s goes with --on %s", name, onSlurm), "%s", podExample)
		}
	}
	for _, refused := range [][2]string{
		{"unit", "the index of a pod tells its unit"}, {"jobs", "with --on it is --max-running N"}, {"threads", "with --on it is --cpus N"},
		{"manifest-only", "with --on it is --dry-run"}, {"on-finish", "with --on it is --report DIR"}, {"json", "the output is YAML, for kubectl"},
	} {
		if c.IsSet(refused[0]) {
			return nil, misuse(fmt.Errorf("--on %s and --%s do not go together", onKubernetes, refused[0]), "%s", refused[1])
		}
	}
	for _, name := range []string{"image", "claim"} {
		if c.String(name) == "" {
			return nil, misuse(fmt.Errorf("--on %s needs --%s", onKubernetes, name), "%s", podExample)
		}
	}
	s := &kubernetes.Sweep{
		Image: c.String("image"), Claim: c.String("claim"), CPUs: max(c.Int("cpus"), 1),
		Memory: c.String("mem"), MaxRunning: c.Int("max-running"),
	}
	var err error
	if s.Root, err = resolved(c.String("out")); err != nil {
		return nil, err
	}
	s.Mount = s.Root
	if c.IsSet("mount") {
		if s.Mount, err = resolved(c.String("mount")); err != nil {
			return nil, err
		}
	}
	if c.IsSet("report") {
		if s.Report, err = resolved(c.String("report")); err != nil {
			return nil, err
		}
	}
	s.Name = kubernetes.DefaultName(s.Claim, s.Root)
	for _, given := range []struct {
		name  string
		check func(string) error
	}{
		{"image", kubernetes.CheckImage}, {"claim", kubernetes.CheckClaim}, {"mem", kubernetes.CheckMemory},
		{"name", func(name string) error { s.Name = name; return kubernetes.CheckName(name) }},
		{"gres", func(text string) (err error) { s.Devices, err = kubernetes.ParseDevices(text); return err }},
	} {
		if !c.IsSet(given.name) {
			continue
		}
		if err := given.check(c.String(given.name)); err != nil {
			return nil, misuse(fmt.Errorf("--%s: %w", given.name, err), "%s", podExample)
		}
	}
	if err := s.CheckPaths(); err != nil {
		return nil, ofPods(err)
	}
	if s.Mount == string(filepath.Separator) {
		return nil, misuse(errors.New("the claim cannot be mounted at /"), "--mount DIR is the folder where it is mounted here")
	}
	if err := s.Within("the folder of the sweep", s.Root); err != nil {
		return nil, ofPods(err)
	}
	if s.Report != "" {
		if err := s.Within("the folder of the report", s.Report); err != nil {
			return nil, ofPods(err)
		}
	}
	return s, nil
}

// ofPods says what to do about a sweep that no manifest can hold.
func ofPods(err error) error {
	var outside *kubernetes.OutsideError
	switch {
	case errors.As(err, &outside):
		return hinted(err, "--mount DIR says where the claim is mounted here: all that the pods read and write must be in it")
	case errors.Is(err, kubernetes.ErrPath):
		return hinted(err, "take another name")
	case errors.Is(err, kubernetes.ErrTooMany):
		return hinted(err, "take some of them at a time: --seeds, --spaces, --algos")
	}
	return err
}

// printPods prints the manifest of what is neither finished nor under way.
func printPods(c *cli.Context, plan *sweepPlan) error {
	s := plan.pods
	if err := namePodSources(plan); err != nil {
		return err
	}
	counts := &submission{}
	units := counts.missing(plan, &slurm.Queue{})
	text, err := s.Manifest(units)
	if err != nil {
		return ofPods(err)
	}
	if _, err := io.WriteString(c.App.Writer, text); err != nil {
		return err
	}
	if c.Bool("quiet") {
		return nil
	}
	p := &printer{w: c.App.ErrWriter}
	if counts.Finished+counts.Elsewhere > 0 {
		p.line("left out: %d finished, %d under way", counts.Finished, counts.Elsewhere)
	}
	if text == "" {
		p.line("nothing to run")
		return p.err
	}
	p.line("nothing was applied; to apply it: the same command | kubectl apply -f -")
	if _, err := os.Stat(filepath.Join(plan.root, sweep.File)); err != nil {
		p.line("the manifest of the sweep is not written: leave out --dry-run before it is applied")
	}
	former := s.Name
	if s.Report != "" {
		former += " " + s.ReportName()
	}
	p.line("the cluster was not asked what is there: what ran under this name before has to go first:")
	p.line("  kubectl delete job --ignore-not-found %s", former)
	p.line("watch: kubectl get pods --selector app.kubernetes.io/instance=%s; nb1shot sweep --status --out %s", s.Name, plan.root)
	if s.Report != "" && len(units) > 0 {
		p.line("the report's Job is suspended; this waits until the units have ended, and resumes it:")
		p.line("  %s", s.Await())
	}
	return p.err
}

// namePodSources tells the pods where images and table are, which must be in the claim. A
// pod has no data home to look for them.
func namePodSources(plan *sweepPlan) error {
	s := plan.pods
	for _, source := range []struct {
		option, what, path, standIn string
		needed                      bool
	}{
		{"--data", "the images", plan.paths.images, procedural, plan.runner.Train != nil || plan.runner.Shared.Retrain != nil},
		{"--table", "the table", plan.paths.table, surrogate, true},
	} {
		path := source.path
		if !source.needed {
			path = source.standIn // so that no pod looks for it
		}
		if path != source.standIn && !generated(path) {
			var err error
			if path, err = resolved(path); err != nil {
				return err
			}
			if err := s.Within(source.what, path); err != nil {
				return ofPods(err)
			}
		}
		if source.standIn == surrogate { // the report looks for it as well
			s.ReportArguments = []string{source.option, path}
		}
		s.Arguments = append(s.Arguments, source.option, path)
	}
	return nil
}
