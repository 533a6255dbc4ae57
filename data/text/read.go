package text

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

// ErrNoText reports a folder without a token file.
var ErrNoText = errors.New("no text")

// MaxFile bounds a token file, in bytes: 50 times Penn Treebank's.
const MaxFile = 256 << 20

// fileNames are the names of the three files: those that the released code reads, and those
// that the archive has.
var fileNames = [][3]string{
	{"train.txt", "valid.txt", "test.txt"},
	{"ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"},
}

// Locate returns the folder of the token files: the folder at path, or data in it, as in
// the archive of Mikolov's examples; "" where neither has a file of training words.
func Locate(path string) (string, error) {
	dir, _, err := locate(path)
	return dir, err
}

// locate is Locate, and returns the names of the files too.
func locate(path string) (dir string, names [3]string, err error) {
	for _, dir := range []string{path, filepath.Join(path, "data")} {
		for _, names := range fileNames {
			_, err := os.Stat(filepath.Join(dir, names[0]))
			switch {
			case err == nil:
				return dir, names, nil
			case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
				return "", names, err
			}
		}
	}
	return "", names, nil
}

// Open reads the three token files of the folder that Locate finds: train.txt, valid.txt
// and test.txt, or the same with ptb. before. The error is an ErrNoText where there is none,
// and otherwise names the file, and the line where its bytes are no UTF-8. Open ends with
// the error of ctx once that is done.
func Open(ctx context.Context, path string) (*Corpus, error) {
	dir, names, err := locate(path)
	if err == nil && dir == "" {
		if _, err = os.Stat(path); err == nil {
			err = fmt.Errorf("%s: %w: want a folder with %s, %s and %s", path, ErrNoText, fileNames[0][0], fileNames[0][1], fileNames[0][2])
		}
	}
	var parts [3][]byte
	for i, name := range names {
		if err == nil {
			parts[i], err = readFile(ctx, filepath.Join(dir, name))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open text: %w", err)
	}
	c, err := Parse(parts[0], parts[1], parts[2])
	if err != nil {
		if bad := (*PartError)(nil); errors.As(err, &bad) {
			err = fmt.Errorf("%s: %w", filepath.Join(dir, names[bad.Part]), bad.Err)
		}
		return nil, fmt.Errorf("open text: %w", err)
	}
	c.Source.Detail = "from " + dir
	return c, nil
}

func readFile(ctx context.Context, path string) ([]byte, error) {
	f, err := foreign.Open(ctx, path, MaxFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// PartError reports one of the three texts of a corpus.
type PartError struct {
	Part int // 0 for the training text, 1 for validation, 2 for test
	Err  error
}

// Error implements error.
func (e *PartError) Error() string {
	return [...]string{"training", "validation", "test"}[e.Part] + " text: " + e.Err.Error()
}

// Unwrap returns the error without the name of the part.
func (e *PartError) Unwrap() error { return e.Err }

// Parse makes a corpus of the contents of its three files, as the released code does. A
// line ends in LF, CR or CR LF; the last one may lack it. Words are what white space
// separates, in the sense of Python's str.split; after those of a line follows
// EndOfSentence, so an empty line is that word alone. The texts must be UTF-8, of at most
// MaxFile bytes, and have two words each; errors are a PartError.
func Parse(train, valid, test []byte) (*Corpus, error) {
	v := vocabulary{number: map[string]int32{}}
	var sequences [3][]int32
	for i, content := range [][]byte{train, valid, test} {
		s, err := v.sequence(content)
		if err != nil {
			return nil, &PartError{i, err}
		}
		sequences[i] = s
	}
	return newCorpus(Corpus{Words: v.words, Train: sequences[0], Valid: sequences[1], Test: sequences[2]}), nil
}

// sequence returns the numbers of the words of a file.
func (v *vocabulary) sequence(content []byte) ([]int32, error) {
	if len(content) > MaxFile {
		return nil, fmt.Errorf("%d bytes, want at most %d", len(content), MaxFile)
	}
	var s []int32
	line, word := 1, 0 // number of the line; where the word began
	ended := true      // the last line has ended
	flush := func(at int) {
		if at > word {
			s = append(s, v.lookup(content[word:at]))
		}
	}
	endLine := func() {
		s = append(s, v.lookup([]byte(EndOfSentence)))
		line++
		ended = true
	}
	for i := 0; i < len(content); {
		r, n := utf8.DecodeRune(content[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return nil, fmt.Errorf("line %d: byte 0x%02x is no UTF-8", line, content[i])
		case r == '\r' && i+1 < len(content) && content[i+1] == '\n':
			n = 2
			fallthrough
		case r == '\n' || r == '\r':
			flush(i)
			endLine()
			word = i + n
		case isSpace(r):
			flush(i)
			word, ended = i+n, false
		default:
			ended = false
		}
		i += n
	}
	flush(len(content))
	if !ended {
		endLine()
	}
	if len(s) < 2 {
		return nil, fmt.Errorf("%d words with %s, want at least 2", len(s), EndOfSentence)
	}
	return s, nil
}

// isSpace tells what Python's str.split separates words at: also the separators of
// information, which Go does not count among white space.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
