package text

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// said are the words of a sequence.
func said(c *Corpus, sequence []int32) string {
	var words []string
	for _, w := range sequence {
		words = append(words, c.Words[w])
	}
	return strings.Join(words, " ")
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"a b\n":              "a b <eos>",
		"a b":                "a b <eos>",
		"\n\n":               "<eos> <eos>",
		"a\n \t \nb":         "a <eos> <eos> b <eos>",
		"a\n ":               "a <eos> <eos>",
		" a\tb  c ":          "a b c <eos>",
		"a\r\nb\rc\n\rd":     "a <eos> b <eos> c <eos> <eos> d <eos>",
		"a <eos> b\n":        "a <eos> b <eos>",
		"a\u00a0b\u2003c":    "a b c <eos>",
		"a\x1cb\x1fc\x0bd":   "a b c d <eos>",
		"a\u200bb\ufeffc":    "a\u200bb\ufeffc <eos>", // no white space in Python's sense
		"naïve \u4e2d\n\x00": "naïve \u4e2d <eos> \x00 <eos>",
	} {
		c, err := Parse([]byte("first\n"), []byte(text), []byte("last\n"))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := said(c, c.Valid); got != want {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
		if c.Words[0] != "first" || c.Words[1] != EndOfSentence {
			t.Errorf("%q: the first words are %q", text, c.Words[:2])
		}
	}
}

func TestParseErrors(t *testing.T) {
	good := []byte("a b\n")
	for want, parts := range map[string][3][]byte{
		"training text: 0 words with <eos>, want at least 2":   {nil, good, good},
		"validation text: 1 words with <eos>, want at least 2": {good, []byte("\n"), good},
		"test text: line 3: byte 0xff is no UTF-8":             {good, good, []byte("a\r\nb\nc \xff\n")},
		"test text: 268435457 bytes, want at most 268435456":   {good, good, make([]byte, MaxFile+1)},
	} {
		_, err := Parse(parts[0], parts[1], parts[2])
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// FuzzParse checks that any bytes are read or refused, and that what was read is what the
// words say, read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a b\n\nc", "\r\r\n <eos>", "\xff", "\u2028\x85"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := Parse(content, content, []byte("a\n"))
		if err != nil {
			return
		}
		if !slices.Equal(c.Train, c.Valid) || c.Words[c.Train[len(c.Train)-1]] != EndOfSentence {
			t.Fatalf("%q is read as %q and %q", content, said(c, c.Train), said(c, c.Valid))
		}
		var lines []byte
		for _, w := range c.Train {
			if c.Words[w] == EndOfSentence {
				lines = append(lines, '\n')
			} else {
				lines = append(append(lines, c.Words[w]...), ' ')
			}
		}
		again, err := Parse(lines, lines, []byte("a\n"))
		if err != nil || !slices.Equal(again.Words, c.Words) || !slices.Equal(again.Train, c.Train) {
			t.Fatalf("%q is read as %q, and that as %q", content, said(c, c.Train), said(again, again.Train))
		}
		if again.Source.Digest != c.Source.Digest {
			t.Fatalf("%q: another digest", content)
		}
	})
}

