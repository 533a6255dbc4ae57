package command

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// lineOf finds command lines in texts and sources, up to what ends them there.
var lineOf = regexp.MustCompile("\\bnb1shot((?: +[^ `\"'|;&#<>()\\n]+|'[^'\\n]*')+)")

// Whoever shows a command line, be it a document, a help text, a hint or a script, shows
// commands and options that there are, by the names that help shows.
func TestShownCommandLines(t *testing.T) {
	app := newApp(nil, nil)
	lines, documents, sources := 0, 0, 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "testdata" || name == ".git" || name == "runs"):
			return fs.SkipDir
		case d.IsDir(), strings.HasSuffix(name, "_test.go"):
			return nil
		case strings.HasSuffix(name, ".md"):
			documents++
		case strings.HasSuffix(name, ".go"):
			sources++
		case name != "Makefile" && name != "run" && !slices.Contains([]string{".sh", ".yml", ".py"}, filepath.Ext(name)):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range lineOf.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\\\n", " "), -1) {
			if fault := faultOfLine(m[1], app); fault != "" {
				t.Errorf("%s: nb1shot%s: %s", path, m[1], fault)
			} else if strings.Contains(m[1], " -") {
				lines++
			}
		}
		return nil
	})
	if err != nil || documents < 25 || sources < 150 || lines < 90 {
		t.Errorf("%d command lines with options in %d documents and %d sources: %v", lines, documents, sources, err)
	}
}

// faultOfLine names the first option of a command line that help does not show.
func faultOfLine(line string, app *cli.App) string {
	rest, _, flags := descend(app, strings.Fields(line))
	for i, word := range rest {
		if word == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.TrimRight(word, ".,:"), "=")
		if !strings.HasPrefix(name, "-") || strings.Trim(name, "-") == "" || i > 0 && takesValue(flags, rest[i-1]) {
			continue
		}
		shown := []string{"--help", "-h", "--version"}
		for _, f := range flags {
			if visible(f) {
				for _, n := range shownNames(f.Names()) {
					shown = append(shown, dashes(n), "--"+n) // package flag takes two dashes before one letter too
				}
			}
		}
		if !slices.Contains(shown, name) {
			return "no option " + name
		}
	}
	return ""
}

func TestFaultOfLine(t *testing.T) {
	app := newApp(nil, nil)
	for line, want := range map[string]string{
		" run --space 2 --algo darts -o runs": "",
		" query --budget 4 --file x.json":     "",
		" query --epochs 4":                   "no option --epochs",
		" table import x --out y":             "no option --out",
		" sweep --seed-list 0-5":              "no option --seed-list",
		" sweep --set -x --seeds 3":           "",
		" run --spaces=1.":                    "no option --spaces",
		" tables are what it needs":           "",
		" --version":                          "",
		" version -- --nothing":               "",
	} {
		if got := faultOfLine(line, app); got != want {
			t.Errorf("nb1shot%s: %q, want %q", line, got, want)
		}
	}
}
