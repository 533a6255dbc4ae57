// Package apitest decodes the manifests of package kubernetes into the types of the API.
// It is a module of its own, so that nb1shot does not depend on them.
package apitest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// decode reads the Jobs of a manifest, where no field may be unknown or stand twice.
func decode(t *testing.T, name string) []batch.Job {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var jobs []batch.Job
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var j batch.Job
		if err := yaml.UnmarshalStrict([]byte(document), &j); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// What the server asks of each Job, beyond its form.
func TestJobs(t *testing.T) {
	for name, want := range map[string]int{"plain": 1, "full": 2, "hostile": 2, "report": 1} {
		jobs := decode(t, name)
		if len(jobs) != want {
			t.Errorf("%s: %d jobs, want %d", name, len(jobs), want)
		}
		for _, j := range jobs {
			if j.APIVersion != "batch/v1" || j.Kind != "Job" {
				t.Errorf("%s: %s %s, want batch/v1 Job", name, j.APIVersion, j.Kind)
			}
			// The hostname of the pod of the greatest index.
			if e := validation.IsDNS1123Label(j.Name + "-99999"); e != nil {
				t.Errorf("%s: name %s: %s", name, j.Name, e)
			}
			for _, labels := range []map[string]string{j.Labels, j.Spec.Template.Labels} {
				if labels["app.kubernetes.io/name"] != "nb1shot" || labels["app.kubernetes.io/instance"] == "" {
					t.Errorf("%s: labels %v", name, labels)
				}
				for key, value := range labels {
					if e := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); e != nil {
						t.Errorf("%s: label %s=%s: %s", name, key, value, e)
					}
				}
			}
			pod := j.Spec.Template.Spec
			if pod.RestartPolicy != core.RestartPolicyNever {
				t.Errorf("%s: restart policy %s, which a pod failure policy does not go with", name, pod.RestartPolicy)
			}
			if r := j.Spec.PodReplacementPolicy; r == nil || *r != batch.Failed {
				t.Errorf("%s: replacement policy %v, which a pod failure policy does not go with", name, r)
			}
			if first := j.Spec.PodFailurePolicy.Rules[0]; first.Action != batch.PodFailurePolicyActionIgnore ||
				len(first.OnPodConditions) != 1 || first.OnPodConditions[0].Type != core.DisruptionTarget || first.OnPodConditions[0].Status != core.ConditionTrue {
				t.Errorf("%s: evicted pods count: %v", name, first)
			}
			c := pod.Containers[0]
			for _, rule := range j.Spec.PodFailurePolicy.Rules[1:] {
				e := rule.OnExitCodes
				if e == nil || *e.ContainerName != c.Name || e.Operator != batch.PodFailurePolicyOnExitCodesOpIn || !slices.IsSorted(e.Values) || slices.Contains(e.Values, 0) {
					t.Errorf("%s: rule %v", name, rule)
				}
			}
			if pod.Volumes[0].PersistentVolumeClaim.ClaimName != "runs" || c.VolumeMounts[0].Name != pod.Volumes[0].Name {
				t.Errorf("%s: volumes %v, mounts %v", name, pod.Volumes, c.VolumeMounts)
			}
			for resource, limit := range c.Resources.Limits {
				request := c.Resources.Requests[resource]
				if e := validation.IsQualifiedName(string(resource)); e != nil || limit.Sign() <= 0 || request.Cmp(limit) != 0 {
					t.Errorf("%s: %s: limit %v, request %v, %v", name, resource, limit.String(), request.String(), e)
				}
			}
		}
	}
}

func TestIndexed(t *testing.T) {
	for name, want := range map[string][2]int32{"plain": {4, 4}, "full": {8, 3}, "hostile": {1, 1}} {
		s := decode(t, name)[0].Spec
		if *s.CompletionMode != batch.IndexedCompletion || *s.Completions != want[0] || *s.Parallelism != want[1] {
			t.Errorf("%s: %s, %d completions, %d at a time, want %v", name, *s.CompletionMode, *s.Completions, *s.Parallelism, want)
		}
		if s.BackoffLimitPerIndex == nil || *s.BackoffLimitPerIndex < 1 || s.MaxFailedIndexes != nil || s.BackoffLimit != nil || s.ActiveDeadlineSeconds != nil {
			t.Errorf("%s: a unit that fails may stop others: %+v", name, s)
		}
		if g := s.Template.Spec.TerminationGracePeriodSeconds; g == nil || *g < 60 {
			t.Errorf("%s: too little time for a checkpoint", name)
		}
	}
	full := decode(t, "full")
	limits := full[0].Spec.Template.Spec.Containers[0].Resources.Limits
	gpus := limits["nvidia.com/gpu"]
	if limits.Cpu().Value() != 2 || limits.Memory().Value() != 2<<30 || gpus.Value() != 1 {
		t.Errorf("full: limits %v", limits)
	}
	if s := full[1].Spec; s.Suspend == nil || !*s.Suspend {
		t.Error("full: the report does not wait for the units")
	}
	if s := decode(t, "report")[0].Spec; s.Suspend != nil {
		t.Error("report: it waits without units to wait for")
	}
}

