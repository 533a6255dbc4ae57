// Package kubernetes writes the units of a sweep as an Indexed Job for Kubernetes, and the
// job that reports. It talks to no cluster: what it writes is for kubectl.
// docs/kubernetes.md tells how it looks to a user.
package kubernetes

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sweep is a sweep as a cluster runs it. The claim is mounted at the same path in every
// pod as on this machine, so that all paths are the same on both.
type Sweep struct {
	Name  string // of the Job, see [CheckName]
	Image string // that has nb1shot and /bin/sh
	Claim string // name of the PersistentVolumeClaim
	Mount string // absolute path of the claim's volume
	Root  string // absolute path of the folder of the manifest
	// Arguments are of every unit, beside those that name it, and ReportArguments of the
	// report.
	Arguments, ReportArguments []string
	CPUs                       int    // of each unit, at least 1
	Memory                     string // of each unit, see [CheckMemory]; "" is the cluster's
	Devices                    []Device
	MaxRunning                 int    // how many units may run at a time; 0 is no limit
	Report                     string // absolute path of the folder for the report; "" is no report
}

// Device is so many devices of a kind, for each unit.
type Device struct {
	Name  string // such as nvidia.com/gpu
	Count int
}

// maxName leaves room for the index of a pod or the ending of the report's name: both are
// parts of names of at most 63 characters.
const maxName = 50

var (
	label    = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	claim    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	image    = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$`)
	memory   = regexp.MustCompile(`^[1-9][0-9]*(\.[0-9]+)?(Mi|Gi|Ti|M|G|T)$`)
	resource = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-zA-Z0-9]([-a-zA-Z0-9._]{0,61}[a-zA-Z0-9])?$`)
)

// CheckName refuses what cannot be the name of the Job.
func CheckName(name string) error {
	if len(name) > maxName || !label.MatchString(name) {
		return fmt.Errorf("%q is no name of a Job: want a small letter, then small letters, digits and hyphens, at most %d", name, maxName)
	}
	return nil
}

// CheckClaim refuses what cannot be the name of a PersistentVolumeClaim.
func CheckClaim(name string) error {
	if len(name) > 253 || !claim.MatchString(name) {
		return fmt.Errorf("%q is no name of a PersistentVolumeClaim: want small letters, digits, hyphens and dots", name)
	}
	return nil
}

// CheckImage refuses what cannot be a reference to an image.
func CheckImage(name string) error {
	if !image.MatchString(name) {
		return fmt.Errorf("%q is no image: want a reference such as registry.example.org/nb1shot:1", name)
	}
	return nil
}

// CheckMemory refuses what is no amount of memory as Kubernetes writes it. A number alone
// would be bytes there and megabytes to other schedulers.
func CheckMemory(amount string) error {
	if !memory.MatchString(amount) {
		return fmt.Errorf("%q is no amount of memory: want a number and Mi, Gi, Ti, M, G or T, such as 2Gi", amount)
	}
	return nil
}

// ParseDevices reads NAME:COUNT,NAME:COUNT.
func ParseDevices(text string) ([]Device, error) {
	var devices []Device
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 1000 || len(name) > 253 || !resource.MatchString(name) || seen[name] {
			return nil, fmt.Errorf("%q is no list of devices: want NAME:COUNT, each once, with names as the cluster has them, such as nvidia.com/gpu:1", text)
		}
		seen[name] = true
		devices = append(devices, Device{name, n})
	}
	return devices, nil
}

// DefaultName is a name for the Job of the sweep in the folder root of a claim: the same
// whenever it is asked for, so that a cluster refuses two of them at a time.
func DefaultName(claim, root string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(filepath.Base(root)) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	base := b.String()
	base = strings.Trim(base[:min(len(base), 24)], "-")
	if base != "" {
		base += "-"
	}
	return fmt.Sprintf("nb1shot-%s%.5x", base, sha256.Sum256([]byte(claim+"\x00"+root)))
}

// ReportName is the name of the report's Job.
func (s *Sweep) ReportName() string { return s.Name + "-report" }

// OutsideError reports a path that the pods would not see.
type OutsideError struct{ What, Path, Mount string }

// Error names the path.
func (e *OutsideError) Error() string {
	return fmt.Sprintf("%s %s is not in %s, where the claim is mounted: the pods see nothing else", e.What, e.Path, e.Mount)
}

// Within returns an *OutsideError unless the absolute path is in the claim.
func (s *Sweep) Within(what, path string) error {
	if rel, err := filepath.Rel(s.Mount, path); err != nil || !filepath.IsLocal(rel) {
		return &OutsideError{what, path, s.Mount}
	}
	return nil
}

