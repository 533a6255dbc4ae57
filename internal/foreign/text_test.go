package foreign_test

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// encode is a text in UTF-16 with its mark.
func encode(order binary.AppendByteOrder, text string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		b = order.AppendUint16(b, unit)
	}
	return b
}

func TestReadText(t *testing.T) {
	const want = "[[0, 1]]\r\nλ 😀\n"
	path := filepath.Join(t.TempDir(), "cell.json")
	for name, content := range map[string][]byte{
		"UTF-8":                []byte(want),
		"UTF-8 with a mark":    []byte("\ufeff" + want),
		"UTF-16, little first": encode(binary.LittleEndian, want),
		"UTF-16, big first":    encode(binary.BigEndian, want),
	} {
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := foreign.ReadText(path, 100); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, err := foreign.ReadText(path, int64(len(content))-1); !errors.Is(err, foreign.ErrTooLarge) {
			t.Errorf("%s, too large: %v", name, err)
		}
	}
	for content, want := range map[string]string{"": "", "\xff": "\xff", "\xef\xbb": "\xef\xbb", "\xff\xfe": "", "\xff\xfe\x00\xd8a\x00": "\ufffda", "\xff\xfe\x00\xd8": "\ufffd"} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := foreign.ReadText(path, 100); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v, want %q", content, got, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("\xff\xfea\x00b"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := foreign.ReadText(path, 100); !errors.Is(err, foreign.ErrHalfCharacter) {
		t.Errorf("half a character: %v", err)
	}
}

// Whatever the pieces in which it comes and goes, the text is the same.
func TestDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		coded := [][]byte{[]byte("\ufeff" + want), encode(binary.LittleEndian, want), encode(binary.BigEndian, want)}[rapid.IntRange(0, 2).Draw(t, "coding")]
		in, out := io.Pipe()
		fault.Start(func() {
			for len(coded) > 0 {
				n := min(len(coded), 3)
				out.Write(coded[:n])
				coded = coded[n:]
			}
			out.Close()
		})
		var r io.Reader = foreign.Decode(in)
		if rapid.Bool().Draw(t, "slowly") {
			r = iotest.OneByteReader(r)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
	})
}
