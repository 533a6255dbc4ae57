package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/formattest"
	"github.com/nb1shot/nb1shot/random"
)

// example is a state with a section of every kind.
func example() State {
	return State{
		Meta: json.RawMessage(`{"epoch":3,"note":"a < b"}`),
		Vectors: map[string]Vector{
			"alphas":  {Values: []float64{0.1, math.Copysign(0, -1), math.Inf(1), 5e-324}},
			"weights": {Values: []float64{1, -0.5, math.MaxFloat32}, Single: true},
			"empty":   {Values: []float64{}},
		},
		Blobs: map[string][]byte{"searcher": []byte("{\"step\":12}\x00\xff"), "empty": {}},
	}
}

func mustEncode(t rapid.TB, s State) []byte {
	t.Helper()
	data, err := encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// file assembles a file around a header of any text, with the checksum right.
func file(header string, body []byte) []byte {
	data := binary.LittleEndian.AppendUint64([]byte(magic), uint64(len(header)))
	data = append(append(data, header...), body...)
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"weights", "alphas", "<&>", "\u2028"}))
	rapid.Check(t, func(t *rapid.T) {
		doubles := rapid.Map(rapid.SliceOf(rapid.Float64()), func(v []float64) Vector { return Vector{Values: v} })
		singles := rapid.Map(rapid.SliceOf(rapid.Float32()), func(narrow []float32) Vector {
			v := Vector{Values: make([]float64, len(narrow)), Single: true}
			for i, x := range narrow {
				v.Values[i] = float64(x)
			}
			return v
		})
		meta, err := json.Marshal(rapid.MapOf(text, text).Draw(t, "meta"))
		if err != nil {
			t.Fatal(err)
		}
		want := State{
			Meta:    meta,
			Vectors: rapid.MapOf(text, rapid.OneOf(doubles, singles)).Draw(t, "vectors"),
			Blobs:   rapid.MapOf(text, rapid.SliceOf(rapid.Byte())).Draw(t, "blobs"),
		}
		path := filepath.Join(dir, "state")
		if err := Save(path, "", want); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		if !bytes.Equal(mustEncode(t, want), mustEncode(t, got)) {
			t.Fatal("equal states give different bytes")
		}
	})
}

// Every bit of a number comes back, those of NaN too, which cmp does not look at.
func TestBits(t *testing.T) {
	for _, bits := range []uint64{0x7ff8000000000001, 0xfff8000000000000, 0x7ff4000000000000, 0x8000000000000000, 1} {
		s, err := decode(mustEncode(t, State{Vectors: map[string]Vector{"v": {Values: []float64{math.Float64frombits(bits)}}}}))
		if err != nil {
			t.Fatal(err)
		}
		if got := math.Float64bits(s.Vectors["v"].Values[0]); got != bits {
			t.Errorf("%016x came back as %016x", bits, got)
		}
	}
}

// The format is what docs/checkpoint.md says, byte for byte.
func TestBytes(t *testing.T) {
	got := mustEncode(t, State{
		Meta:    json.RawMessage(` {"epoch": 3} `),
		Vectors: map[string]Vector{"b": {Values: []float64{1}}, "a": {Values: []float64{-2}, Single: true}},
		Blobs:   map[string][]byte{"z": []byte("xyz")},
	})
	want := file(`{"format":1,"meta":{"epoch":3},"sections":[`+
		`{"name":"z","kind":"bytes","count":3},{"name":"a","kind":"float32","count":1},{"name":"b","kind":"float64","count":1}]}`+"\n",
		[]byte("xyz\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\xf0\x3f"))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNothing(t *testing.T) {
	got, err := decode(mustEncode(t, State{}))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(State{Meta: json.RawMessage("{}"), Vectors: map[string]Vector{}, Blobs: map[string][]byte{}}, got); d != "" {
		t.Error(d)
	}
}

func TestSaveRefuses(t *testing.T) {
	for name, s := range map[string]State{
		"no JSON":           {Meta: json.RawMessage(`{"epoch":`)},
		"no JSON object":    {Meta: json.RawMessage(`[1]`)},
		"empty meta":        {Meta: json.RawMessage{}},
		"too fine a number": {Vectors: map[string]Vector{"v": {Values: []float64{1, 0.1}, Single: true}}},
		"too large":         {Vectors: map[string]Vector{"v": {Values: []float64{1e39}, Single: true}}},
		"name of a vector":  {Vectors: map[string]Vector{"\xff": {}}},
		"name of a blob":    {Blobs: map[string][]byte{"\xff": nil}},
	} {
		path := filepath.Join(t.TempDir(), "state")
		if err := Save(path, "", s); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was written: %v", name, err)
		}
	}
}

