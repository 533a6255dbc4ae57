package slurm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// Sweep is a sweep as a cluster runs it.
type Sweep struct {
	Program string // absolute path of the executable that the tasks run
	Root    string // absolute path of the folder of the manifest
	// Arguments are of every task, beside those that name its unit, and ReportArguments
	// of the report.
	Arguments, ReportArguments []string
	// Environment are the variables that the tasks need, in the order in which they
	// are set.
	Environment []Variable
	Resources   Resources
	// MaxRunning is how many tasks may run at a time; 0 is no limit.
	MaxRunning int
	// Further are options of sbatch for all jobs, one word each as on its command line.
	// They replace those that the sweep has of the same name, see [CheckFurther].
	Further []string
	Report  string // absolute path of the folder for the report; "" is no report job
}

// Variable is a variable of the environment.
type Variable struct{ Name, Value string }

// Resources are what sbatch is asked for, in its own words; what is empty is left to the
// site.
type Resources struct {
	Partition, Account, Time, Memory, Generic string
	CPUs                                      int // of each task; 0 is one
}

// Array is units of a sweep that go into one array of jobs.
type Array struct {
	Offset int // what is added to the index of a task to get its unit
	Units  []int
}

// Split divides units, in ascending order, among as few arrays as can be with indices
// below most.
func Split(units []int, most int) []Array {
	var arrays []Array
	for _, u := range units {
		offset := u / most * most
		if n := len(arrays); n == 0 || arrays[n-1].Offset != offset {
			arrays = append(arrays, Array{Offset: offset})
		}
		last := &arrays[len(arrays)-1]
		last.Units = append(last.Units, u)
	}
	return arrays
}

