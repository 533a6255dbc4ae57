package nasbench

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// meansHeader and meansLines are made up, but for the hashes: the input wired
// straight to the output, and a chain through one 3×3 convolution.
const (
	meansHeader = "hash\tvertices\tadj_bits\tops\tparams\ttest_sum3_x9984\tval108_x9984\ttrain_time108_s\n"
	directLine  = "043721b9c7fe8c5fad811d47d83132ec\t2\t1\t-\t100\t14976\t\t\n"
	chainLine   = "b49ac8c578b4561d79ac7087988f1c61\t3\t5\t0\t200\t22464\t7488\t12.5\n"
)

type placedRow struct {
	Offset int64
	Row    meanRow
}

func readRows(text string) (rows []placedRow, err error) {
	err = readMeans(strings.NewReader(text), "file", func(offset int64, row meanRow) error {
		rows = append(rows, placedRow{offset, row})
		return nil
	})
	return rows, err
}

func TestReadMeans(t *testing.T) {
	direct := meanRow{spec: mustParse(t, [][]int{{0, 1}, {0, 0}}, "input", "output"), parameters: 100, testError: 0.5}
	chain := meanRow{spec: mustParse(t, [][]int{{0, 1, 0}, {0, 0, 1}, {0, 0, 0}}, "input", "conv3x3-bn-relu", "output"), parameters: 200, testError: 0.25}
	for _, row := range []*meanRow{&direct, &chain} {
		var err error
		if row.hash, err = row.spec.Hash(); err != nil {
			t.Fatal(err)
		}
	}
	full := chain
	full.validationError, full.trainSeconds = new(0.25), new(12.5)
	for _, c := range []struct {
		name, text string
		want       []placedRow
	}{
		{"all columns", meansHeader + directLine + chainLine,
			[]placedRow{{int64(len(meansHeader)), direct}, {int64(len(meansHeader + directLine)), full}}},
		{"other order, unknown and missing columns",
			"test_sum3_x9984\tcolour\tops\thash\tparams\tadj_bits\tvertices\n22464\tred\t0\tb49ac8c578b4561d79ac7087988f1c61\t200\t5\t3\n",
			[]placedRow{{57, chain}}},
		{"no lines", meansHeader, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readRows(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(meanRow{}), cmp.Transformer("ops", func(ops []cell.Op) string { return fmt.Sprint(ops) })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadMeansRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"column missing", "\tparams\t", "\tparameters\t", `no column "params"`},
		{"column twice", "\tval108_x9984\t", "\tparams\t", `"params" twice`},
		{"field missing", "\t12.5", "", "7 columns, want 8"},
		{"hash", "b49", "x49", "column hash"},
		{"vertices", "\t3\t5", "\t8\t5", "column vertices"},
		{"fewer vertices than edges need", "\t3\t5", "\t2\t5", "line 3"},
		{"edges", "\t3\t5", "\t3\t-5", "column adj_bits"},
		{"unknown operation", "\t0\t200", "\t3\t200", "column ops"},
		{"operation missing", "\t0\t200", "\t-\t200", "line 3"},
		{"parameters", "200", "2e2", "column params"},
		{"accuracy above 1", "22464", "29953", "column test_sum3_x9984"},
		{"accuracy missing", "22464", "", "column test_sum3_x9984"},
		{"validation accuracy", "7488", "9985", "column val108_x9984"},
		{"infinite time", "12.5", "Inf", "column train_time108_s"},
		{"negative time", "12.5", "-1", "column train_time108_s"},
		{"last newline missing", "12.5\n", "12.5", "truncated"},
		{"blank line", "12.5\n", "12.5\n\n", "line 4: 1 columns"},
		{"line too long", "12.5\n", strings.Repeat("1", maxLine), "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			valid := meansHeader + directLine + chainLine
			changed := strings.Replace(valid, c.old, c.new, 1)
			if changed == valid {
				t.Fatalf("%q is not in %s", c.old, valid)
			}
			_, err := readRows(changed)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || !strings.Contains(corrupt.Reason, c.want) {
				t.Errorf("got %v, want a *CorruptError with %q", err, c.want)
			}
		})
	}
	if _, err := readRows(""); err == nil {
		t.Error("an empty file was accepted")
	}
}

// FuzzMeans: whatever the bytes, rows are in range, and lines are counted right.
func FuzzMeans(f *testing.F) {
	f.Add(meansHeader + directLine + chainLine)
	f.Add(meansHeader + chainLine[:20])
	f.Add("hash\t\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := readRows(text)
		for _, r := range rows {
			if r.Offset < 1 || text[r.Offset-1] != '\n' {
				t.Errorf("row at %d does not begin a line", r.Offset)
			}
			if e := r.Row.testError; !(e >= 0 && e <= 1) {
				t.Errorf("test error %v", e)
			}
		}
		if lines := strings.Count(text, "\n"); err == nil && lines != len(rows)+1 {
			t.Errorf("%d rows of %d lines", len(rows), lines)
		}
	})
}
