package slurm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Every unit is in one array, by an index below the bound; indices read back as they were.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.SliceOfNDistinct(rapid.IntRange(0, 300), 0, 60, rapid.ID).Draw(t, "units")
		slices.Sort(units)
		most := rapid.IntRange(2, 120).Draw(t, "most")
		var got []int
		for _, a := range Split(units, most) {
			for part := range strings.SplitSeq(a.indices(), ",") {
				low, high, isRange := strings.Cut(part, "-")
				if !isRange {
					high = low
				}
				first, err := strconv.Atoi(low)
				last, err2 := strconv.Atoi(high)
				if err != nil || err2 != nil || last >= most || isRange && first >= last {
					t.Fatalf("%s of %s, most %d", part, a.indices(), most)
				}
				for i := first; i <= last; i++ {
					got = append(got, a.Offset+i)
				}
			}
		}
		if !slices.Equal(got, units) {
			t.Errorf("%v, want %v", got, units)
		}
	})
}

// Of a queue that is of all, the sweep picks its own.
func TestReadQueue(t *testing.T) {
	s := &Sweep{Root: "/runs", Report: "/report"}
	other := &Sweep{Root: "/runs2", Report: "/report"}
	q := s.readQueue(strings.Join([]string{
		"7|0|RUNNING|" + s.comment() + "0",
		"7|1|PENDING|" + s.comment() + "0",
		"7|2|COMPLETING|" + s.comment() + "0",
		"5|1|PENDING|" + s.comment() + "40",
		"8|3|PENDING|" + other.comment() + "0",
		"9|N/A|PENDING|" + s.reportComment(),
		"10|N/A|RUNNING|" + s.reportComment(),
		"11|N/A|PENDING|" + other.reportComment(),
		"12|4|PENDING|a | comment",
		"13|5|PENDING|" + s.comment() + "x",
		"no job", "",
	}, "\n"))
	if len(q.Running) != 2 || !q.Running[0] || !q.Running[2] || len(q.Pending) != 2 || !q.Pending[1] || !q.Pending[41] {
		t.Errorf("%+v", q)
	}
	if !slices.Equal(q.Arrays, []int{5, 7}) || q.Report != 9 {
		t.Errorf("arrays %v, report %d", q.Arrays, q.Report)
	}
}

// A task is told before its time ends, and has time before that.
func TestWarning(t *testing.T) {
	for text, want := range map[string]int{
		"": 60, "UNLIMITED": 60, "-1": 60, "1": 15, "5": 30, "10": 60, "2:30": 15, "1:00:00": 60, "1-0": 60, "0-1": 60, "0-0:5": 30, "0-0:0:200": 20, "1:2:3:4": 60,
	} {
		if got := (&Sweep{Resources: Resources{Time: text}}).warning(); got != want {
			t.Errorf("%q: %d s, want %d", text, got, want)
		}
	}
}

// Bash takes every word for what it is.
func TestQuoteShell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching("[ -~éü'\"$`\\\\]{0,12}").Draw(t, "word")
		got, err := exec.Command("bash", "-c", "printf %s "+quoteShell(word)).Output()
		if err != nil || string(got) != word {
			t.Errorf("%q came back as %q, %v", word, got, err)
		}
	})
}

func TestScript(t *testing.T) {
	s := &Sweep{
		Program: "/bin/nb1shot", Root: "/data/my runs", Arguments: []string{"--data", "/data/it's"},
		Environment: []Variable{{"SLURM_CONF", "/etc/x y"}},
		Resources:   Resources{Partition: "main", Account: "lab", Time: "8:00:00", Memory: "2G", Generic: "gpu:1", CPUs: 4},
		MaxRunning:  2, Further: []string{"--qos", "long one", "--nice=5"}, Report: "/data/report",
	}
	script, err := s.ArrayScript(Array{Offset: 40, Units: []int{41, 42, 44}}, []int{7, 8})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`#SBATCH --job-name=nb1shot-my-runs`, `#SBATCH --array=1-2,4%2`, `#SBATCH --dependency=afterany:7:8`, `#SBATCH --chdir="/data/my runs"`,
		`#SBATCH --output=slurm-%A_%a+40.log`, `#SBATCH --open-mode=append`, `#SBATCH --requeue`, `#SBATCH --signal=B:USR1@60`, `#SBATCH --cpus-per-task=4`,
		`#SBATCH --time=8:00:00`, `#SBATCH --mem=2G`, `#SBATCH --gres=gpu:1`, `#SBATCH --partition=main`, `#SBATCH --account=lab`,
		`#SBATCH --qos "long one"`, `#SBATCH --nice=5`, `export SLURM_CONF='/etc/x y'`,
		`exec /bin/nb1shot sweep --on slurm --out '/data/my runs' --unit "$((SLURM_ARRAY_TASK_ID + 40))" --threads "$SLURM_CPUS_PER_TASK" --data '/data/it'\''s'`,
	} {
		if !strings.Contains(script, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, script)
		}
	}
	if head, _, _ := strings.Cut(script, "\nexport "); strings.Contains(strings.ReplaceAll(head, "\n#", ""), "\n\n\n") || !strings.HasPrefix(script, "#!/bin/bash\n") {
		t.Errorf("sbatch reads options only at the head:\n%s", script)
	}

	// Where Slurm cannot name the log, the script opens it.
	s.Root = `/data/50%\`
	if script, err = s.ArrayScript(Array{Units: []int{0}}, nil); err != nil || strings.Contains(script, "--chdir") ||
		!strings.Contains(script, `exec >>'/data/50%\'"/slurm-${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}.log" 2>&1`) {
		t.Errorf("%v\n%s", err, script)
	}
	if script, err = s.ReportScript([]int{7}); err != nil || !strings.Contains(script, "slurm-report-${SLURM_JOB_ID}.log") {
		t.Errorf("%v\n%s", err, script)
	}

	// A line break would begin a line of its own.
	for _, change := range []func(*Sweep){
		func(s *Sweep) { s.Root = "/data\n#SBATCH --uid=0" },
		func(s *Sweep) { s.Resources.Time = "1\ntouch x" },
		func(s *Sweep) { s.Further = []string{"--nice=1\r2"} },
		func(s *Sweep) { s.Arguments = []string{"\x1b"} },
	} {
		bad := *s
		change(&bad)
		if _, err := bad.ArrayScript(Array{Units: []int{0}}, nil); !errors.Is(err, ErrControl) {
			t.Errorf("%+v: %v, want ErrControl", bad, err)
		}
	}
}

