package advice_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/advice"
)

func TestNote(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "images")
	if err := os.Mkdir(there, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := advice.Path(dir, advice.Images, "a"); got != "" {
		t.Errorf("%q before anything is noted", got)
	}
	for _, n := range []struct {
		kind         advice.Kind
		digest, path string
	}{{advice.Images, "a", there}, {advice.Table, "a", filepath.Join(dir, "gone")}, {advice.Table, "b", dir}} {
		if err := advice.Note(dir, n.kind, n.digest, n.path); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []struct {
		kind         advice.Kind
		digest, path string
	}{{advice.Images, "a", there}, {advice.Images, "b", ""}, {advice.Table, "a", ""}, {advice.Table, "b", dir}} {
		if got := advice.Path(dir, want.kind, want.digest); got != want.path {
			t.Errorf("%s %s at %q, want %q", want.kind, want.digest, got, want.path)
		}
	}
	for i := range 230 { // never without bound
		if err := advice.Note(dir, advice.Images, fmt.Sprint(i), there); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, advice.File)); err != nil || strings.Count(string(text), "\n") > 220 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// What somebody else has put there is neither believed nor overwritten.
func TestForeignFile(t *testing.T) {
	for _, text := range []string{"", "no JSON", `{"format":2}`, `{"format":1,"images":{"a":"relative"}}`, `{"format":1,"images":[]}`} {
		dir := t.TempDir()
		path := filepath.Join(dir, advice.File)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := advice.Path(dir, advice.Images, "a"); got != "" {
			t.Errorf("%s: %q", text, got)
		}
		if strings.Contains(text, "relative") {
			continue
		}
		if err := advice.Note(dir, advice.Images, "b", dir); err == nil {
			t.Errorf("%q is written over", text)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}
