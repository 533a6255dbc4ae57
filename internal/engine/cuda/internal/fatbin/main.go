// Fatbin compiles the CUDA kernels for the GPUs that the engine supports: by nvcc,
// into kernels.fatbin, which is committed, so that nobody needs nvcc to build
// the engine. Beside it kernels.sum says what it was made of; a test compares that
// with the sources.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

//go:generate go run .

// kernels is the folder of kernels.cu, kernels.fatbin and kernels.sum, as seen from
// this package's.
const kernels = "../../kernels"

// release is that of the CUDA toolkit: each makes other code of the same sources.
const release = "11.8"

// flags of nvcc that the code depends on. A100 and H100 get machine code; PTX is for
// what comes after them.
var flags = []string{
	"-fatbin", "-O3",
	"-gencode=arch=compute_80,code=sm_80",
	"-gencode=arch=compute_90,code=sm_90",
	"-gencode=arch=compute_80,code=compute_80",
}

func main() {
	if err := generate(kernels); err != nil {
		fmt.Fprintln(os.Stderr, "fatbin:", err)
		os.Exit(1)
	}
}

// generate compiles the kernels of a folder.
func generate(dir string) error {
	sources, err := digest(dir)
	if err != nil {
		return err
	}
	version, err := exec.Command("nvcc", "--version").Output()
	if err != nil {
		return fmt.Errorf("nvcc: %w; tools/cuda/fetch DIR nvcc gets it", err)
	}
	if !bytes.Contains(version, []byte("release "+release+",")) {
		return fmt.Errorf("nvcc is not of release %s:\n%s", release, version)
	}
	host, err := exec.LookPath("g++")
	if err != nil {
		return fmt.Errorf("nvcc needs g++: %w", err)
	}
	temporary, err := os.MkdirTemp("", "fatbin")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	output := filepath.Join(temporary, "kernels.fatbin")
	nvcc := exec.Command("nvcc", append(slices.Clone(flags), "-ccbin", host, "-allow-unsupported-compiler", "-o", output, "kernels.cu")...)
	nvcc.Dir, nvcc.Stdout, nvcc.Stderr = dir, os.Stderr, os.Stderr
	if err := nvcc.Run(); err != nil {
		return fmt.Errorf("nvcc: %w", err)
	}
	binary, err := os.ReadFile(output)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "kernels.fatbin"), binary, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kernels.sum"), []byte(record(sources, binary)), 0o644)
}

// record is the content of kernels.sum.
func record(sources string, binary []byte) string {
	return fmt.Sprintf("%s  sources and flags\n%x  kernels.fatbin\n", sources, sha256.Sum256(binary))
}

// check returns nil if the kernels of a folder were compiled from what is there.
func check(dir string) error {
	sources, err := digest(dir)
	if err != nil {
		return err
	}
	binary, err := os.ReadFile(filepath.Join(dir, "kernels.fatbin"))
	if err != nil {
		return err
	}
	recorded, err := os.ReadFile(filepath.Join(dir, "kernels.sum"))
	if err != nil {
		return err
	}
	if record(sources, binary) != string(recorded) {
		return errors.New("kernels.fatbin is not what the sources make: run go generate ./internal/engine/cuda/... (docs/cuda.md)")
	}
	return nil
}

// digest is the SHA-256, in hexadecimal, of all that the code is made of.
func digest(dir string) (string, error) {
	files, err := included(filepath.Join(dir, "kernels.cu"), nil)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %q\n", release, flags)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", filepath.ToSlash(name), len(text), text)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

var include = regexp.MustCompile(`(?m)^[ \t]*#[ \t]*include[ \t]*"([^"]+)"`)

// included adds a file, and what it includes by relative paths, to the files.
func included(file string, files []string) ([]string, error) {
	if slices.Contains(files, file) {
		return files, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	files = append(files, file)
	for _, m := range include.FindAllStringSubmatch(string(text), -1) {
		files, err = included(filepath.Join(filepath.Dir(file), m[1]), files)
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}
