package tfrecord

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/internal/golden"
)

// readGolden reads a file of the golden case about synthetic records in NAS-Bench-101's
// layout.
func readGolden(t testing.TB, name string) []byte {
	t.Helper()
	content, err := fs.ReadFile(golden.FS(), "tfrecord_synthetic/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// readAll returns the records of a file and where they begin.
func readAll(file []byte) (records [][]byte, offsets []int64, err error) {
	err = Read(bytes.NewReader(file), func(offset int64, data []byte) error {
		records = append(records, bytes.Clone(data))
		offsets = append(offsets, offset)
		return nil
	})
	return records, offsets, err
}

func TestMaskedCRC(t *testing.T) {
	for text, want := range map[string]uint32{"123456789": 0xc78ab0e5, "": 0xa282ead8} {
		if got := maskedCRC([]byte(text)); got != want {
			t.Errorf("maskedCRC(%q) = %08x, want %08x", text, got, want)
		}
	}
}

// TestDamage flips a bit of every byte of the synthetic file, and cuts
// it at every length: the record concerned is named, those before it are read.
func TestDamage(t *testing.T) {
	file := readGolden(t, "synthetic.tfrecord")
	_, offsets, err := readAll(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(offsets) != 30 {
		t.Fatalf("%d records, want 30", len(offsets))
	}
	check := func(what string, damaged []byte, position, record int) {
		t.Helper()
		_, read, err := readAll(damaged)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Offset != offsets[record] || len(read) != record {
			t.Errorf("%s byte %d: read %d records, then %v; want %d, then a *CorruptError at byte %d", what, position, len(read), err, record, offsets[record])
		}
	}
	record := 0
	for i := range file {
		if record+1 < len(offsets) && int64(i) == offsets[record+1] {
			record++
		}
		damaged := bytes.Clone(file)
		damaged[i] ^= 1 << (i % 8)
		check("flip in", damaged, i, record)
		if int64(i) != offsets[record] {
			check("cut before", file[:i], i, record)
		} else if _, read, err := readAll(file[:i]); err != nil || len(read) != record {
			t.Errorf("cut between records at byte %d: read %d records, then %v; want %d", i, len(read), err, record)
		}
	}
}

func TestGoldenDamage(t *testing.T) {
	_, offsets, err := readAll(readGolden(t, "synthetic.tfrecord"))
	if err != nil {
		t.Fatal(err)
	}
	const flipped = 5477 // the byte that differs in corrupt.tfrecord
	holding := 0
	for holding+1 < len(offsets) && offsets[holding+1] <= flipped {
		holding++
	}
	for name, record := range map[string]int{"corrupt": holding, "truncated": 29} {
		_, read, err := readAll(readGolden(t, name+".tfrecord"))
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Offset != offsets[record] || len(read) != record {
			t.Errorf("%s: read %d records, then %v; want %d, then a *CorruptError at byte %d", name, len(read), err, record, offsets[record])
		}
	}
}

func TestForgedLength(t *testing.T) {
	header := binary.LittleEndian.AppendUint64(nil, 1<<62)
	header = binary.LittleEndian.AppendUint32(header, maskedCRC(header))
	_, _, err := readAll(header)
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		t.Errorf("got %v, want a *CorruptError", err)
	}
}

func TestReadFailure(t *testing.T) {
	failure := errors.New("disk on fire")
	err := Read(iotest.ErrReader(failure), func(int64, []byte) error { return nil })
	if !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
}

// FuzzRead: what is read is exactly what was framed.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"synthetic", "corrupt", "truncated"} {
		f.Add(readGolden(f, name+".tfrecord"))
	}
	f.Add([]byte{})
	f.Add(Append(Append(nil, nil), []byte("data")))
	f.Fuzz(func(t *testing.T, file []byte) {
		records, _, err := readAll(file)
		var framed []byte
		for _, r := range records {
			framed = Append(framed, r)
		}
		var corrupt *CorruptError
		switch {
		case err == nil && !bytes.Equal(framed, file):
			t.Error("records read without error do not frame to the file: " + cmp.Diff(file, framed))
		case err != nil && (!errors.As(err, &corrupt) || corrupt.Offset != int64(len(framed)) || !bytes.HasPrefix(file, framed)):
			t.Errorf("after %d good bytes: %v", len(framed), err)
		}
	})
}
