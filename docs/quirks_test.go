// Package docs_test holds the documents against the code that they describe.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/retrain"
)

// A row of quirks.md: the number, and the columns of settings and places.
var row = regexp.MustCompile(`(?m)^\| ([QC]\d+b?) \|[^|]*\|[^|]*\|([^|]*)\| ([^|]*) \|$`)

// C alone with a number may be something else, such as a number of channels.
var (
	quirk  = regexp.MustCompile(`\b(Q\d+b?|C\d+)\b`)
	ofQ    = regexp.MustCompile(`\bQ\d+b?\b`)
	listed = regexp.MustCompile(`[qQ]uirks? (?:[QC]\d+b?(?:, | and )?)+`)
)

// cited finds the numbers that a text mentions.
func cited(text string) []string {
	found := ofQ.FindAllString(text, -1)
	for _, list := range listed.FindAllString(text, -1) {
		found = append(found, quirk.FindAllString(list, -1)...)
	}
	return found
}

// Every quirk that is cited anywhere stands in quirks.md, and every quirk there is
// cited in the file that it names.
func TestQuirks(t *testing.T) {
	text, err := os.ReadFile("quirks.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		number, place := m[1], m[3]
		if described[number] {
			t.Errorf("%s stands in two rows of quirks.md", number)
		}
		described[number] = true
		code, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(place)))
		if err != nil {
			t.Errorf("%s: %v", number, err)
		} else if !slices.Contains(cited(string(code)), number) {
			t.Errorf("quirks.md says that %s is in %s, which does not cite it", number, place)
		}
	}
	if len(described) < 30 {
		t.Fatalf("%d rows found in quirks.md: has the table another form?", len(described))
	}

	err = filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != ".." {
			return fs.SkipDir
		}
		if !slices.Contains([]string{".go", ".md", ".txt"}, filepath.Ext(path)) || entry.Name() == "quirks.md" {
			return nil
		}
		code, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, number := range cited(string(code)) {
			if !described[number] {
				t.Errorf("%s cites %s, which has no row in quirks.md", path, number)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The settings that quirks.md names exist.
func TestQuirkSettings(t *testing.T) {
	text, err := os.ReadFile("quirks.md")
	if err != nil {
		t.Fatal(err)
	}
	known := retrain.SettingNames()
	for _, name := range algorithms.Names() {
		known = append(known, benchmark.Settable(name)...)
	}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(known, name[1]) {
				t.Errorf("%s: neither an algorithm nor retrain has the setting %s", m[1], name[1])
			}
		}
	}
}
