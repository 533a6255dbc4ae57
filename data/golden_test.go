package data_test

import (
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"math"
	"testing"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/golden"
)

// npy returns the 64-bit words of a .npy file of version 1.0.
func npy(t *testing.T, file string) []uint64 {
	t.Helper()
	b, err := fs.ReadFile(golden.FS(), file)
	if err != nil {
		t.Fatal(err)
	}
	b = b[10+int(binary.LittleEndian.Uint16(b[8:])):]
	words := make([]uint64, len(b)/8)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return words
}

// The golden images were transformed by the released code, with given crops.
func TestGoldenAugment(t *testing.T) {
	b, err := fs.ReadFile(golden.FS(), "augment/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Cases []struct {
			Top, Left     int
			Flip          bool
			Normalisation string
			Cutout        bool
			Row           int `json:"cutout_centre_row"`
			Col           int `json:"cutout_centre_col"`
		}
		Normalisation map[string]data.Normalization
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]data.Normalization{"darts": data.DARTSNormalization, "enas": data.ENASNormalization} {
		if manifest.Normalisation[name] != n {
			t.Errorf("normalisation %s: %v, want %v", name, n, manifest.Normalisation[name])
		}
	}
	raw, want := npy(t, "augment/raw_hwc_uint8.npy"), npy(t, "augment/output_chw.npy")
	const side, size = 32, 3 * 32 * 32
	if len(manifest.Cases) == 0 || len(raw) != len(manifest.Cases)*size || len(want) != len(raw) {
		t.Fatalf("%d cases, %d and %d values", len(manifest.Cases), len(raw), len(want))
	}
	for i, c := range manifest.Cases {
		img := make([]uint8, size)
		for j, v := range raw[i*size : (i+1)*size] {
			img[j%3*side*side+j/3] = uint8(v) // channels last to planes
		}
		got := make([]float64, size)
		crop := data.Crop{Top: c.Top, Left: c.Left, Flip: c.Flip, Cutout: c.Cutout, Row: c.Row, Col: c.Col}
		crop.Apply(got, img, side, manifest.Normalisation[c.Normalisation].Levels())
		worst := 0.0
		for j := range got {
			worst = max(worst, math.Abs(got[j]-math.Float64frombits(want[i*size+j])))
		}
		t.Logf("case %d: largest difference %g", i, worst)
		if !(worst <= 1e-6) {
			t.Errorf("case %d: largest difference %g, want at most 1e-6", i, worst)
		}
	}
}
