package foreign_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/internal/tfrecord"
)

// soon fails a test that an open or a read keeps waiting.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: no answer", what)
	}
}

// What is no regular file is refused at once, by name and through a link.
func TestOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := net.Listen("unix", socket); err == nil {
		defer l.Close()
	}
	for path, says := range map[string]string{
		pipe: "a named pipe", socket: "a socket", dir: "a folder", "/dev/zero": "a device", "/dev/null": "a device",
	} {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{path, link} {
			soon(t, name, func() {
				_, err := foreign.ReadFile(name, 10)
				if !errors.Is(err, foreign.ErrNotRegular) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), name) {
					t.Errorf("ReadFile: %v, want %s", err, says)
				}
				_, err = foreign.ReadFS(foreign.Dir(filepath.Dir(name)), filepath.Base(name), 10)
				if !errors.Is(err, foreign.ErrNotRegular) {
					t.Errorf("ReadFS: %v", err)
				}
				if got := foreign.Describe(name); got != says {
					t.Errorf("%s is %q, want %q", name, got, says)
				}
			})
		}
	}
}

// A file may have as many bytes as its bound, and not one more.
func TestBound(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for max, want := range map[int64]error{9: foreign.ErrTooLarge, 10: nil, 1 << 40: nil} {
		for what, read := range map[string]func() ([]byte, error){
			"ReadFile": func() ([]byte, error) { return foreign.ReadFile(path, max) },
			"ReadFS":   func() ([]byte, error) { return foreign.ReadFS(foreign.Dir(dir), "file", max) },
			"ReadFS of others": func() ([]byte, error) {
				return foreign.ReadFS(fstest.MapFS{"file": {Data: []byte("0123456789")}}, "file", max)
			},
			"ReadAll": func() ([]byte, error) { return foreign.ReadAll(strings.NewReader("0123456789"), max) },
		} {
			data, err := read()
			if !errors.Is(err, want) || want == nil && string(data) != "0123456789" {
				t.Errorf("%s, at most %d: %q, %v", what, max, data, err)
			}
		}
	}
	// What grows after it was opened, and what claims no size at all.
	f, err := foreign.Open(context.Background(), path, 12)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 13), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(f); !errors.Is(err, foreign.ErrTooLarge) {
		t.Errorf("a file that grew: %d bytes, %v", len(data), err)
	}
	if data, err := foreign.ReadFile("/proc/self/maps", 100); !errors.Is(err, foreign.ErrTooLarge) {
		t.Errorf("a file that claims no size: %d bytes, %v", len(data), err)
	}
	if _, err := foreign.ReadFile(filepath.Join(dir, "none"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f, err := foreign.Open(ctx, path, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 4)
	if n, err := f.Read(p); n != 4 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	cancel()
	if n, err := f.Read(p); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %d, %v", n, err)
	}
}

func TestIdentify(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte("text"))
	z.Close()
	tar := append(append(make([]byte, 257), "ustar\x0000"...), make([]byte, 248)...)
	tar[0] = 'a'
	for _, c := range []struct{ start, want string }{
		{"", "an empty file"},
		{"<!DOCTYPE html><title>404", "an HTML page"},
		{"\xef\xbb\xbf \n<html lang=de>", "an HTML page"},
		{`<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C"><html>`, "an HTML page"},
		{`<?xml version="1.0"?><Error><Code>AccessDenied`, "an XML file"},
		{"PK\x03\x04\x14", "a zip archive"},
		{"\xfd7zXZ\x00\x00", "an xz file"},
		{"\x80\x04\x95\x10", "a Python pickle"},
		{"\x80\x02}q\x00", "a Python pickle"},
		{"SQLite format 3\x00\x10", "a SQLite database"},
		{zipped.String(), "a gzip file"},
		{string(tar), "a tar archive"},
		{string(tfrecord.Append(nil, []byte("[]"))), "a TFRecord file"},
		{string(tfrecord.Append(nil, make([]byte, 0x480))), "a TFRecord file"}, // of the first bytes of a pickle
		{`{"format": 1}`, "JSON"},
		{"hash\tvertices\n", "text"},
		{"caf\xc3\xa9", "text"},
		{strings.Repeat("x", foreign.PrefixSize-1) + "\xc3", "text"}, // cut within a character
		{"caf\xe9 au lait", "a binary file"},
		{"\x00\x00\x00\x00", "a file of zeros"},
		{"\x01\x02\x03", "a binary file"},
		{"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"},
	} {
		if got := foreign.Identify([]byte(c.start)); got != c.want {
			t.Errorf("%.30q is %q, want %q", c.start, got, c.want)
		}
	}
}
