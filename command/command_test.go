package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
)

// output runs a command in this process, which must succeed.
func output(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(append([]string{"nb1shot"}, args...), &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("nb1shot %v: exit code %d, %s", args, code, &stderr)
	}
	return stdout.String()
}

func TestSpaces(t *testing.T) {
	text := output(t, "spaces")
	for _, want := range []string{
		"architecture parameters 24 26 35",
		"topologies: choices of parents 180 360 5,400",
		"with operations for all blocks 14,580 29,160 1,312,200",
		"... for the blocks with an outgoing edge 6,240 16,632 363,648",
		"... for the blocks that pruning keeps 5,508 16,038 265,860",
		"topologies that use every block 38 138 445",
		"matrices of the released loose-end-free generator 49 65 234",
		"with operations for the used blocks 2,487 3,609 24,066",
		"pruned matrices 48 164 596",
		"with operations 3,288 11,826 118,524",
		"cells of NAS-Bench-101 that a search can end in 2,685 7,773 55,854",
		"in reach of the released generator 2,127 3,258 17,940",
		"of 6 vertices 2,484 7,236 6,210",
		"of 7 edges 180 315 2,448",
		"published: architectures 6,240 29,160 363,648",
		"published: without loose ends 2,487 3,609 24,066",
		"space 3 e60c2fd41a62082e078cc4296767c8f7",
	} {
		if pattern := "(?m)^ *" + strings.ReplaceAll(regexp.QuoteMeta(want), " ", " +") + "$"; !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}

	var counted []countedSpace
	if err := json.Unmarshal([]byte(output(t, "spaces", "--json")), &counted); err != nil {
		t.Fatal(err)
	}
	if len(counted) != 10 || counted[9].Counts["architectures"] != 2_642_411_520 || counted[1].Counts["hashes"] != 7773 || counted[1].Published.Architectures != 29160 || counted[6].Counts["architectures"] != 46080*46080 {
		t.Errorf("spaces --json: %+v", counted)
	}
}

func TestTableInfoJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.sqlite")
	if err := nasbench.Import(t.Context(), filepath.Join(goldenFolder(t), "tfrecord_synthetic", "synthetic.tfrecord"), path, nil); err != nil {
		t.Fatal(err)
	}
	var got tableInfo
	if err := json.Unmarshal([]byte(output(t, "table", "info", "--json", "--table", path)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Source.Kind != nasbench.KindSynthetic || len(got.Budgets) != 2 || len(got.Spaces) != 3 || got.Spaces[2].Reachable != 55854 {
		t.Errorf("got %+v", got)
	}
}

func TestArrange(t *testing.T) {
	app := newApp(nil, nil)
	for _, test := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"options only", "run --space 2 --json", "run --space 2 --json --"},
		{"arguments first", "plot a b -o dir --name=x c", "plot -o dir --name=x -- a b c"},
		{"switch takes no value", "query --json hash", "query --json -- hash"},
		{"subcommand", "table import file -o path", "table import -o path -- file"},
		{"unknown command", "tabel import", "-- tabel"},
		{"unknown command and help", "table imprt --help", "table -- imprt"},
		{"unknown option", "plot --nme x", "plot --nme -- x"},
		{"value like an option", "run --set -x run", "run --set -x -- run"},
		{"value missing", "run a --space", "run --space"},
		{"dashes end options", "plot -o dir -- -a --help", "plot -o dir -- -a --help"},
		{"dash is an argument", "plot -", "plot -- -"},
		{"help drops the rest", "plot a -o dir -h", "plot --help"},
		{"help of a subcommand", "table import --help file", "table import --help"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := arrange(app, append([]string{"nb1shot"}, strings.Fields(test.in)...))
			want := append([]string{"nb1shot"}, strings.Fields(test.want)...)
			if test.in == "" {
				want = append(want, "--")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"darts", "sdarts-rs", "sdarts-adv", "random"}
	for name, want := range map[string]string{
		"dart": "darts", "sdarts-avd": "sdarts-adv", "sdart-rs": "sdarts-rs", "randmo": "random",
		"DARTS": "darts", "SDARTS_ADV": "sdarts-adv", "dats": "darts", "dras": "", "enas": "", "x": "", "": "", "evolution": "",
	} {
		if got := nearest(name, candidates); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abc", "bca", 2}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// Every command tells how it is used, by an example.
func TestHelp(t *testing.T) {
	var check func(path []string, commands []*cli.Command)
	check = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			if c.Name == "help" {
				continue // its help is that of the program
			}
			at := append(slices.Clip(path), c.Name)
			text := output(t, append(at, "--help")...)
			if example := regexp.MustCompile(`Examples?:\n     nb1shot ` + strings.Join(at, " ")); !example.MatchString(text) {
				t.Errorf("nb1shot %v --help has no example:\n%s", at, text)
			}
			check(at, c.Subcommands)
		}
	}
	check(nil, newApp(nil, nil).Commands)
}

func TestReport(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"success", nil, 0, ""},
		{"failure", errors.New("disk full"), 1, "nb1shot: disk full\n"},
		{"two in one line", errors.Join(errors.New("a"), errors.New("b")), 1, "nb1shot: a; b\n"},
		{"hint", hinted(errors.New("no table"), "import %s", "one"), 1, "nb1shot: no table\nhint: import one\n"},
		{"misuse", misuse(errors.New("no value"), ""), 2, "nb1shot: no value\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			if code := printError(&b, test.err); code != test.code || b.String() != test.want {
				t.Errorf("exit code %d and %q, want %d and %q", code, &b, test.code, test.want)
			}
		})
	}
}

