package verify

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// npy returns a file with the given dictionary and entries.
func npy(header string, entries ...uint64) []byte {
	b := []byte("\x93NUMPY\x01\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	b = append(b, header...)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint64(b, e)
	}
	return b
}

func header(dtype, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }    \n", dtype, shape)
}

func TestParseNPY(t *testing.T) {
	pi := math.Float64bits(3.5)
	minus := uint64(math.MaxUint64) // -1
	for _, tt := range []struct {
		name   string
		file   []byte
		values []float64
		shape  []int
	}{
		{"vector", npy(header("<f8", "2,"), pi, 0), []float64{3.5, 0}, []int{2}},
		{"matrix", npy(header("<i8", "1, 2"), 7, minus), []float64{7, -1}, []int{1, 2}},
		{"scalar", npy(header("<f8", ""), pi), []float64{3.5}, nil},
		{"empty", npy(header("<f8", "3, 0")), []float64{}, []int{3, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values, shape, err := parseNPY(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.values, values); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.shape, shape); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseNPYErrors(t *testing.T) {
	good := npy(header("<f8", "2,"), 1, 2)
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "not a NumPy file"},
		{"magic alone", good[:8], "not a NumPy file"},
		{"version 2", slices.Concat([]byte("\x93NUMPY\x02\x00"), good[8:]), "version 1.0"},
		{"cut in the header", good[:40], "after the file"},
		{"cut in the data", good[:len(good)-1], "needs 16"},
		{"data left over", append(slices.Clone(good), 0), "needs 16"},
		{"float32", npy(header("<f4", "2,"), 1), "'<f8' or '<i8'"},
		{"big endian", npy(header(">f8", "2,"), 1, 2), "'<f8' or '<i8'"},
		{"Fortran order", npy(strings.Replace(header("<f8", "2,"), "False", "True", 1), 1, 2), "C-ordered"},
		{"negative shape", npy(header("<f8", "-1,")), "shape"},
		{"shape of text", npy(header("<f8", "x,")), "shape"},
		{"huge", npy(header("<f8", "4611686018427387904,")), "more than"},
		{"huge product", npy(header("<f8", "65536, 65536, 65536, 65536")), "more than"},
		{"inexact integer", npy(header("<i8", "1,"), 1<<53+1), "too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := parseNPY(tt.file)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one about %q", err, tt.want)
			}
		})
	}
}

func FuzzParseNPY(f *testing.F) {
	f.Add(npy(header("<f8", "2, 1"), 1, 2))
	f.Add(npy(header("<i8", "1,"), 5))
	f.Add(npy(header("<f8", "0, 9999999999999")))
	b, err := Embedded().read("forward_s1", "init_alphas.npy")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		values, shape, err := parseNPY(b)
		if err != nil {
			return
		}
		n := 1
		for _, d := range shape {
			n *= d
		}
		if n != len(values) || 8*n > len(b) {
			t.Fatalf("%d values of shape %v from %d bytes", len(values), shape, len(b))
		}
	})
}

// A vector reads back as it was written.
func TestFormatNPY(t *testing.T) {
	for _, want := range [][]float64{{}, {1.5}, {-0.1, 1e300, 5e-324}} {
		got, shape, err := parseNPY(formatNPY(want))
		if err != nil || !slices.Equal(got, want) || !slices.Equal(shape, []int{len(want)}) {
			t.Errorf("%v reads as %v of shape %v, error %v", want, got, shape, err)
		}
	}
}
