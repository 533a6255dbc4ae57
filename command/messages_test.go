package command

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Errors reach people, who know commands and files but no packages.
func TestErrorsNameNoPackage(t *testing.T) {
	files := token.NewFileSet()
	var parsed []*ast.File
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(files, path, nil, 0)
		parsed = append(parsed, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var packages []string
	for _, f := range parsed {
		packages = append(packages, f.Name.Name)
	}
	literals := 0
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			if builtin, ok := call.Fun.(*ast.Ident); ok && builtin.Name == "panic" {
				return false // speaks to programmers
			}
			function, ok := call.Fun.(*ast.SelectorExpr)
			literal, ok2 := call.Args[0].(*ast.BasicLit)
			if !ok || !ok2 || literal.Kind != token.STRING || !slices.Contains([]string{"Errorf", "New", "Sprintf"}, function.Sel.Name) {
				return true
			}
			literals++
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			for part := range strings.SplitSeq(text, ": ") {
				if part != text && slices.Contains(packages, part) {
					t.Errorf("%v: %q begins with the name of a package", files.Position(literal.Pos()), text)
				}
			}
			return true
		})
	}
	if literals < 500 {
		t.Errorf("%d texts looked at, want those of the whole program", literals)
	}
}

// The errors of packages that are not ours lose the names of these.
func TestMessage(t *testing.T) {
	_, number := strconv.ParseFloat("x", 64)
	for want, err := range map[string]error{
		`parsing "x": invalid syntax`:            number,
		`a.json: unknown field "b"`:              errors.New(`a.json: json: unknown field "b"`),
		`t: row 3: line 1: wrong`:                errors.New("t: row 3: toml: line 1: wrong"),
		`open x: invalid header; y: no tar file`: errors.New("gzip: open x: gzip: invalid header\ny: archive/tar: no tar file"),
		`read /json: it ends`:                    fmt.Errorf("read /json: %w", errors.New("it ends")),
	} {
		if got := message(err); got != want {
			t.Errorf("message(%q) = %q, want %q", err, got, want)
		}
	}
}
