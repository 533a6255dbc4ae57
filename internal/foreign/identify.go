package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/nb1shot/nb1shot/internal/tfrecord"
)

// Mistaken is the error about a file of the given first bytes where want was
// wanted: it says what the file is and what to do about it, but not its path.
func Mistaken(start []byte, want string) error {
	k := identify(start)
	return fmt.Errorf("%s, want %s%s", k.what, want, k.remedy)
}

// Describe says what is at path, for the message about a file that is not what was
// wanted: "an HTML page", "a folder". It is "" where nothing can be read there.
func Describe(path string) string {
	f, err := Open(context.Background(), path, unbounded)
	if err != nil {
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return special(info.Mode())
		}
		return ""
	}
	defer f.Close()
	start := make([]byte, PrefixSize)
	n, err := io.ReadFull(f, start)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	return Identify(start[:n])
}

// PrefixSize is how many of a file's first bytes Identify looks at.
const PrefixSize = 512

// Identify says what a file is whose first bytes, PrefixSize or all there are, are
// given: "an HTML page", "a zip archive", "text".
func Identify(start []byte) string { return identify(start).what }

// What Identify says of the files that a program may want, by the first bytes alone.
const (
	TFRecord = "a TFRecord file"
	Text     = "text"
	Binary   = "a binary file" // of none of the kinds that are known
)

// kind is a kind of file.
type kind struct{ what, remedy string }

// What to do about a file of a kind that was not wanted; "" where nobody knows.
const (
	fetchAgain = ": what a server sends in place of a file; fetch it again"
	cutOff     = ": its transfer was cut off; fetch it again"
	unpack     = ": unpack it, and give the file that is in it"
	dangerous  = ": a pickle is a program of Python, which nb1shot never runs; give the file that it was made from"
	pull       = ": git lfs pull gets it"
)

// magics are how files begin.
var magics = []struct {
	start string
	kind
}{
	{"SQLite format 3\x00", kind{"a SQLite database", ""}},
	{"\x1f\x8b", kind{"a gzip file", unpack}},
	{"\xfd7zXZ\x00", kind{"an xz file", unpack}},
	{"BZh", kind{"a bzip2 file", unpack}},
	{"\x28\xb5\x2f\xfd", kind{"a Zstandard file", unpack}},
	{"7z\xbc\xaf\x27\x1c", kind{"a 7-Zip archive", unpack}},
	{"Rar!\x1a\x07", kind{"a RAR archive", unpack}},
	{"PK\x03\x04", kind{"a zip archive", unpack}},
	{"PK\x05\x06", kind{"an empty zip archive", cutOff}},
	{"\x80\x02", kind{"a Python pickle", dangerous}},
	{"\x80\x03", kind{"a Python pickle", dangerous}},
	{"\x80\x04", kind{"a Python pickle", dangerous}},
	{"\x80\x05", kind{"a Python pickle", dangerous}},
	{"\x93NUMPY", kind{"a NumPy array", ""}},
	{"\x89HDF\r\n\x1a\n", kind{"an HDF5 file", ""}},
	{"PAR1", kind{"a Parquet file", ""}},
	{"ARROW1", kind{"an Arrow file", ""}},
	{"nb1state", kind{"a checkpoint of nb1shot", ""}},
	{"nb1shot surrogate", kind{"a surrogate of nb1shot", ""}},
	{"MATLAB 5.0 MAT-file", kind{"a MAT-file of MATLAB", ""}},
	{"MATLAB 7.3 MAT-file", kind{"a MAT-file of MATLAB 7.3", ""}},
	{"%PDF-", kind{"a PDF", ""}},
	{"\x89PNG\r\n\x1a\n", kind{"a PNG image", ""}},
	{"\xff\xd8\xff", kind{"a JPEG image", ""}},
	{"GIF8", kind{"a GIF image", ""}},
	{"\x7fELF", kind{"a program", ""}},
	{"version https://git-lfs.github.com/", kind{"a pointer of Git LFS", pull}},
}

func identify(start []byte) kind {
	if len(start) == 0 {
		return kind{"an empty file", cutOff}
	}
	if tfrecord.Starts(start) { // the only one with a checksum, and its length may look like others
		return kind{TFRecord, ""}
	}
	for _, m := range magics {
		if bytes.HasPrefix(start, []byte(m.start)) {
			return m.kind
		}
	}
	const tarMagic = 257
	switch {
	case len(start) > tarMagic && bytes.HasPrefix(start[tarMagic:], []byte("ustar")):
		return kind{"a tar archive", unpack}
	case bytes.Count(start, []byte{0}) == len(start):
		return kind{"a file of zeros", cutOff}
	}
	text := bytes.TrimPrefix(start, []byte("\xef\xbb\xbf"))
	if !isText(text) {
		return kind{Binary, ""}
	}
	text = bytes.ToLower(bytes.TrimSpace(text))
	begins := func(start string) bool { return bytes.HasPrefix(text, []byte(start)) }
	switch {
	case begins("<") && bytes.Contains(text, []byte("<html")), begins("<!doctype html"), begins("<head"), begins("<body"):
		return kind{"an HTML page", fetchAgain}
	case begins("<"):
		return kind{"an XML file", fetchAgain}
	case begins("{"), begins("["):
		return kind{"JSON", ""}
	case len(text) == 0:
		return kind{"a file of blanks", ""}
	}
	return kind{Text, ""}
}

// isText tells whether the start of a file is UTF-8 without control characters, as
// far as its end, which may be within a character.
func isText(start []byte) bool {
	for i := 0; i < len(start); {
		r, n := utf8.DecodeRune(start[i:])
		if r == utf8.RuneError && n == 1 && utf8.FullRune(start[i:]) || r < ' ' && !strings.ContainsRune("\t\n\v\f\r", r) {
			return false
		}
		i += n
	}
	return true
}
