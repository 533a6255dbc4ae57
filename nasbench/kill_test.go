package nasbench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/tfrecord"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// manyCells returns a file of so many random cells, three records each.
func manyCells(t testing.TB, cells int) []byte {
	t.Helper()
	r := random.New(1, "manyCells")
	seen := map[cell.Hash]bool{}
	var file []byte
	for len(seen) < cells {
		spec, err := cell.FromBits(7, r.Uint32N(1<<21), []cell.Op{cell.Op(r.IntN(3)), cell.Op(r.IntN(3)), cell.Op(r.IntN(3)), cell.Op(r.IntN(3)), cell.Op(r.IntN(3))})
		if err != nil {
			t.Fatal(err)
		}
		hash, err := spec.Hash()
		if err != nil || seen[hash] {
			continue
		}
		seen[hash] = true
		record := chainRecord(t, cell.Conv3x3, Epochs, 0.5)
		record.hash, record.spec = hash, spec
		data := record.encode(t)
		for range officialRepeats {
			file = tfrecord.Append(file, data)
		}
	}
	return file
}

// importInChild is set for the child process that TestKilledImport kills.
const importInChild = "NB1SHOT_TEST_IMPORT"

func TestImportChild(t *testing.T) {
	src, dst, ok := strings.Cut(os.Getenv(importInChild), "|")
	if !ok {
		t.Skip("only for TestKilledImport")
	}
	reachable() // takes longer than the rest
	fmt.Println("ready")
	if err := Import(context.Background(), src, dst, nil); err != nil {
		t.Fatal(err)
	}
}

// TestKilledImport kills imports at random moments: what is under the table's name
// is the old or the new table, whole.
func TestKilledImport(t *testing.T) {
	if testing.Short() {
		t.Skip("20 imports in processes of their own: not in short mode")
	}
	const cells, kills = 3000, 20
	folder := t.TempDir()
	src := writeFile(t, filepath.Join(folder, "records"), manyCells(t, cells))
	oldSource := writeFile(t, filepath.Join(folder, "means"), []byte(meansHeader+chainLine))
	dst := filepath.Join(folder, "table")

	// child imports and is killed after a while; 0 lets it end. It returns how long
	// it took.
	child := func(after time.Duration) time.Duration {
		command := exec.Command(os.Args[0], "-test.run=^TestImportChild$")
		command.Env = append(os.Environ(), importInChild+"="+src+"|"+dst)
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("child said %q, %v", line, err)
		}
		start := time.Now()
		if after > 0 {
			time.Sleep(after)
			command.Process.Kill() // fails if it has ended
		}
		command.Wait() // its exit code is that of the kill
		return time.Since(start)
	}
	duration := child(0)
	r := random.New(uint64(time.Now().UnixNano()), "kill")
	kept := 0
	for range kills {
		if err := Import(context.Background(), oldSource, dst, nil); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(1 + r.Int64N(int64(duration)))
		child(after)
		if checkWhole(t, dst, after, cells) {
			kept++
		}
		// What is left of the killed import is no table, unless it was whole.
		leftovers, err := filepath.Glob(filepath.Join(folder, ".table-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range leftovers {
			if table, err := Open(path); err == nil {
				whole := table.Verify(context.Background())
				table.Close()
				if whole == nil {
					checkWhole(t, path, after, cells)
				}
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d of %d kills within %v left the old table", kept, kills, duration)
}

// checkWhole tells whether the table is the old one, and fails the test unless it
// is that or the new one.
func checkWhole(t *testing.T, path string, after time.Duration, cells int) (old bool) {
	t.Helper()
	table, err := Open(path)
	if err != nil {
		t.Fatalf("killed after %v: %v", after, err)
	}
	defer table.Close()
	old = table.Source().Kind == KindMeans
	want := cells
	if old {
		want = 1
	}
	found := 0
	err = table.Each(context.Background(), "", Epochs, func(e Entry) error {
		found++
		_, err := table.Lookup(e.Hash, Epochs)
		return err
	})
	if err != nil || found != want {
		t.Errorf("killed after %v: %d cells, want %d; %v", after, found, want, err)
	}
	return old
}
