package fault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nb1shot/nb1shot/internal/fault"
)

func TestGroup(t *testing.T) {
	var g fault.Group
	var ended atomic.Int64
	for i := range 10 {
		g.Go(func() {
			defer ended.Add(1)
			if i == 7 {
				library("seven")
			}
		})
	}
	err := fault.Try(g.Wait)
	if err == nil || err.Value != "seven" || !strings.Contains(err.Stack[0], "fault_test.library") {
		t.Errorf("waiting panicked with %v", err)
	}
	if n := ended.Load(); n != 10 {
		t.Errorf("waited for %d of 10", n)
	}
	var none fault.Group
	none.Go(func() {})
	none.Wait()
}

func TestStart(t *testing.T) {
	if err := <-fault.Start(func() {}); err != nil {
		t.Error(err)
	}
	if err := <-fault.Start(func() { library("one") }); err == nil || err.Value != "one" {
		t.Errorf("panic %v", err)
	}
}

// Nothing but this package starts goroutines, whose panics nobody else could catch.
func TestGoroutines(t *testing.T) {
	bare := map[string]bool{"sync.WaitGroup": true, "time.AfterFunc": true, "context.AfterFunc": true, "errgroup.Group": true}
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && strings.Trim(d.Name(), ".") != ""):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"), filepath.Dir(path) == filepath.Join("..", "..", "internal", "fault"):
			return nil
		}
		files++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%v: a bare go; want fault.Group or fault.Start", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if of, ok := n.X.(*ast.Ident); ok && bare[of.Name+"."+n.Sel.Name] {
					t.Errorf("%v: %s.%s; want fault.Group or fault.Start", fset.Position(n.Pos()), of.Name, n.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || files < 200 {
		t.Errorf("read %d files of the module: %v", files, err)
	}
}