// ErrPath reports a path that no manifest can hold.
var ErrPath = errors.New("a folder's name has a control character or is no UTF-8, or a colon where the claim is mounted, which Kubernetes cannot mount")

// CheckPaths returns [ErrPath] where a manifest cannot hold one of the paths.
func (s *Sweep) CheckPaths() error {
	if strings.Contains(s.Mount, ":") {
		return ErrPath
	}
	words := append(append([]string{s.Mount, s.Root, s.Report}, s.Arguments...), s.ReportArguments...)
	for _, w := range words {
		if !utf8.ValidString(w) || strings.ContainsFunc(w, unicode.IsControl) {
			return ErrPath
		}
	}
	return nil
}

const (
	// maxUnits is how many indices a Job may have that does not end when some of them
	// fail.
	maxUnits = 100_000
	// maxList is how long the list of units may be, in bytes: what a program may find in
	// one variable is 128 KiB in Linux.
	maxList = 100_000
)

// ErrTooMany reports units that do not fit into a Job.
var ErrTooMany = errors.New("the units to run are too many, or in too many pieces, for one Job")

// ranges writes units, in ascending order, as the script reads them: 0-3 7.
func ranges(units []int) string {
	var parts []string
	for i := 0; i < len(units); {
		first := units[i]
		last := first
		for i++; i < len(units) && units[i] == last+1; i++ {
			last++
		}
		part := strconv.Itoa(first)
		if last > first {
			part += "-" + strconv.Itoa(last)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

const (
	// retries is how often a unit is tried again by itself. A run that was killed on a
	// machine that is gone may be taken over after three minutes of silence; Kubernetes
	// waits 10 s before the first of these, and each time twice as long: 310 s in all.
	retries = 5
	// grace is how many seconds a pod has between SIGTERM and SIGKILL: for the step that
	// is under way and a checkpoint.
	grace = 120
)

// unitScript runs the unit that belongs to the index of the pod. What is particular to a
// sweep is in arguments and variables, so that no shell ever reads it.
const unitScript = `n=$JOB_COMPLETION_INDEX
for range in $NB1SHOT_UNITS; do
  first=${range%-*}
  size=$((${range#*-} - first + 1))
  if [ "$n" -lt "$size" ]; then
    exec nb1shot "$@" --unit "$((first + n))"
  fi
  n=$((n - size))
done
echo "index $JOB_COMPLETION_INDEX has no unit" >&2
exit 2
`

// reportScript gets the folders of the sweep and of the report, then the arguments of the
// report. Without the paper's algorithms there are no claims to judge, so their exit code
// says nothing.
const reportScript = `root=$1 report=$2
shift 2
nb1shot report --skip-damaged --out "$report" "$@" "$root"
made=$?
nb1shot claims --skip-damaged "$root"
nb1shot sweep --check --out "$root" || exit
exit "$made"
`

// Manifest writes the Job of the units, in ascending order, and that of the report, as
// documents of YAML. Without units there is at most the report.
func (s *Sweep) Manifest(units []int) (string, error) {
	if err := s.CheckPaths(); err != nil {
		return "", err
	}
	indices := ranges(units)
	if len(units) > maxUnits || len(indices) > maxList {
		return "", ErrTooMany
	}
	var documents []string
	if len(units) > 0 {
		documents = append(documents, document(s.units(len(units), indices)))
	}
	if s.Report != "" {
		documents = append(documents, document(s.report(len(units) > 0)))
	}
	return strings.Join(documents, "---\n"), nil
}

func (s *Sweep) units(n int, indices string) mapping {
	parallel := n
	if s.MaxRunning > 0 {
		parallel = min(n, s.MaxRunning)
	}
	c := s.container("unit", unitScript,
		append([]string{"sweep", "--out", s.Root, "--threads", strconv.Itoa(s.CPUs)}, s.Arguments...),
		mapping{{"name", word("NB1SHOT_UNITS")}, {"value", indices}}, s.CPUs, s.Devices)
	return s.job(s.Name, "unit", mapping{
		{"completionMode", word("Indexed")},
		{"completions", n},
		{"parallelism", parallel},
		{"", note("A unit that fails is tried again, and never stops the others.")},
		{"backoffLimitPerIndex", retries},
		{"", note("No two pods of a unit at a time.")},
		{"podReplacementPolicy", word("Failed")},
		{"podFailurePolicy", mapping{{"rules", list{
			disrupted,
			mapping{
				{"action", word("Ignore")},
				{"", note("The unit was told to stop (SIGTERM), and goes on from its checkpoint.")},
				{"onExitCodes", exitCodes("unit", 143)},
			},
			mapping{
				{"action", word("FailIndex")},
				{"", note("The command is wrong, or not in the image.")},
				{"onExitCodes", exitCodes("unit", 2, 126, 127)},
			},
		}}}},
	}, c, grace)
}

func (s *Sweep) report(wait bool) mapping {
	var spec mapping
	if wait {
		spec = append(spec,
			field{"", note("Jobs do not wait for each other. When the units have ended, resume this one:")},
			field{"", note(s.resume())},
			field{"suspend", true})
	}
	c := s.container("report", reportScript, append([]string{s.Root, s.Report}, s.ReportArguments...), nil, 1, nil)
	return s.job(s.ReportName(), "report", append(spec,
		field{"", note("It fails where a unit is not finished; another try would not help.")},
		field{"backoffLimit", 0},
		field{"podReplacementPolicy", word("Failed")},
		field{"podFailurePolicy", mapping{{"rules", list{disrupted}}}},
	), c, 30)
}

// resume is the command that lets the report begin.
func (s *Sweep) resume() string {
	return "kubectl patch job " + s.ReportName() + ` --type merge --patch '{"spec":{"suspend":false}}'`
}

// Await is a command that lets the report begin when all units have ended, in whatever
// way.
func (s *Sweep) Await() string {
	return fmt.Sprintf(`until kubectl get job %s -o 'jsonpath={.status.conditions[?(@.status=="True")].type}' | grep -qwE 'Complete|Failed'; do sleep 30; done; %s`, s.Name, s.resume())
}

// disrupted is the rule for pods that the cluster has ended: evicted, preempted or drained.
var disrupted = mapping{
	{"action", word("Ignore")},
	{"", note("Evicted, preempted or drained: the next pod goes on, and it does not count.")},
	{"onPodConditions", list{mapping{{"type", word("DisruptionTarget")}, {"status", "True"}}}},
}

func exitCodes(container string, codes ...int) mapping {
	var values list
	for _, code := range codes {
		values = append(values, code)
	}
	return mapping{{"containerName", word(container)}, {"operator", word("In")}, {"values", values}}
}

// container is the only one of a pod. It runs a script with arguments.
func (s *Sweep) container(name string, text script, arguments []string, variable mapping, cpus int, devices []Device) mapping {
	var words list
	for _, a := range arguments {
		words = append(words, literal(a))
	}
	m := mapping{
		{"name", word(name)},
		{"image", s.Image},
		{"", note("Kubernetes makes $( of $$(.")},
		{"command", list{"/bin/sh", "-c", script(literal(string(text))), "nb1shot"}},
		{"args", words},
	}
	if variable != nil {
		m = append(m, field{"env", list{variable}})
	}
	amounts := mapping{{"cpu", strconv.Itoa(cpus)}}
	if s.Memory != "" {
		amounts = append(amounts, field{"memory", s.Memory})
	}
	for _, d := range devices {
		amounts = append(amounts, field{d.Name, strconv.Itoa(d.Count)})
	}
	return append(m,
		field{"resources", mapping{{"requests", amounts}, {"limits", amounts}}},
		field{"securityContext", mapping{{"allowPrivilegeEscalation", false}}},
		field{"volumeMounts", list{mapping{{"name", word("runs")}, {"mountPath", s.Mount}}}},
	)
}

// job is a Job of one container. Its pods carry its labels.
func (s *Sweep) job(name, component string, spec, container mapping, grace int) mapping {
	labels := mapping{
		{"app.kubernetes.io/name", word("nb1shot")},
		{"app.kubernetes.io/instance", s.Name},
		{"app.kubernetes.io/component", word(component)},
	}
	return mapping{
		{"apiVersion", word("batch/v1")},
		{"kind", word("Job")},
		{"metadata", mapping{{"name", name}, {"labels", labels}}},
		{"spec", append(spec, field{"template", mapping{
			{"metadata", mapping{{"labels", labels}}},
			{"spec", mapping{
				{"restartPolicy", word("Never")},
				{"terminationGracePeriodSeconds", grace},
				{"automountServiceAccountToken", false},
				{"containers", list{container}},
				{"volumes", list{mapping{
					{"name", word("runs")},
					{"persistentVolumeClaim", mapping{{"claimName", s.Claim}}},
				}}},
			}},
		}})},
	}
}

// literal writes a string so that Kubernetes, which replaces $(NAME) in commands and
// arguments, and reads $$ as $, makes that string of it again.
func literal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		n := len(s[i:]) - len(strings.TrimLeft(s[i:], "$"))
		if n == 0 {
			b.WriteByte(s[i])
			i++
			continue
		}
		i += n
		if n > 1 || strings.HasPrefix(s[i:], "(") {
			n *= 2
		}
		b.WriteString(strings.Repeat("$", n))
	}
	return b.String()
}