// expand replaces $$ by $ and $(NAME), of which there may be none, as Kubernetes does in
// commands, arguments and variables.
func expand(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '$' && i+1 < len(s) {
			if s[i+1] == '(' {
				t.Errorf("%q: Kubernetes would replace a variable", s)
			}
			if s[i+1] == '$' {
				i++
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// start runs what the pod of an index would run, with a program in place of nb1shot that
// prints each of its arguments in brackets.
func start(t *testing.T, j batch.Job, index string) (printed string, code int) {
	t.Helper()
	bin := t.TempDir()
	program := "#!/bin/sh\nprintf '[%s]' \"$@\"\necho\ncase $1 in sweep) exit \"$CHECKED\";; report) exit \"$REPORTED\";; esac\nexit 5\n"
	if err := os.WriteFile(filepath.Join(bin, "nb1shot"), []byte(program), 0o777); err != nil {
		t.Fatal(err)
	}
	container := j.Spec.Template.Spec.Containers[0]
	var words []string
	for _, w := range append(container.Command, container.Args...) {
		words = append(words, expand(t, w))
	}
	c := exec.Command(words[0], words[1:]...)
	c.Dir = bin
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if index != "" {
		c.Env = append(c.Env, "JOB_COMPLETION_INDEX="+index)
	}
	for _, v := range container.Env {
		c.Env = append(c.Env, v.Name+"="+expand(t, v.Value))
	}
	out, _ := c.CombinedOutput()
	return string(out), c.ProcessState.ExitCode()
}

func brackets(words ...string) string { return "[" + strings.Join(words, "][") + "]\n" }

// Each index runs its unit, whatever the folders are called.
func TestUnits(t *testing.T) {
	t.Setenv("CHECKED", "0")
	full := decode(t, "full")[0]
	for index, unit := range map[string]string{"0": "0", "1": "2", "4": "5", "5": "9", "6": "11", "7": "12"} {
		want := brackets("sweep", "--out", "/srv/nas/runs", "--threads", "2", "--data", "/srv/nas/cifar-10", "--table", "surrogate", "--unit", unit)
		if got, code := start(t, full, index); got != want || code != 0 {
			t.Errorf("index %s: code %d\n%swant\n%s", index, code, got, want)
		}
	}
	if got, code := start(t, full, "8"); code != 2 || !strings.Contains(got, "has no unit") {
		t.Errorf("an index too many: code %d, %s", code, got)
	}

	hostile := decode(t, "hostile")[0]
	mount := "/a \"b\" 'c' \\ # $(rm -rf x)"
	root := mount + "/{{ - & * ! | > % @ ` $NB1SHOT_UNITS $$(D) $$$(E) $"
	want := brackets("sweep", "--out", root, "--threads", "2", "--data", "null", "--table", "- yes", "", "~", "0x1f", "---", "$", "$$", "$(", "a$b$(JOB_COMPLETION_INDEX)", "--unit", "7")
	if got, code := start(t, hostile, "0"); got != want || code != 0 {
		t.Errorf("hostile names: code %d\n%swant\n%s", code, got, want)
	}
	if got := hostile.Spec.Template.Spec.Containers[0].VolumeMounts[0].MountPath; got != mount {
		t.Errorf("mounted at %q, want %q", got, mount)
	}
}

// The report's code is that of what is unfinished, else of the report; the claims' is none.
func TestReport(t *testing.T) {
	mount := "/a \"b\" 'c' \\ # $(rm -rf x)"
	root := mount + "/{{ - & * ! | > % @ ` $NB1SHOT_UNITS $$(D) $$$(E) $"
	report := root + "/é\u00a0\u2028\u202e\ufeff\U0001f600\U000e0001 $(date); `date`"
	want := brackets("report", "--skip-damaged", "--out", report, "--table", "'; exit 7; '", root) +
		brackets("claims", "--skip-damaged", root) + brackets("sweep", "--check", "--out", root)
	for _, test := range []struct {
		checked, reported string
		code              int
	}{{"0", "0", 0}, {"1", "0", 1}, {"0", "3", 3}, {"1", "3", 1}} {
		t.Setenv("CHECKED", test.checked)
		t.Setenv("REPORTED", test.reported)
		if got, code := start(t, decode(t, "hostile")[1], ""); got != want || code != test.code {
			t.Errorf("%v: code %d\n%swant\n%s", test, code, got, want)
		}
	}
}