func TestLoadMissing(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "state")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// load writes data to a file and loads it.
func load(t *testing.T, data []byte) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	return path, err
}

func TestOtherVersion(t *testing.T) {
	for _, header := range []string{`{"format":2}`, `{"format":2,"sections":"elsewhere"}`, `{}`} {
		_, err := load(t, file(header, []byte("body")))
		if !errors.Is(err, ErrVersion) {
			t.Errorf("%s: error %v, want ErrVersion", header, err)
		}
	}
}

// Files whose checksum is right and whose header lies.
func TestLyingHeader(t *testing.T) {
	const start = `{"format":1,"meta":{},"sections":[`
	one := func(kind, count string) string {
		return start + fmt.Sprintf(`{"name":"v","kind":%q,"count":%s}]}`, kind, count) + "\n"
	}
	body := make([]byte, 16)
	for name, c := range map[string]struct {
		header string
		body   []byte
		want   string
	}{
		"no JSON":             {`{"format":1`, nil, "header"},
		"wrong type":          {`{"format":1,"sections":{}}`, nil, "header"},
		"too long":            {one("float64", "3"), body, "3 × 8 bytes where 16 are left"},
		"too long a blob":     {one("bytes", "17"), body, "17 × 1 bytes where 16 are left"},
		"huge":                {one("float64", "1152921504606846976"), body, "where 16 are left"},
		"overflows":           {one("float64", "2305843009213693954"), body, "where 16 are left"},
		"largest":             {one("float32", "18446744073709551615"), body, "where 16 are left"},
		"beyond":              {one("bytes", "18446744073709551616"), body, "header"},
		"negative":            {one("bytes", "-1"), body, "header"},
		"too short":           {one("float64", "1"), body, "8 bytes that no section claims"},
		"unknown kind":        {one("float16", "8"), body, `unknown kind "float16"`},
		"twice":               {start + `{"name":"v","kind":"float64","count":1},{"name":"v","kind":"float64","count":1}]}` + "\n", body, "not the one of its content"},
		"out of order":        {start + `{"name":"w","kind":"float64","count":1},{"name":"v","kind":"float64","count":1}]}` + "\n", body, "not the one of its content"},
		"unknown member":      {`{"format":1,"meta":{},"sections":[],"more":1}` + "\n", nil, "not the one of its content"},
		"white space":         {`{"format":1, "meta":{},"sections":[]}` + "\n", nil, "not the one of its content"},
		"meta is no object":   {`{"format":1,"meta":[],"sections":[]}` + "\n", nil, "not a JSON object"},
		"meta is missing":     {`{"format":1,"sections":[]}` + "\n", nil, "not the one of its content"},
		"meta is null":        {`{"format":1,"meta":null,"sections":[]}` + "\n", nil, "not a JSON object"},
		"sections are a null": {`{"format":1,"meta":{},"sections":null}` + "\n", nil, "not the one of its content"},
	} {
		t.Run(name, func(t *testing.T) {
			path, err := load(t, file(c.header, c.body))
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Path != path || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a CorruptError of %s with %q", err, path, c.want)
			}
		})
	}

	data := file("", nil)
	binary.LittleEndian.PutUint64(data[len(magic):], math.MaxUint64) // of the header
	sum := sha256.Sum256(data[:len(data)-sha256.Size])
	copy(data[len(data)-sha256.Size:], sum[:])
	if _, err := decode(data); err == nil || !strings.Contains(err.Error(), "where 0 are left") {
		t.Errorf("a header longer than the file: %v", err)
	}
}

