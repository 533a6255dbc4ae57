package command

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/tfrecord"
)

// A file of another kind is called what it is, with what to do about it, wherever a
// table, its source or images are wanted.
func TestWrongFile(t *testing.T) {
	t.Setenv("NB1SHOT_HOME", t.TempDir())
	tar := append(append([]byte("a"), make([]byte, 256)...), "ustar\x0000"...)
	zipped := func(content string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(content))
		z.Close()
		return b.String()
	}
	const html = "<!DOCTYPE html>\n<html><head><title>404 Not Found</title>"
	const pull = "a pointer of Git LFS"
	for _, c := range []struct {
		name, content string
		says, do      string // about it, whatever was wanted
	}{
		{"page.tfrecord", html, "an HTML page", "fetch it again"},
		{"page.tar.gz", "\n<html lang=en>", "an HTML page", "fetch it again"},
		{"empty", "", "an empty file", "fetch it again"},
		{"cell.pkl", "\x80\x04\x95\x00\x00\x00", "a Python pickle", "give the file that it was made from"},
		{"file.zip", "PK\x03\x04\x14\x00", "a zip archive", "unpack it"},
		{"file.xz", "\xfd7zXZ\x00\x00", "an xz file", "unpack it"},
		{"file.tar", string(tar), "a tar archive", "unpack it"},
		{"file.bz2", "BZh91AY&SY", "a bzip2 file", "unpack it"},
		{"lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", pull, "git lfs pull"},
		{"zeros", strings.Repeat("\x00", 1000), "a file of zeros", "fetch it again"},
		{"file.pdf", "%PDF-1.5\n", "a PDF", ""},
		{"text", "no table\n", "text", ""},
		{"file.json", `{"format": 1}`, "JSON", ""},
		{"file.tfrecord", string(tfrecord.Append(nil, []byte("[]"))), "a TFRecord file", ""},
		{"page.gz", zipped(html), "an HTML page", "fetch it again"},
		{"pickle.gz", zipped("\x80\x02}q\x00."), "a Python pickle", "give the file that it was made from"},
		{"tar.tar.gz", zipped(string(tar)), "a tar archive", "unpack it"},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		isZipped := strings.HasPrefix(c.content, "\x1f\x8b")
		for command, want := range map[string]string{
			"table import FILE -o " + filepath.Join(t.TempDir(), "table"): "want NAS-Bench-101 as a TFRecord file",
			"table info --table FILE":                                     "want a table of NAS-Bench-101",
			"query 00000000000000000000000000000000 --table FILE":         "want a table of NAS-Bench-101",
			"data info FILE": "want an archive of CIFAR-10",
			"run --space 2 --algo darts --preset smoke --table surrogate --data FILE": "want an archive of CIFAR-10",
		} {
			says, do := c.says, c.do
			switch importing := strings.HasPrefix(command, "table import"); {
			case importing && c.says == "text":
				says, want = "line 1: the header names no column", "neither NAS-Bench-101 records nor a means-only TSV"
			case importing && c.says == "a TFRecord file":
				says, want = "corrupt at byte 0", "record is an array of 0 elements"
			case !importing && isZipped && strings.Contains(want, "table"):
				says, do = "a gzip file", "unpack it"
			case isZipped && !importing:
				continue // an archive, whose content is judged: TestOpenCIFARErrors
			}
			var stdout, stderr bytes.Buffer
			args := []string{"nb1shot"}
			for _, arg := range strings.Fields(command) {
				args = append(args, strings.Replace(arg, "FILE", path, 1))
			}
			code := run(args, &stdout, &stderr)
			text := stderr.String()
			for _, part := range []string{says, do, want, path} {
				if code != 1 || !strings.Contains(text, part) {
					t.Errorf("%s of %s: exit code %d, %s; want %q", command, c.name, code, text, part)
				}
			}
		}
	}
	folder := t.TempDir()
	for _, command := range []string{"table import FILE", "table info --table FILE"} {
		var stdout, stderr bytes.Buffer
		if code := run(append([]string{"nb1shot"}, strings.Fields(strings.Replace(command, "FILE", folder, 1))...), &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "a folder: want a regular file") {
			t.Errorf("%s: exit code %d, %s", command, code, &stderr)
		}
	}
}
