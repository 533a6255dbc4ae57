package foreign

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nb1shot/nb1shot/internal/tfrecord"
)

// Describe says what is at path, for the message about a file that is not what was
// wanted: "an HTML page", "a folder". It is "" where nothing can be read there.
func Describe(path string) string {
	f, err := Open(context.Background(), path, 1<<63-2)
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

// magics are how files begin, the longer ones before those they contain.
var magics = []struct{ start, what string }{
	{"SQLite format 3\x00", "a SQLite database"},
	{"\x1f\x8b", "a gzip file"},
	{"\xfd7zXZ\x00", "an xz file"},
	{"BZh", "a bzip2 file"},
	{"\x28\xb5\x2f\xfd", "a Zstandard file"},
	{"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"},
	{"Rar!\x1a\x07", "a RAR archive"},
	{"PK\x03\x04", "a zip archive"},
	{"PK\x05\x06", "an empty zip archive"},
	{"\x80\x02", "a Python pickle"},
	{"\x80\x03", "a Python pickle"},
	{"\x80\x04", "a Python pickle"},
	{"\x80\x05", "a Python pickle"},
	{"\x93NUMPY", "a NumPy array"},
	{"\x89HDF\r\n\x1a\n", "an HDF5 file"},
	{"PAR1", "a Parquet file"},
	{"ARROW1", "an Arrow file"},
	{"nb1state", "a checkpoint of nb1shot"},
	{"%PDF-", "a PDF"},
	{"\x89PNG\r\n\x1a\n", "a PNG image"},
	{"\xff\xd8\xff", "a JPEG image"},
	{"GIF8", "a GIF image"},
	{"\x7fELF", "a program"},
	{"version https://git-lfs.github.com/", "a pointer of Git LFS, not the file itself"},
}

// Identify says what a file is whose first bytes, PrefixSize or all there are, are
// given: "an HTML page", "a zip archive", "text".
func Identify(start []byte) string {
	if len(start) == 0 {
		return "an empty file"
	}
	for _, m := range magics {
		if bytes.HasPrefix(start, []byte(m.start)) {
			return m.what
		}
	}
	if len(start) >= 262 && string(start[257:262]) == "ustar" {
		return "a tar archive"
	}
	if tfrecord.Starts(start) {
		return "a TFRecord file"
	}
	if zeros := bytes.Count(start, []byte{0}); zeros == len(start) {
		return "a file of zeros"
	}
	text := bytes.TrimPrefix(start, []byte("\xef\xbb\xbf"))
	if bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\v\f\r", r) }) || !validStart(text) {
		return "a binary file"
	}
	lower := bytes.ToLower(bytes.TrimSpace(text))
	switch {
	case hasAnyPrefix(lower, "<!doctype html", "<html", "<head", "<body"):
		return "an HTML page"
	case hasAnyPrefix(lower, "<?xml") && bytes.Contains(lower, []byte("<html")):
		return "an HTML page"
	case hasAnyPrefix(lower, "<"):
		return "an XML file"
	case hasAnyPrefix(lower, "{", "["):
		return "JSON"
	case len(lower) == 0:
		return "a file of blanks"
	}
	return "text"
}

// validStart tells whether text is UTF-8 as far as its end, which may be within a
// character.
func validStart(text []byte) bool {
	for range utf8.UTFMax {
		if utf8.Valid(text) {
			return true
		}
		if len(text) < PrefixSize-utf8.UTFMax {
			return false
		}
		text = text[:len(text)-1]
	}
	return false
}

func hasAnyPrefix(text []byte, starts ...string) bool {
	return slices.ContainsFunc(starts, func(start string) bool { return bytes.HasPrefix(text, []byte(start)) })
}
