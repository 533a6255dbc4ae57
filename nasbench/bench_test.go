package nasbench

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// recordsOfOfficialSize returns the path of a file that tools/nb101gen wrote, or
// skips the benchmark.
func recordsOfOfficialSize(b *testing.B) string {
	b.Helper()
	path := os.Getenv("NB1SHOT_TFRECORD")
	if path == "" {
		b.Skip("set NB1SHOT_TFRECORD to a file that tools/nb101gen wrote")
	}
	return path
}

// BenchmarkImport imports a file of the official size.
func BenchmarkImport(b *testing.B) {
	src := recordsOfOfficialSize(b)
	info, err := os.Stat(src)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		imports func(context.Context, string, string, func(read, size int64)) error
	}{{"all", Import}, {"spaces", ImportSpaces}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(info.Size())
			dst := filepath.Join(b.TempDir(), "table")
			for b.Loop() {
				if err := c.imports(context.Background(), src, dst, nil); err != nil {
					b.Fatal(err)
				}
			}
			table, err := os.Stat(dst)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(table.Size())/1e6, "MB")
		})
	}
}

// BenchmarkLookup looks up cells all over a table of the official size, and
// reports the quantiles of single lookups.
func BenchmarkLookup(b *testing.B) {
	path := filepath.Join(b.TempDir(), "table")
	if err := Import(context.Background(), recordsOfOfficialSize(b), path, nil); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			table, err := Open(path)
			if err != nil {
				b.Fatal(err)
			}
			if err := table.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	table, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()
	var hashes []cell.Hash
	err = table.Each(context.Background(), "", Epochs, func(e Entry) error {
		hashes = append(hashes, e.Hash)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	lookup := func(b *testing.B, i int) {
		// A prime step visits the cells in no order of the file.
		if _, err := table.Lookup(hashes[i*611953%len(hashes)], Epochs); err != nil {
			b.Error(err)
		}
	}
	b.Run("one goroutine", func(b *testing.B) {
		b.ReportAllocs()
		var times []time.Duration
		i := 0
		for b.Loop() {
			start := time.Now()
			lookup(b, i)
			times = append(times, time.Since(start))
			i++
		}
		slices.Sort(times)
		for _, q := range []struct {
			name  string
			share float64
		}{{"p50-µs", 0.5}, {"p99-µs", 0.99}, {"p99.9-µs", 0.999}} {
			b.ReportMetric(float64(times[int(q.share*float64(len(times)-1))].Nanoseconds())/1000, q.name)
		}
	})
	b.Run("many goroutines", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				lookup(b, i)
			}
		})
	})
}
