// Golden makes the archive of golden cases that is embedded in nb1shot.
//
//	go run ./tools/golden -o internal/golden/golden.zip DIR...
//
// Each DIR has a folder per case, as `nb1shot verify --golden` reads it. What is left out
// and what is shortened is said on standard error.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/nb1shot/nb1shot/internal/verify"
)

func main() {
	out := flag.String("o", "", "`FILE` to write")
	flag.Parse()
	if err := pack(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "golden:", err)
		os.Exit(1)
	}
}

func pack(out string, dirs []string) error {
	if out == "" || len(dirs) == 0 {
		return errors.New("want -o FILE and the folders of golden data")
	}
	var sources []verify.Source
	for _, dir := range dirs {
		sources = append(sources, verify.Folder(dir))
	}
	var archive bytes.Buffer
	if err := verify.Pack(&archive, os.Stderr, sources...); err != nil {
		return err
	}
	return os.WriteFile(out, archive.Bytes(), 0o644)
}
