package cell

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The labels of every round were computed with the benchmark's own code.
func TestRounds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		spec   Spec
		rounds [][]string // initial labels first
		hash   string
	}{
		{
			"edge", fromRows(t, []string{"01", "00"}),
			[][]string{
				{"3bb65a81afada4c50c2c4630873f0a79", "da7ed8fcf085d449b70116bd536a0344"},
				{"6a9b02cac0c1197568db68e8a26172e5", "b03380eecb720dcb90c99e9368145d41"},
				{"24e83d4b6d15ac1c1dd62825fccc2b55", "6b642d06edcbee779700da045bbd0266"},
			},
			"043721b9c7fe8c5fad811d47d83132ec",
		},
		{
			"chain", fromRows(t, []string{"010", "001", "000"}, Conv3x3),
			[][]string{
				{"3bb65a81afada4c50c2c4630873f0a79", "d83dc8699b886cf73ffbd4db0625c540", "da7ed8fcf085d449b70116bd536a0344"},
				{"2db5495790022c768943b347000b1ca8", "c35d4b8921f087212df4d626a2841ac3", "337d999cc6efa343de83be59e1f77d99"},
				{"17cd7aa894e752580e36674c424c3d79", "4b68783b69396e495e6c523c2113eed7", "fe8464fc290cb883ecf856596d8daf2e"},
				{"d67e8ecedc26905fdc611fb26327d258", "3e2bac0b99510f2e44aa7a76070c39cd", "e900b60544768237407b950153caaffa"},
			},
			"b49ac8c578b4561d79ac7087988f1c61",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := tc.spec.initialLabels()
			for round, want := range tc.rounds {
				if round > 0 {
					l = tc.spec.refine(&l)
				}
				for v, text := range want {
					if got := string(l[v][:]); got != text {
						t.Errorf("round %d, vertex %d: %s, want %s", round, v, got, text)
					}
				}
			}
			for name, got := range map[string]Hash{"plain": tc.spec.plainDigest(), "vectors": tc.spec.digest()} {
				if got.String() != tc.hash {
					t.Errorf("%s: hash %v, want %s", name, got, tc.hash)
				}
			}
		})
	}
}

func TestHashExamples(t *testing.T) {
	ops1 := []Op{Conv3x3, Conv1x1, Conv3x3, MaxPool3x3, Conv1x1}
	ops3 := []Op{Conv3x3, Conv3x3, Conv3x3, MaxPool3x3, Conv1x1}
	for _, tc := range []struct {
		name   string
		rows   []string
		ops    []Op
		pruned []string
		hash   string
	}{
		{
			"inception-like", []string{"0111010", "0000001", "0000001", "0000100", "0000001", "0000001", "0000000"},
			[]Op{Conv1x1, Conv3x3, Conv3x3, Conv3x3, MaxPool3x3},
			[]string{"0111010", "0000001", "0000001", "0000100", "0000001", "0000001", "0000000"},
			"28cfc7874f6d200472e1a9dcd8650aa0",
		},
		{
			"space 1", []string{"0111001", "0010100", "0001000", "0000100", "0000001", "0000000", "0000000"}, ops1,
			[]string{"011101", "001010", "000100", "000010", "000001", "000000"},
			"4b36ea627d50212870654b497baf4ebc",
		},
		{
			// out←{0,1}, the rest loose ends
			"space 1, three vertices", []string{"0111101", "0011101", "0000000", "0000000", "0000000", "0000000", "0000000"}, ops1,
			[]string{"011", "001", "000"},
			"d32d0b26d534203b48d866facd98cc3e",
		},
		{
			"space 2", []string{"0101000", "0010001", "0001100", "0000101", "0000001", "0000000", "0000000"},
			[]Op{Conv3x3, MaxPool3x3, Conv3x3, Conv1x1, Conv1x1},
			[]string{"010100", "001001", "000110", "000011", "000001", "000000"},
			"70eca48eb2992ef352948f755686074b",
		},
		{
			"space 3", []string{"0100101", "0010000", "0001000", "0000110", "0000010", "0000001", "0000000"}, ops3,
			[]string{"0100101", "0010000", "0001000", "0000110", "0000010", "0000001", "0000000"},
			"163d485b60acba2b63ccb1a192da859f",
		},
		{
			// 2←{0} 3←{1} 4←{0,2} 5←{1,4} out←{0,3}
			"space 3, four vertices", []string{"0110101", "0001010", "0000100", "0000001", "0000010", "0000000", "0000000"}, ops3,
			[]string{"0101", "0010", "0001", "0000"},
			"b5fb4f6193360330b6ff6a52cbf0cad7",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := fromRows(t, tc.rows, tc.ops...)
			pruned, err := s.Prune()
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, row := range pruned.Matrix {
				text := ""
				for _, entry := range row {
					text += string('0' + rune(entry))
				}
				rows = append(rows, text)
			}
			if diff := cmp.Diff(tc.pruned, rows); diff != "" {
				t.Errorf("pruned (-want +got):\n%s", diff)
			}
			got, err := s.Hash()
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != tc.hash {
				t.Errorf("hash %v, want %s", got, tc.hash)
			}
		})
	}
}

func TestHashText(t *testing.T) {
	const text = "0123456789abcdef0123456789abcdef"
	h, err := ParseHash(text)
	if err != nil || h.String() != text {
		t.Errorf("ParseHash(%q) = %v, %v", text, h, err)
	}
	if upper, err := ParseHash("0123456789ABCDEF0123456789ABCDEF"); err != nil || upper != h {
		t.Errorf("upper case: %v, %v", upper, err)
	}
	if got, err := json.Marshal(h); err != nil || string(got) != `"`+text+`"` {
		t.Errorf("JSON %s, %v", got, err)
	}
	for _, bad := range []string{"", text[1:], text + "0", "g" + text[1:]} {
		if h, err := ParseHash(bad); err == nil || h != (Hash{}) {
			t.Errorf("ParseHash(%q) = %v, %v, want an error", bad, h, err)
		}
	}
}

// TestHashesAgree compares the vectors of every width with the plain hash.
func TestHashesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cells []Spec
		var want []Hash
		for range rapid.IntRange(0, 40).Draw(t, "cells") {
			pruned, err := drawCell(t).Prune()
			if err != nil {
				continue
			}
			cells = append(cells, pruned)
			want = append(want, pruned.plainDigest())
		}
		for level := range widest + 1 {
			got := hashesAt(cells, level)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("level %d, cell %d of %d: %v, want %v", level, i, len(cells), got[i], want[i])
				}
			}
		}
	})
}

func BenchmarkHash(b *testing.B) {
	spec, err := FromBits(7, 1205349, []Op{Conv3x3, MaxPool3x3, Conv3x3, Conv3x3, Conv1x1})
	if err != nil {
		b.Fatal(err)
	}
	cells := slices.Repeat([]Spec{spec}, 1024)
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			spec.digest()
		}
	})
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			spec.plainDigest()
		}
	})
	for level := range widest + 1 {
		b.Run(fmt.Sprintf("many,level=%d", level), func(b *testing.B) {
			for b.Loop() {
				hashesAt(cells, level)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(cells)), "ns/cell")
		})
	}
}
