package printable_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/internal/printable"
)

func TestText(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"ASCII", "two lines,\n\tone indented", "two lines,\n\tone indented"},
		{"letters of all the world", "λ → 0.24 ± 0.02 %, größer, 探索, 🙂, a\u00a0b, e\u0301", "λ → 0.24 ± 0.02 %, größer, 探索, 🙂, a\u00a0b, e\u0301"},
		{"colour", "\x1b[31mred\x1b[0m", `\u001b[31mred\u001b[0m`},
		{"title of the window", "\x1b]0;x\a", `\u001b]0;x\u0007`},
		{"C1: the eight-bit CSI", "\u009b31m", `\u009b31m`},
		{"raw C1 byte", "\x9b31m", `\x9b31m`},
		{"carriage return", "bad\rgood", `bad\u000dgood`},
		{"backspace, delete, null", "a\bb\x7fc\x00", `a\u0008b\u007fc\u0000`},
		{"override of the direction", "gpj\u202eexe.sh", `gpj\u202eexe.sh`},
		{"isolates and marks", "\u2066a\u2069\u200e\u061c", `\u2066a\u2069\u200e\u061c`},
		{"separators of lines", "a\u2028b\u2029c\u0085d", `a\u2028b\u2029c\u0085d`},
		{"without a shape", "pay\u200bpal\ufeff\u00ad", `pay\u200bpal\ufeff\u00ad`},
		{"tags, beyond 16 bits", "x\U000e0041", `x\udb40\udc41`},
		{"no character", "\ufffe", `\ufffe`},
		{"no UTF-8", "a\xffb\xc3", `a\xffb\xc3`},
		{"overlong, surrogate", "\xc0\x9b\xed\xa0\x80", `\xc0\x9b\xed\xa0\x80`},
		{"the replacement character itself", "\ufffd", "\ufffd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := printable.Text(test.in); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	if got, want := printable.Line("a\nb\tc\rd"), `a b c\u000dd`; got != want {
		t.Errorf("line %q, want %q", got, want)
	}
}

// foreign draws bytes that are rich in what must be escaped.
func foreign() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"\x1b[2J", "\u009b", "\x9b", "\u202e", "\r", "\xe2\x80", "\xf0\x9f", "\U000e0001", "=1+1", "<", "&", `"`}),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		return strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "parts"), "")
	})
}

// What comes out is visible, stays as it is when it comes by again, and may stand in
// XML and, within a string of JSON, means what came in.
func TestTextProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := foreign().Draw(t, "text")
		out := printable.Text(in)
		for _, r := range out {
			if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
				t.Fatalf("%q holds %U", out, r)
			}
		}
		if again := printable.Text(out); again != out {
			t.Fatalf("%q became %q", out, again)
		}
		var b bytes.Buffer
		if err := xml.EscapeText(&b, []byte(out)); err != nil || strings.Contains(b.String(), "\ufffd") && !strings.Contains(in, "\ufffd") {
			t.Fatalf("XML: %q, %v", &b, err)
		}
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := errors.Join(json.Unmarshal(text, &want), json.Unmarshal([]byte(printable.Text(string(text))), &got)); err != nil || got != want {
			t.Fatalf("JSON %s: %q, %v; want %q", text, got, err, want)
		}
	})
}

// Wherever a text is cut, the Writer writes the same.
func TestWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := foreign().Draw(t, "text")
		var b bytes.Buffer
		w := printable.NewWriter(&b)
		for rest := in; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if written, err := w.Write([]byte(rest[:n])); written != n || err != nil {
				t.Fatalf("%d, %v", written, err)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if want := printable.Text(in); b.String() != want {
			t.Fatalf("%q, want %q", &b, want)
		}
	})
	failing := printable.NewWriter(writerFunc(func([]byte) (int, error) { return 0, iotest.ErrTimeout }))
	for _, text := range []string{"plain", "\x1b"} {
		if _, err := failing.Write([]byte(text)); !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("error %v", err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestCell(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "darts": "darts", "12": "12", "-0.3": "-0.3", "+1e-5": "+1e-5", "-.5": "-.5", "1.": "1.", "1-2": "1-2",
		"=1+1": "'=1+1", "+cmd": "'+cmd", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)", "-": "'-",
		"\t=1": "'\t=1", "\r=1": `'\u000d=1`, " =1": "' =1", "\n=1": "'\n=1", "＝1": "'＝1", "-0.3=x": "'-0.3=x", "-1e": "'-1e",
		"a\x1b": `a\u001b`,
	} {
		if got := printable.Cell(in); got != want {
			t.Errorf("Cell(%q) = %q, want %q", in, got, want)
		}
	}
	var b bytes.Buffer
	w := printable.NewCSV(&b)
	row := []string{"a,b", "=HYPERLINK(\"http://x\",\"y\")", "-0.5"}
	w.Write(row)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(&b).Read()
	if err != nil || got[0] != row[0] || got[1] != "'"+row[1] || got[2] != row[2] {
		t.Errorf("row %q, %v", got, err)
	}
	failing := printable.NewCSV(writerFunc(func([]byte) (int, error) { return 0, iotest.ErrTimeout }))
	failing.Write(row)
	if err := failing.Flush(); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error %v", err)
	}
}
