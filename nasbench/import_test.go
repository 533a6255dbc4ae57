package nasbench

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/internal/tfrecord"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// importTable imports src into a fresh table and opens it.
func importTable(t testing.TB, src string) *Table {
	t.Helper()
	path := filepath.Join(t.TempDir(), "100 % of it?.sqlite") // a name that URIs must escape
	if err := Import(context.Background(), src, path, nil); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func framed(t testing.TB, records ...record) []byte {
	var file []byte
	for _, r := range records {
		file = tfrecord.Append(file, r.encode(t))
	}
	return file
}

func compress(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImportGolden(t *testing.T) {
	table := importTable(t, goldenFile(t, "synthetic.tfrecord"))
	type key struct {
		hash   cell.Hash
		epochs int
	}
	want := map[key]Metrics{}
	parameters := map[cell.Hash]int{} // of a hash's first record
	for _, r := range goldenRecords(t) {
		if _, seen := parameters[r.ModuleHash]; !seen {
			parameters[r.ModuleHash] = int(r.TrainableParameters)
		}
		k := key{r.ModuleHash, r.Epochs}
		m := want[k]
		m.Repeats = append(m.Repeats, r.repeat())
		want[k] = m
	}
	if len(want) != 10 {
		t.Fatalf("%d cells and budgets, want 10", len(want))
	}
	for k, m := range want {
		m.Hash, m.Epochs, m.Kind, m.Parameters, m.Runs = k.hash, k.epochs, KindSynthetic, parameters[k.hash], 3
		mean := func(of func(Evaluation) float64) float64 {
			var sum float64
			for _, r := range m.Repeats {
				sum += of(r.Final)
			}
			return sum / 3
		}
		m.TestError = mean(func(e Evaluation) float64 { return 1 - e.TestAccuracy })
		m.ValidationError = new(mean(func(e Evaluation) float64 { return 1 - e.ValidationAccuracy }))
		m.TrainSeconds = new(mean(func(e Evaluation) float64 { return e.Seconds }))
		got, err := table.Lookup(k.hash, k.epochs)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("cell %v at %d epochs (-want +got):\n%s", k.hash, k.epochs, diff)
		}
	}
}

// TestImportSources: the content decides how a file is read, and identifies it.
func TestImportSources(t *testing.T) {
	records := readFile(t, goldenFile(t, "synthetic.tfrecord"))
	means := []byte(meansHeader + directLine + chainLine)
	for _, c := range []struct {
		name          string
		file, content []byte
		kind, detail  string
	}{
		{"records", records, records, KindSynthetic, "records, 30 records"},
		{"records.gz", compress(t, records), records, KindSynthetic, "records.gz, 30 records"},
		{"means.tfrecord", means, means, KindMeans, "means.tfrecord, 2 records"},
		{"means", compress(t, means), means, KindMeans, "means, 2 records"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := importTable(t, writeFile(t, filepath.Join(t.TempDir(), c.name), c.file)).Source()
			want := Source{c.kind, c.detail, fmt.Sprintf("%x", sha256.Sum256(c.content))}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestImportFails: whatever goes wrong, the old table stays and nothing is left beside it.
func TestImportFails(t *testing.T) {
	first := chainRecord(t, cell.Conv3x3, 108, 0.5)
	wrongHash := first
	wrongHash.hash[0]++
	secondWrongHash := chainRecord(t, cell.Conv1x1, 108, 0.5)
	secondWrongHash.hash = first.hash
	wrongMetrics := chainRecord(t, cell.Conv3x3, 108, 1.5)
	synthetic := readFile(t, goldenFile(t, "synthetic.tfrecord"))
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"corrupt", readFile(t, goldenFile(t, "corrupt.tfrecord")), "checksum"},
		{"truncated", readFile(t, goldenFile(t, "truncated.tfrecord")), "truncated"},
		{"no record", tfrecord.Append(nil, []byte("hello")), "decode record"},
		{"wrong hash", framed(t, wrongHash), "stored hash is b59ac8c578b4561d79ac7087988f1c61, but that of the cell is b49ac8c578b4561d79ac7087988f1c61"},
		{"wrong hash after a right one", framed(t, first, secondWrongHash), "stored hash"},
		{"metrics out of range", framed(t, first, wrongMetrics), "accuracy"},
		{"fourth repeat", framed(t, first, first, first, first), "more than 3 runs of 108 epochs"},
		{"header only", []byte(meansHeader), "no records"},
		{"other text", []byte("hello, world\n"), "neither NAS-Bench-101 records nor a means-only TSV"},
		{"wrong hash in a line", []byte(meansHeader + strings.Replace(chainLine, "b49", "b59", 1)), "stored hash"},
		{"repeated line", []byte(meansHeader + chainLine + chainLine), "second line"},
		{"truncated gzip of records", compress(t, synthetic)[:3000], "truncated"},
		{"truncated gzip of lines", compress(t, []byte(meansHeader+chainLine))[:60], "truncated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := importOver(t, context.Background(), c.content, nil)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a *CorruptError with %q", err, c.want)
			}
		})
	}
}

// importOver imports the content over another file, and fails the test unless
// that and the folder are as before.
func importOver(t *testing.T, ctx context.Context, content []byte, progress func(read, size int64)) error {
	t.Helper()
	folder := t.TempDir()
	src := writeFile(t, filepath.Join(folder, "source"), content)
	dst := writeFile(t, filepath.Join(folder, "table"), []byte("old table"))
	err := Import(ctx, src, dst, progress)
	if got := readFile(t, dst); string(got) != "old table" {
		t.Errorf("the old table became %d other bytes", len(got))
	}
	entries, listErr := os.ReadDir(folder)
	if listErr != nil {
		t.Fatal(listErr)
	}
	if len(entries) != 2 {
		t.Errorf("files left behind: %v", entries)
	}
	return err
}

func TestImportCancelled(t *testing.T) {
	// One cell at many budgets makes more records than a batch holds.
	var records []record
	for epochs := 1; epochs <= 3000; epochs++ {
		records = append(records, chainRecord(t, cell.Conv3x3, epochs, 0.5))
	}
	content := framed(t, records...)
	if len(content) < 2*batchSize {
		t.Fatalf("%d bytes are a single batch", len(content))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	calls := 0
	err := importOver(t, ctx, content, func(read, size int64) {
		calls++
		if read <= 0 || read > size {
			t.Errorf("progress of %d bytes of %d", read, size)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("got %v after %d calls of progress, want %v after one", err, calls, context.Canceled)
	}
}

func TestImportPaths(t *testing.T) {
	folder := t.TempDir()
	src := writeFile(t, filepath.Join(folder, "source"), []byte(meansHeader+chainLine))
	for _, c := range []struct{ name, src, dst, want string }{
		{"no source", filepath.Join(folder, "nowhere"), filepath.Join(folder, "table"), "no such file"},
		{"no folder for the table", src, filepath.Join(folder, "nowhere", "table"), "no such file"},
		{"same file", src, src, "both the source and the table"},
		{"table is a folder", src, t.TempDir(), "file exists"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := Import(context.Background(), c.src, c.dst, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("files left behind: %v", entries)
	}
}

func TestImportIsDeterministic(t *testing.T) {
	var tables [2][]byte
	for i := range tables {
		path := filepath.Join(t.TempDir(), "table")
		if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), path, nil); err != nil {
			t.Fatal(err)
		}
		tables[i] = readFile(t, path)
	}
	if !bytes.Equal(tables[0], tables[1]) {
		t.Error("two imports of one file differ")
	}
}
