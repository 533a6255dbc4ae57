package algorithms_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/spaces"
)

func TestNames(t *testing.T) {
	for _, name := range algorithms.Names() {
		d, err := algorithms.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if d.Name != name || d.Title == "" || d.Doc == "" {
			t.Errorf("%s: incomplete definition %+v", name, d)
		}
		seen := map[string]bool{}
		for _, o := range d.Options {
			if seen[o.Name] || o.Doc == "" {
				t.Errorf("%s: option %q is repeated or undocumented", name, o.Name)
			}
			seen[o.Name] = true
			if v, err := o.Parse(o.Format(o.Default)); err != nil || v != o.Default {
				t.Errorf("%s: default of %s reads back as %v, %v", name, o.Name, v, err)
			}
		}
	}
}

func TestNewErrors(t *testing.T) {
	sp := space(t, 1)
	for _, tt := range []struct {
		name      string
		algorithm string
		cfg       algorithms.Config
		unknown   bool
		want      string
	}{
		{"algorithm", "dart", algorithms.Config{Space: sp, Cells: 1, Epochs: 1}, true, "darts"},
		{"setting", "darts", algorithms.Config{Space: sp, Cells: 1, Epochs: 1, Settings: algorithms.Settings{"epsilon-max": 0.3}}, true, "epsilon-max"},
		{"range", "darts", algorithms.Config{Space: sp, Cells: 1, Epochs: 1, Settings: algorithms.Settings{"momentum": -0.1}}, false, "momentum"},
		{"not a number", "darts", algorithms.Config{Space: sp, Cells: 1, Epochs: 1, Settings: algorithms.Settings{"clip": nan}}, false, "clip"},
		{"fraction", "sdarts-adv", algorithms.Config{Space: sp, Cells: 1, Epochs: 1, Settings: algorithms.Settings{"pgd-steps": 1.5}}, false, "whole"},
		{"switch", "sdarts-adv", algorithms.Config{Space: sp, Cells: 1, Epochs: 1, Settings: algorithms.Settings{"simplex": 2}}, false, "on"},
		{"no epochs", "darts", algorithms.Config{Space: sp, Cells: 1}, false, "epochs"},
		{"no cells", "darts", algorithms.Config{Space: sp, Epochs: 1}, false, "cells"},
		{"no space", "darts", algorithms.Config{Cells: 1, Epochs: 1}, false, "space"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := algorithms.New(tt.algorithm, tt.cfg)
			if err == nil || errors.Is(err, algorithms.ErrUnknown) != tt.unknown || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestParse(t *testing.T) {
	onOff := algorithms.Option{Name: "x", Kind: algorithms.Switch}
	count := algorithms.Option{Name: "x", Kind: algorithms.Count, Max: 9}
	for _, tt := range []struct {
		option algorithms.Option
		text   string
		want   float64
		fails  bool
	}{
		{onOff, "on", 1, false},
		{onOff, "off", 0, false},
		{onOff, "maybe", 0, true},
		{count, "9", 9, false},
		{count, "10", 0, true},
		{count, "NaN", 0, true},
		{count, "", 0, true},
	} {
		v, err := tt.option.Parse(tt.text)
		if (err != nil) != tt.fails || (!tt.fails && v != tt.want) {
			t.Errorf("Parse(%q) = %v, %v", tt.text, v, err)
		}
	}
}

// The defaults are the settings of the paper's experiments.
func TestDefaults(t *testing.T) {
	d, err := algorithms.Lookup("sdarts-adv")
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Resolve(algorithms.Settings{"pgd-steps": 1})
	if err != nil {
		t.Fatal(err)
	}
	want := algorithms.Settings{
		"learning-rate": 0.025, "learning-rate-min": 0.001, "learning-rate-shift": 1,
		"momentum": 0.9, "weight-decay": 3e-4, "clip": 5,
		"arch-learning-rate": 3e-4, "arch-beta1": 0.5, "arch-beta2": 0.999, "arch-weight-decay": 1e-3,
		"warm-start-epochs": 0,
		"epsilon-min":       0.03, "epsilon-max": 0.3, "epsilon-reaches-max": 0, "simplex": 1,
		"pgd-steps": 1, "pgd-random-start": 1, "pgd-roll-back": 1, "pgd-batch-statistics": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A searcher that hides the alphas of what it wraps would lose the Hessian without a word.
func TestNewSearcherAsksForAlphas(t *testing.T) {
	relaxation := func(cfg algorithms.Config) *algorithms.Relaxation { return algorithms.NewRelaxation("mine", cfg, 0) }
	definition := algorithms.Definition{Name: "mine", Options: algorithms.RelaxationOptions()}
	for _, test := range []struct {
		name     string
		discrete bool
		new      func(cfg algorithms.Config) algorithms.Searcher
		want     string // in the error; "" is none
	}{
		{"relaxation", false, func(cfg algorithms.Config) algorithms.Searcher { return relaxation(cfg) }, ""},
		{"wrapped with its alphas", false, func(cfg algorithms.Config) algorithms.Searcher {
			return struct{ algorithms.Relaxed }{relaxation(cfg)}
		}, ""},
		{"wrapped without", false, func(cfg algorithms.Config) algorithms.Searcher {
			return struct{ algorithms.Searcher }{relaxation(cfg)}
		}, "embed that as Relaxed"},
		{"discrete", true, func(cfg algorithms.Config) algorithms.Searcher {
			return struct{ algorithms.Searcher }{relaxation(cfg)}
		}, ""},
		{"discrete with alphas", true, func(cfg algorithms.Config) algorithms.Searcher { return relaxation(cfg) }, "says Discrete"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := definition
			d.Discrete = test.discrete
			d.New = func(cfg algorithms.Config) (algorithms.Searcher, error) { return test.new(cfg), nil }
			_, err := d.NewSearcher(algorithms.Config{Space: space(t, 1), Cells: 3, Epochs: 1})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestSupports(t *testing.T) {
	d, err := algorithms.Lookup("darts")
	if err != nil {
		t.Fatal(err)
	}
	d.Supports = func(s *spaces.Space) error {
		if s.Name() == "3" {
			return errors.New("it needs outputs of two inputs")
		}
		return nil
	}
	for id, want := range []string{1: "", 2: "", 3: "algorithm darts: space 3 is not supported: it needs outputs of two inputs"} {
		if id == 0 {
			continue
		}
		_, err := d.NewSearcher(algorithms.Config{Space: space(t, id), Cells: 3, Epochs: 1})
		if got := fmt.Sprint(err); err == nil && want != "" || err != nil && (got != want || !errors.Is(err, algorithms.ErrSpace)) {
			t.Errorf("space %d: got error %v, want %q", id, err, want)
		}
	}
}

// Every algorithm of this module has a place of its own in legends, and what figures know
// of it is what its definition says.
func TestCatalogue(t *testing.T) {
	places := map[int]string{}
	for _, name := range algorithms.Names() {
		d, err := algorithms.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := catalogue.Lookup(name)
		if !ok || e != (catalogue.Entry{Name: name, Title: d.Title, Look: d.Look}) {
			t.Errorf("%s: the catalogue has %+v", name, e)
		}
		if d.Title == "" || d.Look.Place < 1 || d.Look.Colour == catalogue.Any {
			t.Errorf("%s: title %q, look %+v: one of them is missing", name, d.Title, d.Look)
		}
		if other := places[d.Look.Place]; other != "" {
			t.Errorf("%s and %s have one place", name, other)
		}
		places[d.Look.Place] = name
	}
	all := catalogue.All()
	if len(all) != len(places) || all[0].Name != "darts" {
		t.Errorf("%d algorithms, the first is %s", len(all), all[0].Name)
	}
	own := catalogue.Entry{Name: "aaa"} // without a place
	if catalogue.Compare(own, all[len(all)-1]) <= 0 || catalogue.Compare(all[0], own) >= 0 || catalogue.Compare(own, catalogue.Entry{Name: "b"}) >= 0 {
		t.Error("an algorithm without a place does not come last, by its name")
	}
}