// What a header claims takes no memory before it is compared with what there is.
func TestLyingHeaderTakesNoMemory(t *testing.T) {
	data := file(`{"format":1,"meta":{},"sections":[{"name":"v","kind":"float64","count":1000000000}]}`, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := decode(data)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Error("accepted")
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("%d bytes allocated for a file of %d", took, len(data))
	}
}

func TestTruncation(t *testing.T) {
	data := mustEncode(t, example())
	for n := range len(data) {
		path, err := load(t, data[:n])
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Path != path {
			t.Fatalf("%d of %d bytes: error %v, want a CorruptError of %s", n, len(data), err, path)
		}
	}
	if _, err := load(t, append(data, 0)); err == nil {
		t.Error("one byte too many was accepted")
	}
}

func TestBitFlips(t *testing.T) {
	data := mustEncode(t, example())
	r := random.New(1, "bit flips")
	for range 10_000 {
		bit := r.IntN(8 * len(data))
		data[bit/8] ^= 1 << (bit % 8)
		if _, err := decode(data); err == nil || errors.Is(err, ErrVersion) {
			t.Fatalf("bit %d of byte %d flipped: error %v, want damage", bit%8, bit/8, err)
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
	if _, err := decode(data); err != nil {
		t.Fatalf("the file itself: %v", err)
	}
}

// keeps checks that a Save that must fail leaves the old file as the only one.
func keeps(t *testing.T, save func(path string, s State) error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := Save(path, "", example()); err != nil {
		t.Fatal(err)
	}
	large := State{Vectors: map[string]Vector{"weights": {Values: make([]float64, 1<<16)}}}
	if err := save(path, large); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the file", err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(example(), got); d != "" {
		t.Errorf("the old state changed:\n%s", d)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the failed save left %v behind", entries)
	}
}

func TestRefusedSaveKeepsTheOldFile(t *testing.T) {
	keeps(t, func(path string, s State) error {
		s.Meta = json.RawMessage("[]")
		return Save(path, "", s)
	})
}

// A folder in the place of the file lets everything succeed but the rename.
func TestFailedRename(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := os.MkdirAll(filepath.Join(path, "occupied"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, "", example()); err == nil {
		t.Error("a folder was replaced")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the failed save left %v behind (%v)", entries, err)
	}
}

// Whatever Load accepts is the one file of its state, and nothing makes it panic.
// The target puts the right checksum behind what the fuzzer makes, which could
// hardly find one.
func FuzzLoad(f *testing.F) {
	for _, s := range []State{{}, example()} {
		data, err := encode(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:len(data)-sha256.Size])
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		data := append(bytes.Clone(body), sum[:]...)
		s, err := decode(data)
		if err != nil {
			return
		}
		again, err := encode(s)
		if err != nil {
			t.Fatalf("%+v was read and is not written: %v", s, err)
		}
		if len(again) != len(data) {
			t.Fatalf("%d bytes were read, %d written", len(data), len(again))
		}
		if s, err = decode(again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mustEncode(t, s), again) {
			t.Error("the state differs after another round")
		}
	})
}

// Another version is in TestOtherVersion: it needs a checksum of its own.
func TestFormat(t *testing.T) {
	formattest.Conform(t, formattest.Format{
		Document: "docs/checkpoint.md", Sample: mustEncode(t, example()), Sealed: true,
		Read: func(file []byte) error {
			_, err := decode(file)
			return err
		},
	})
}
