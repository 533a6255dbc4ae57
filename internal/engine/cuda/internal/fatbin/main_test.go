package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The kernels that are committed must be those of the sources that are.
func TestKernelsAreOfTheseSources(t *testing.T) {
	if err := check(kernels); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	write := func(file, text string) {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		change func(dir string)
		want   string // part of the error
	}{
		{"nothing", func(string) {}, ""},
		{"a file that is not included", func(dir string) { write(dir+"/k/other.h", "x") }, ""},
		{"the kernels", func(dir string) { write(dir+"/k/kernels.cu", "#include \"a.h\"\n\n") }, "go generate"},
		{"what an included file includes", func(dir string) { write(dir+"/b.h", "other") }, "go generate"},
		{"the binary", func(dir string) { write(dir+"/k/kernels.fatbin", "other") }, "go generate"},
		{"the record", func(dir string) { write(dir+"/k/kernels.sum", "") }, "go generate"},
		{"an included file is missing", func(dir string) { os.Remove(dir + "/b.h") }, "b.h"},
		{"no binary", func(dir string) { os.Remove(dir + "/k/kernels.fatbin") }, "kernels.fatbin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(dir+"/k/kernels.cu", "#include <stdint.h>\n#include \"a.h\"\n")
			write(dir+"/k/a.h", "  # include \"../b.h\"\n")
			write(dir+"/b.h", "#include \"k/a.h\"\n")
			write(dir+"/k/kernels.fatbin", "binary")
			sources, err := digest(dir + "/k")
			if err != nil {
				t.Fatal(err)
			}
			write(dir+"/k/kernels.sum", record(sources, []byte("binary")))
			c.change(dir)
			err = check(dir + "/k")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