// A panic of a library is reported as a fault, with what its report needs.
func TestReportFault(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	app.Commands = append(app.Commands, &cli.Command{Name: "break", Action: func(*cli.Context) error { panic("no font") }})
	var b bytes.Buffer
	if code := printError(&b, execute(app, []string{"nb1shot", "break"})); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"^nb1shot: a fault of the program: no font\nhint: ", "please report this with the command line and these lines at https://.*/issues\n  nb1shot ", `\n  .*TestReportFault.* .*command_test.go:\d+\n`} {
		if !regexp.MustCompile(want).MatchString(b.String()) {
			t.Errorf("no %s in\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "goroutine") {
		t.Errorf("a dump of goroutines:\n%s", &b)
	}
}

func TestDataHome(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	for _, test := range []struct{ own, xdg, want string }{
		{"/own", "/xdg", "/own"},
		{"", "/xdg", "/xdg/nb1shot"},
		{"", "", "/home/me/.local/share/nb1shot"},
	} {
		t.Setenv("NB1SHOT_HOME", test.own)
		t.Setenv("XDG_DATA_HOME", test.xdg)
		if got, err := dataHome(); err != nil || got != test.want {
			t.Errorf("data home %q, %v, want %q", got, err, test.want)
		}
	}
}

// A kind of table has one name, in tables and in records, and its former ones are
// understood.
func TestKindsOfTables(t *testing.T) {
	for _, test := range []struct {
		kind, recorded string
		measured       bool
		former         []string
	}{
		{nasbench.KindNASBench101, results.NASBench101, true, []string{"official-only108", "official-full"}},
		{nasbench.KindMeans, results.NASBench101Means, true, []string{"means-tsv"}},
		{nasbench.KindNNI, results.NASBench101NNI, true, []string{"nni-sqlite"}},
		{nasbench.KindSynthetic, "synthetic", false, nil},
		{nasbench.KindSurrogate, "surrogate", false, nil},
	} {
		if test.kind != test.recorded || measured(test.kind) != test.measured {
			t.Errorf("%s: recorded as %s, measured %t", test.kind, test.recorded, measured(test.kind))
		}
		for _, name := range append(test.former, test.kind) {
			if got := nasbench.KindNamed(name); got != test.kind {
				t.Errorf("%s is %s, want %s", name, got, test.kind)
			}
		}
	}
}

func TestDefaultPreset(t *testing.T) {
	for _, test := range []struct{ images, table, want string }{
		{"home", nasbench.KindNASBench101, "paper"},
		{"home", nasbench.KindNNI, "paper"},
		{"home", nasbench.KindMeans, "paper"},
		{"home", nasbench.KindSynthetic, "quick"},
		{"home", nasbench.KindSurrogate, "quick"},
		{procedural, nasbench.KindNASBench101, "quick"},
	} {
		if got := defaultPreset(test.images, test.table); got != test.want {
			t.Errorf("default preset of %s and %s is %s, want %s", test.images, test.table, got, test.want)
		}
	}
}

func TestFormats(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1312200: "1,312,200"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		400 * time.Millisecond: "0 s", 59600 * time.Millisecond: "1 min 0 s", 187 * time.Second: "3 min 7 s", 2*time.Hour + 5*time.Minute + 31*time.Second: "2 h 5 min",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%v) = %q, want %q", d, got, want)
		}
	}
	if diff := cmp.Diff([]string{"an ε is", "small", "incomprehensible"}, wrap("an ε is  small\nincomprehensible", 8)); diff != "" {
		t.Error(diff)
	}
}

