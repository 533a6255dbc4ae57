package needcgo_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const path = "github.com/nb1shot/nb1shot/internal/needcgo"

func withoutC(args ...string) *exec.Cmd {
	c := exec.Command("go", args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	return c
}

// Without a compiler of C the build says what is needed.
func TestErrorText(t *testing.T) {
	text, err := withoutC("build", path).CombinedOutput()
	if err == nil || !strings.Contains(string(text), "install gcc") || !strings.Contains(string(text), "CGO_ENABLED=1") {
		t.Errorf("error %v with the text\n%s", err, text)
	}
}

// No package that is partly in C is compiled before this one has said so.
func TestComesFirst(t *testing.T) {
	text, err := withoutC("list", "-e", "-deps", "-json=ImportPath,Imports,IgnoredGoFiles,Dir", "../../cmd/nb1shot").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for decoder := json.NewDecoder(strings.NewReader(string(text))); decoder.More(); {
		var p struct {
			ImportPath, Dir         string
			Imports, IgnoredGoFiles []string
		}
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		inC := slices.ContainsFunc(p.IgnoredGoFiles, func(name string) bool {
			text, err := os.ReadFile(p.Dir + "/" + name)
			return err == nil && strings.Contains(string(text), "\nimport \"C\"\n")
		})
		if !inC || !strings.HasPrefix(p.ImportPath, "github.com/nb1shot/") {
			continue
		}
		if found++; !slices.Contains(p.Imports, path) {
			t.Errorf("%s does not import %s in a file without C", p.ImportPath, path)
		}
	}
	if found < 4 {
		t.Errorf("%d packages are partly in C, want at least 4", found)
	}
}