// indices writes the indices of the tasks as sbatch takes them: 0-3,7.
func (a Array) indices() string {
	var parts []string
	for i := 0; i < len(a.Units); {
		first := a.Units[i]
		last := first
		for i++; i < len(a.Units) && a.Units[i] == last+1; i++ {
			last++
		}
		part := strconv.Itoa(first - a.Offset)
		if last > first {
			part += "-" + strconv.Itoa(last-a.Offset)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// identity is by what the jobs of a sweep are known in the queue, wherever they were
// submitted: its folder.
func identity(folder string) string { return fmt.Sprintf("%.12x", sha256.Sum256([]byte(folder))) }

// comment begins the comment of the sweep's arrays; the offset follows.
func (s *Sweep) comment() string { return "nb1shot sweep " + identity(s.Root) + " +" }

func (s *Sweep) reportComment() string {
	return "nb1shot report " + identity(s.Root) + " " + identity(s.Report)
}

// name is how the queue shows the sweep: letters that need no care anywhere.
func (s *Sweep) name() string {
	return "nb1shot-" + strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, filepath.Base(s.Root))
}

// ownOptions are options of sbatch without which a sweep would not find its tasks again.
var ownOptions = map[string]string{
	"--array": "-a", "--comment": "", "--wrap": "", "--chdir": "-D", "--output": "-o", "--error": "-e",
}

// CheckFurther refuses words that are no options of sbatch, and options that a sweep needs
// for itself.
func CheckFurther(words []string) error {
	if len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return fmt.Errorf("%q is no option of sbatch", words[0])
	}
	for _, word := range words {
		name, _, _ := strings.Cut(word, "=")
		for long, short := range ownOptions {
			abbreviated := len(name) > 4 && strings.HasPrefix(long, name) // as sbatch allows
			if name == long || abbreviated || short != "" && strings.HasPrefix(word, short) && !strings.HasPrefix(word, "--") {
				return fmt.Errorf("%s is the sweep's own option of sbatch: it knows its tasks and their logs by it", long)
			}
		}
	}
	return nil
}

// warning is how many seconds before the end of its time a task is told: a minute, or
// less where there is little time. Slurm may tell it up to a minute earlier.
func (s *Sweep) warning() int {
	seconds, ok := seconds(s.Resources.Time)
	if !ok {
		return 60
	}
	return max(min(60, seconds/10), 15)
}

// seconds reads a time as Slurm writes it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S.
func seconds(text string) (n int, ok bool) {
	days, clock, hasDays := strings.Cut(text, "-")
	if !hasDays {
		days, clock = "0", text
	}
	parts := strings.Split(clock, ":")
	units := map[bool][][]int{
		false: {{60}, {60, 1}, {3600, 60, 1}},
		true:  {{3600}, {3600, 60}, {3600, 60, 1}},
	}[hasDays]
	if len(parts) > len(units) {
		return 0, false
	}
	d, err := strconv.Atoi(days)
	if err != nil || d < 0 {
		return 0, false
	}
	n = d * 24 * 3600
	for i, part := range parts {
		v, err := strconv.Atoi(part)
		if err != nil || v < 0 {
			return 0, false
		}
		n += v * units[len(parts)-1][i]
	}
	return n, true
}

// ArrayScript is the script of an array. It begins when the jobs after have ended.
func (s *Sweep) ArrayScript(a Array, after []int) (string, error) {
	b := &builder{}
	b.line("#!/bin/bash")
	if b.note("Units of the sweep in %s, one a task.", quoteShell(s.Root)); a.Offset > 0 {
		b.note("The unit of a task is its index + %d.", a.Offset)
	} else {
		b.note("The unit of a task is its index.")
	}
	b.directive("job-name", s.name())
	b.note("By this the sweep knows its tasks in the queue.")
	b.directive("comment", s.comment()+strconv.Itoa(a.Offset))
	indices := a.indices()
	if s.MaxRunning > 0 {
		indices += "%" + strconv.Itoa(s.MaxRunning)
	}
	b.directive("array", indices)
	if len(after) > 0 {
		b.directive("dependency", afterAny(after))
	}
	log := "slurm-%A_%a"
	own := "slurm-${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
	if a.Offset > 0 {
		log, own = fmt.Sprintf("%s+%d", log, a.Offset), fmt.Sprintf("%s+%d", own, a.Offset)
	}
	s.log(b, log)
	b.note("A task that is told that its time ends stops at its next step, writes a")
	b.note("checkpoint and puts itself back into the queue, from where it goes on.")
	b.directive("signal", fmt.Sprintf("B:USR1@%d", s.warning()))
	b.directive("requeue", "")
	// Else a shell within a job would hand on the number of that one.
	b.directive("cpus-per-task", strconv.Itoa(max(s.Resources.CPUs, 1)))
	for _, d := range [][2]string{
		{"time", s.Resources.Time}, {"mem", s.Resources.Memory}, {"gres", s.Resources.Generic},
	} {
		if d[1] != "" {
			b.directive(d[0], d[1])
		}
	}
	s.options(b)
	s.begin(b, own)
	unit := `"$SLURM_ARRAY_TASK_ID"`
	if a.Offset > 0 {
		unit = fmt.Sprintf(`"$((SLURM_ARRAY_TASK_ID + %d))"`, a.Offset)
	}
	b.note("The program takes the place of this shell, so that Slurm's signals reach it.")
	b.line(`exec %s sweep --on slurm --out %s --unit %s --threads "$SLURM_CPUS_PER_TASK"%s`,
		quoteShell(s.Program), quoteShell(s.Root), unit, quoteAll(s.Arguments))
	return b.script()
}

// ReportScript is the script of the job that makes report and claims when the jobs after
// have ended, in whatever way. It fails where a unit is not finished.
func (s *Sweep) ReportScript(after []int) (string, error) {
	b := &builder{}
	b.line("#!/bin/bash")
	b.note("Report of the sweep in %s.", quoteShell(s.Root))
	b.directive("job-name", s.name()+"-report")
	b.directive("comment", s.reportComment())
	s.log(b, "slurm-report-%j")
	s.options(b)
	if len(after) > 0 {
		b.directive("dependency", afterAny(after)) // behind all that may say otherwise
	}
	s.begin(b, "slurm-report-${SLURM_JOB_ID}")
	program, root := quoteShell(s.Program), quoteShell(s.Root)
	b.line("%s report --skip-damaged --out %s%s %s", program, quoteShell(s.Report), quoteAll(s.ReportArguments), root)
	b.line("made=$?")
	b.note("The claims are of the paper's algorithms: without these there is nothing to judge.")
	b.line("%s claims --skip-damaged %s", program, root)
	b.note("What failed or is missing, which decides on the exit code.")
	b.line("%s sweep --check --out %s || exit", program, root)
	b.line(`exit "$made"`)
	return b.script()
}

// log sends what a job prints to a file in the folder of the sweep.
func (s *Sweep) log(b *builder, pattern string) {
	if s.namesLogs() {
		b.directive("chdir", s.Root)
		b.directive("output", pattern+".log")
	} else {
		b.directive("output", "/dev/null")
	}
	b.directive("open-mode", "append")
}

// namesLogs tells whether Slurm can name logs in the folder: what it replaces in the
// names of logs, it replaces in that of the folder as well.
func (s *Sweep) namesLogs() bool { return !strings.ContainsAny(s.Root, `%\`) }

// options adds the options that all jobs of a sweep have in common.
func (s *Sweep) options(b *builder) {
	for _, d := range [][2]string{{"partition", s.Resources.Partition}, {"account", s.Resources.Account}} {
		if d[1] != "" {
			b.directive(d[0], d[1])
		}
	}
	for i := 0; i < len(s.Further); {
		option := quoteDirective(s.Further[i])
		for i++; i < len(s.Further) && !strings.HasPrefix(s.Further[i], "-"); i++ {
			option += " " + quoteDirective(s.Further[i])
		}
		b.line("#SBATCH %s", option)
	}
}

// begin begins what a job does. log names its log, less the end, where Slurm cannot.
func (s *Sweep) begin(b *builder, log string) {
	b.line("")
	for _, v := range s.Environment {
		b.line("export %s=%s", v.Name, quoteShell(v.Value))
	}
	if !s.namesLogs() {
		b.note("Slurm cannot name a log in a folder of this name.")
		b.line(`exec >>%s"/%s.log" 2>&1`, quoteShell(s.Root), log)
	}
}

// builder collects the lines of a script.
type builder struct {
	strings.Builder
	unfit bool
}

func (b *builder) line(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	b.unfit = b.unfit || strings.ContainsFunc(text, unicode.IsControl)
	b.WriteString(text + "\n")
}

func (b *builder) note(format string, arguments ...any) { b.line("# "+format, arguments...) }

func (b *builder) directive(name, value string) {
	if value != "" {
		value = "=" + quoteDirective(value)
	}
	b.line("#SBATCH --%s%s", name, value)
}

// ErrControl reports what no line of a script can hold.
var ErrControl = errors.New("a folder or an option holds a line break or another control character, which no script of Slurm can name")

func (b *builder) script() (string, error) {
	if b.unfit {
		return "", ErrControl
	}
	return b.String(), nil
}

// plain are the bytes that mean themselves, to bash as to sbatch.
func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("-_./,:=+@%", r))
	})
}

// quoteDirective writes a word of a line that begins with #SBATCH.
func quoteDirective(s string) string {
	if plain(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// quoteShell writes a word for bash.
func quoteShell(s string) string {
	if plain(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// quoteAll writes words for bash, a space before each.
func quoteAll(words []string) string {
	var b strings.Builder
	for _, word := range words {
		b.WriteString(" " + quoteShell(word))
	}
	return b.String()
}
