package command

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/nasbench"
)

// whatNeverEnds are things in place of a file that a program may read for ever, or
// that it must not read to the end.
var whatNeverEnds = map[string]struct {
	lay  func(path string) error
	says string
}{
	"pipe":   {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "a named pipe: want a regular file"},
	"device": {func(path string) error { return os.Symlink("/dev/zero", path) }, "a device: want a regular file"},
	"large": {func(path string) error {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		return os.Truncate(path, 1<<40) // a hole, which takes no room
	}, "too large"},
}

// No command waits for what never ends, wherever it stands in place of a file, and
// every one says what stands there.
func TestFilesWithoutEnd(t *testing.T) {
	t.Setenv("NB1SHOT_HOME", t.TempDir())
	for what, thing := range whatNeverEnds {
		for _, c := range []struct {
			at      string // X stands for the folder
			command string
		}{
			{"X/config.json", "results show X"},
			{"X/status.json", "results show X"},
			{"X/epochs.jsonl", "results show X"},
			{"X/epochs.jsonl.gz", "results show X"},
			{"X/file", "run --space 2 --algo darts --settings X/file"},
			{"X/file", "sweep --spaces 2 --algos darts --seeds 1 --settings X/file --out X/runs"},
			{"X/sweep.json", "sweep --spaces 2 --algos darts --seeds 1 --out X"},
			{"X/file", "gate --baseline X/file X"},
			{"X/base/file.json", "gate --baseline X/base X"},
			{"X/file", "query --file X/file"},
			{"X/file", "cell X/file -o X/cell.svg"},
			{"X/file", "query --table X/file 00000000000000000000000000000000"},
			{"X/file", "table info --table X/file"},
			{"X/file", "table import X/file"},
			{"X/file", "data info X/file"},
			{"X/cifar-10-python.tar.gz", "data info X"},
			{"X/data_batch_1.bin", "data info X"},
			{"X/cifar-10-binary.tar.gz.part", "data fetch --dir X --url http://127.0.0.1:1/"},
			{"X/forward_pcdarts_s1/manifest.json", "verify --golden X"},
			{"X/file.json", "report X X/file.json -o X/report"},
		} {
			command := strings.Fields(c.command)
			t.Run(what+"/"+filepath.Base(c.at)+"/"+strings.Join(command[:2], " "), func(t *testing.T) {
				dir := t.TempDir()
				copyRun(t, dir)
				place := func(text string) string { return strings.ReplaceAll(text, "X", dir) }
				at := place(c.at)
				if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
					t.Fatal(err)
				}
				os.Remove(at)
				if err := thing.lay(at); err != nil {
					t.Fatal(err)
				}
				args := []string{"nb1shot"}
				for _, arg := range command {
					args = append(args, place(arg))
				}
				if strings.HasSuffix(c.at, ".part") && what == "large" {
					return // its size is compared with that of the download
				}
				var stdout, stderr bytes.Buffer
				ended := make(chan int)
				go func() { ended <- run(args, &stdout, &stderr) }()
				select {
				case code := <-ended:
					if text := stderr.String() + stdout.String(); code == 0 || !strings.Contains(text, thing.says) || !strings.Contains(text, filepath.Base(at)) {
						t.Errorf("exit code %d, %s; want %q", code, text, thing.says)
					}
				case <-time.After(time.Minute):
					t.Fatal("no answer")
				}
			})
		}
	}
}

// copyRun copies a finished run into dir.
func copyRun(t *testing.T, dir string) {
	t.Helper()
	from, err := filepath.Glob("../results/study/s2-darts-small-*-seed0")
	if err != nil || len(from) == 0 {
		t.Fatalf("no run to copy: %v", err)
	}
	for _, name := range []string{"config.json", "status.json", "epochs.jsonl.gz"} {
		data, err := os.ReadFile(filepath.Join(from[0], name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A table that was changed after its import serves no command that rests on all of
// it, and no lookup of what was changed.
func TestChangedTable(t *testing.T) {
	t.Setenv("NB1SHOT_HOME", t.TempDir())
	dir := t.TempDir()
	table := filepath.Join(dir, "table.sqlite")
	if err := nasbench.Import(t.Context(), filepath.Join(goldenFolder(t), "tfrecord_synthetic", "synthetic.tfrecord"), table, nil); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", table)
	if err != nil {
		t.Fatal(err)
	}
	var hash string
	err = db.QueryRow(`SELECT lower(hex(hash)) FROM cell ORDER BY hash LIMIT 1`).Scan(&hash)
	if err == nil {
		_, err = db.Exec(`UPDATE cell SET test_error = 0.0123`)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"run --space 2 --algo darts --preset smoke --out RUNS",
		"sweep --spaces 2 --algos darts --seeds 1 --preset smoke --out RUNS",
		"plot RUN -o FIGURES",
		"report RUN -o FIGURES",
		"stability RUN",
		"table info",
		"table top --space 2",
		"table stats --space 2",
		"query " + hash,
		"cell " + hash + " -o CELL.svg",
	} {
		place := strings.NewReplacer("RUNS", filepath.Join(dir, "runs"), "FIGURES", filepath.Join(dir, "figures"), "CELL", filepath.Join(dir, "cell"),
			"RUN", "../results/study/s2-darts-small-a1151768-seed0")
		args := append([]string{"nb1shot"}, strings.Fields(command)...)
		for i := range args {
			args[i] = place.Replace(args[i])
		}
		var stdout, stderr bytes.Buffer
		if code := run(append(args, "--table", table), &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "damaged or changed: import it anew") {
			t.Errorf("%s: exit code %d, %s%s", command, code, &stdout, &stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "runs")); err == nil {
		t.Error("a run was begun")
	}
}