func TestCheckFurther(t *testing.T) {
	for _, words := range [][]string{nil, {"--qos", "long"}, {"--mail-type=END", "-x", "node7"}, {"-A", "lab"}, {"--signal=B:USR1@300"}} {
		if err := CheckFurther(words); err != nil {
			t.Errorf("%q: %v", words, err)
		}
	}
	for _, words := range [][]string{{"long"}, {"--array=0-3"}, {"--nice", "-a5"}, {"--comm=x"}, {"-o", "log"}, {"--wrap", "ls"}} {
		if CheckFurther(words) == nil {
			t.Errorf("%q is taken", words)
		}
	}
}

// What Slurm's commands print is read, and its words are repeated fit for a terminal.
func TestCommands(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	fake := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var absent *AbsentError
	if _, err := Submit(t.Context(), "x"); !errors.As(err, &absent) || absent.Command != "sbatch" {
		t.Errorf("without sbatch: %v", err)
	}
	fake("sbatch", `read line; [ "$line" = "#!/bin/bash" ] && [ "$1" = --parsable ] && echo "17;cluster"`)
	if job, err := Submit(t.Context(), "#!/bin/bash\n"); job != 17 || err != nil {
		t.Errorf("%d, %v, want 17", job, err)
	}
	t.Setenv("SBATCH_TIMELIMIT", "1")
	t.Setenv("SBATCH_QOS", "long")
	t.Setenv("SBATCH_NO_REQUEUE", "1")
	t.Setenv("SBATCH_ACCOUNT", "mine")
	fake("sbatch", `[ "$SBATCH_TIMELIMIT$SBATCH_QOS$SBATCH_NO_REQUEUE" = "" ] && [ "$SBATCH_ACCOUNT" = mine ] && echo 18`)
	if job, err := Submit(t.Context(), "#!/bin/bash\n#SBATCH --time=5\n#SBATCH --qos short\n#SBATCH --requeue\n"); job != 18 || err != nil {
		t.Errorf("%d, %v: habits go before options", job, err)
	}
	t.Setenv("SQUEUE_USERS", "nobody")
	fake("squeue", `[ "$SQUEUE_USERS" = "" ]`)
	if _, err := (&Sweep{}).Queue(t.Context()); err != nil {
		t.Errorf("the queue is filtered: %v", err)
	}
	fake("sbatch", `echo hello`)
	if _, err := Submit(t.Context(), ""); err == nil || !strings.Contains(err.Error(), `"hello`) {
		t.Errorf("%v", err)
	}
	fake("sbatch", `printf 'sbatch: error: no \033[2J account\nsbatch: error: Batch job submission failed\n' >&2; exit 1`)
	if _, err := Submit(t.Context(), ""); err == nil || err.Error() != `sbatch refused: no \u001b[2J account; Batch job submission failed` {
		t.Errorf("%v", err)
	}
	fake("scontrol", `echo "MaxArraySize            = 77"; echo "MaxDBDMsgs = 1"`)
	if n, err := MaxArraySize(t.Context()); n != 77 || err != nil {
		t.Errorf("%d, %v, want 77", n, err)
	}
	fake("scontrol", `echo "MaxArraySize            = 0"`)
	if _, err := MaxArraySize(t.Context()); err == nil || !strings.Contains(err.Error(), "no arrays") {
		t.Errorf("%v", err)
	}
}