func write3(t *testing.T, dir string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("word ", i+1)+name+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if at, err := Locate(dir); at != "" || err != nil {
		t.Errorf("an empty folder has a text at %q, %v", at, err)
	}
	if _, err := Open(context.Background(), dir); !errors.Is(err, ErrNoText) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Open(context.Background(), filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	write3(t, filepath.Join(dir, "data"), "ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")
	c, err := Open(context.Background(), dir) // in the folder data
	if err != nil {
		t.Fatal(err)
	}
	if got := said(c, c.Test); got != "word word word ptb.test.txt <eos>" || c.Source.Kind != KindText {
		t.Errorf("read %q of kind %s", got, c.Source.Kind)
	}
	write3(t, dir, "train.txt", "valid.txt")
	if _, err := Open(context.Background(), dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "test.txt") {
		t.Errorf("a file is missing: %v", err)
	}
	if at, err := Locate(filepath.Join(dir, "train.txt")); at != "" || err != nil {
		t.Errorf("a file is a folder at %q, %v", at, err)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(done, filepath.Join(dir, "data")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Penn Treebank is known by its counts; one word less is another text.
func TestKind(t *testing.T) {
	c := Corpus{Words: make([]string, 10_000), Train: make([]int32, 929_589), Valid: make([]int32, 73_760), Test: make([]int32, 82_430)}
	if k := newCorpus(c).Source.Kind; k != KindPTB {
		t.Errorf("kind %s, want %s", k, KindPTB)
	}
	c.Test = c.Test[1:]
	if k := newCorpus(c).Source.Kind; k != KindText {
		t.Errorf("kind %s, want %s", k, KindText)
	}
}

func TestUnigram(t *testing.T) {
	c, err := Parse([]byte("a a a a a"), []byte("a b"), []byte("a a"))
	if err != nil {
		t.Fatal(err)
	}
	// Of 6 words 5 are a and 1 is the end; b is new: 6/9, 2/9 and 1/9.
	want := 9.0 / 6 * 9 / 1 * 9 / 2
	if got := c.Unigram(c.Valid); got*got*got-want > 1e-9*want || want-got*got*got > 1e-9*want {
		t.Errorf("perplexity %v, want the third root of %v", got, want)
	}
	if d := cmp.Diff([]int{8, 3, 1}, c.Counts()); d != "" {
		t.Errorf("counts (-want +got):\n%s", d)
	}
}

// Columns follow one another in the sequence; windows that follow one another predict every
// row but the first, each once.
func TestColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sequence := rapid.SliceOfN(rapid.Int32Range(0, 9), 0, 80).Draw(t, "sequence")
		batch := rapid.IntRange(1, 9).Draw(t, "batch")
		c, err := NewColumns(sequence, batch)
		if len(sequence)/batch < 2 {
			if err == nil {
				t.Fatal("too few rows are no error")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Rows {
			for b, w := range c.Row(i) {
				if w != sequence[b*c.Rows+i] {
					t.Fatalf("row %d, column %d is %d", i, b, w)
				}
			}
		}
		length := rapid.IntRange(1, 9).Draw(t, "length")
		var read, predicted []int32
		for i := 0; ; i += length {
			inputs, targets := c.Window(i, length)
			read, predicted = append(read, inputs...), append(predicted, targets...)
			if len(inputs) < length*batch {
				break
			}
		}
		if !slices.Equal(read, c.tokens[:len(c.tokens)-batch]) || !slices.Equal(predicted, c.tokens[batch:]) {
			t.Fatalf("windows of %d read %v and predict %v of %v", length, read, predicted, c.tokens)
		}
	})
	if _, err := NewColumns(make([]int32, 8), 0); err == nil {
		t.Error("no columns are no error")
	}
}

// The beginning of a corpus has its vocabulary and a digest of its own; where nothing is cut it
// is the corpus itself.
func TestFirst(t *testing.T) {
	c := Generated(3000, 1)
	first := c.First(1000)
	if len(first.Train) != 1000 || len(first.Valid) != 100 || len(first.Test) != 100 || len(first.Words) != len(c.Words) {
		t.Errorf("%s", first.Describe())
	}
	if !slices.Equal(first.Train, c.Train[:1000]) || first.Source.Digest == c.Source.Digest || first.Source.Kind != KindGenerated {
		t.Errorf("source %+v", first.Source)
	}
	if c.First(0) != c || c.First(10000) != c {
		t.Error("a text that is not cut is another one")
	}
	want := fmt.Sprintf("%s, its first 1000 words; %d different words, 1000 to train, 100 to validate, 100 to test", c.Source.Detail, len(c.Words))
	if got := first.Describe(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