// record returns the record of an epoch.
func record(epoch int, testError, lambda float64) *results.Epoch {
	return &results.Epoch{
		Epoch:   epoch,
		Lookup:  results.Lookup{TestError: &testError},
		Hessian: &results.Hessian{Reported: lambda},
	}
}

func TestCourse(t *testing.T) {
	first, second := record(0, 0.08, 0.5), record(1, 0.07, 0.25)
	final := record(3, 0.06, 0)
	final.Final = true
	steps := []struct {
		after time.Duration
		p     benchmark.Progress
	}{
		{0, benchmark.Progress{Doing: "compiling"}},
		{time.Second, benchmark.Progress{Epoch: 0, Step: 1}},
		{50 * time.Millisecond, benchmark.Progress{Epoch: 0, Step: 2}},
		{2 * time.Second, benchmark.Progress{Epoch: 0, Step: 2, Doing: "hessian"}},
		{2 * time.Second, benchmark.Progress{Epoch: 1, Step: 1, Last: first, Remaining: 90 * time.Second}},
		{2 * time.Second, benchmark.Progress{Epoch: 1, Step: 2, Last: first, Remaining: 80 * time.Second}},
		{31 * time.Second, benchmark.Progress{Epoch: 1, Step: 2, Doing: "validation", Last: first, Remaining: 49 * time.Second}},
		{time.Second, benchmark.Progress{Epoch: 2, Step: 1, Last: second, Remaining: 300 * time.Millisecond}},
		{time.Second, benchmark.Progress{Epoch: 3, Last: final}},
	}
	for _, test := range []struct {
		name    string
		columns int
		want    []string
	}{
		{"terminal", 90, []string{
			"epoch 0/3, compiling",
			"epoch 0/3, step 1/2",
			"epoch 0/3, hessian",
			"epoch 1/3, step 1/2; epoch 0: error 8.00 %, best 8.00 %, λ 0.5, 1 min 30 s left",
			"epoch 1/3, step 2/2; epoch 0: error 8.00 %, best 8.00 %, λ 0.5, 1 min 20 s left",
			"time    about 49 s",
			"epoch 1/3, validation; epoch 0: error 8.00 %, best 8.00 %, λ 0.5, 49 s left",
			"epoch 2/3, step 1/2; epoch 1: error 7.00 %, best 7.00 %, λ 0.25",
		}},
		{"no terminal", 0, []string{
			"epoch 0/3, error 8.00 %, best 8.00 %, λ 0.5, 1 min 30 s left",
			"time    about 49 s",
			"epoch 1/3, validation; epoch 0: error 8.00 %, best 8.00 %, λ 0.5, 49 s left",
			"epoch 1/3, error 7.00 %, best 7.00 %, λ 0.25",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			var b, want bytes.Buffer
			var w io.Writer = &b
			if test.columns > 0 {
				w = &screenWriter{&screen{w: &b, columns: func() int { return test.columns }}, &b}
			}
			c := newCourse(w)
			c.estimate.preset = "smoke"
			c.now = func() time.Time { return now }
			c.estimate.start = now
			for _, s := range steps {
				now = now.Add(s.after)
				s.p.Epochs, s.p.Steps = 3, 2
				c.update(s.p)
			}
			c.end()
			for _, line := range test.want {
				switch {
				case strings.HasPrefix(line, "time") && test.columns > 0:
					want.WriteString("\r\x1b[J" + line + "\n")
				case test.columns > 0:
					want.WriteString("\r\x1b[J" + line + "\r")
				default:
					want.WriteString(line + "\n")
				}
			}
			if test.columns > 0 {
				want.WriteString("\r\x1b[J")
			}
			if diff := cmp.Diff(want.String(), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// How long a run will take is said once, within half a minute, and what takes less
// where that is long.
func TestEstimate(t *testing.T) {
	start := time.Unix(1000, 0)
	type report struct{ after, left time.Duration }
	for _, test := range []struct {
		name, preset string
		reports      []report
		want         []string
	}{
		{"slow steps", "paper", []report{{9 * time.Second, 0}, {12 * time.Second, 22 * time.Hour}, {15 * time.Second, 21 * time.Hour}}, []string{
			"", "time    about 22 h, by the pace of the first steps; in minutes, at a smaller scale: --preset quick or --preset small", "",
		}},
		{"quick steps", "small", []report{{0, 0}, {1, time.Hour}, {2, time.Hour}, {3, 20 * time.Minute}, {4, time.Hour}}, []string{
			"", "", "", "time    about 20 min, by the pace of the first steps; in minutes, at a smaller scale: --preset quick", "",
		}},
		{"many epochs", "quick", []report{{time.Minute, 76 * time.Minute}}, []string{"time    about 1 h 20 min, by the pace of the first steps; fewer epochs take less: --epochs"}},
		{"minutes", "paper", []report{{time.Minute, 19 * time.Minute}}, []string{"time    about 19 min"}},
		{"seconds", "paper", []report{{time.Minute, 20 * time.Second}, {time.Minute, time.Hour}}, []string{"", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := estimate{preset: test.preset, start: start}
			for i, r := range test.reports {
				if got := e.of(start.Add(r.after), r.left); got != test.want[i] {
					t.Errorf("report %d: %q, want %q", i, got, test.want[i])
				}
			}
		})
	}
}

func TestTransfer(t *testing.T) {
	now := time.Unix(1000, 0)
	var b bytes.Buffer
	s := &status{w: &b, pause: 5 * time.Second, now: func() time.Time { return now }}
	transfer := &transfer{status: s, label: "fetching", start: now, from: -1}
	for _, done := range []int64{40e6, 50e6, 60e6, 100e6} {
		transfer.update(done, 100e6)
		now = now.Add(4 * time.Second)
	}
	want := "fetching: 40 of 100 MB\nfetching: 60 of 100 MB, 16 s left\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestRecordWriter(t *testing.T) {
	first, second, final := record(0, 0.08, 0.5), record(1, 0.07, 0.25), record(2, 0.06, 0)
	h := &results.History{Dir: "run", Epochs: []results.Epoch{*first, *second, *final}}
	var b bytes.Buffer
	r := &recordWriter{w: &b}
	for _, newest := range []*results.Epoch{nil, first, first, final} { // the second was never the newest
		r.update(newest)
	}
	if err := r.finish(h, summarise(h)); err != nil {
		t.Fatal(err)
	}
	var got []int
	for line := range strings.Lines(b.String()) {
		var e struct {
			Epoch   *int
			Summary *summary
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Summary != nil {
			got = append(got, -1)
		} else {
			got = append(got, *e.Epoch)
		}
	}
	if want := []int{0, 1, 2, -1}; !slices.Equal(got, want) {
		t.Errorf("order of the lines %v, want %v", got, want)
	}
}

func TestSummarise(t *testing.T) {
	none := results.Epoch{Epoch: 2}
	final := record(3, 0.06, 0)
	final.Hessian = nil
	h := &results.History{Dir: "run", Epochs: []results.Epoch{*record(0, 0.08, 0.5), *record(1, 0.05, 0.25), none, *final}}
	s := summarise(h)
	if s.Final.Epoch != 3 || s.Best.Epoch != 1 || !slices.Equal(s.Eigenvalue, []float64{0.5, 0.25}) {
		t.Errorf("final %v, best %v, λ %v", s.Final, s.Best, s.Eigenvalue)
	}
	if got, want := s.eigenvalues(), "0.5 → 0.25"; got != want {
		t.Errorf("λ %q, want %q", got, want)
	}
	// A record without any test error is no reason to panic.
	if got, want := summarise(&results.History{Dir: "run"}).line(), "run: test error unknown (synthetic records, not NAS-Bench-101)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
