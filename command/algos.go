package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/spaces"
)

func algosCommand() *cli.Command {
	return &cli.Command{
		Name:        "algos",
		Usage:       "list the search algorithms and their settings",
		Description: "Example:\n  nb1shot algos",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			var all []algorithms.Definition
			for _, name := range algorithms.Names() {
				d, err := algorithms.Lookup(name)
				if err != nil {
					return err
				}
				all = append(all, d)
			}
			if c.Bool("json") {
				return printAlgorithmsJSON(c.App.Writer, all)
			}
			if err := printAlgorithms(c.App.Writer, all); err != nil {
				return err
			}
			return printRunOptions(c.App.Writer)
		},
	}
}

func printAlgorithms(w io.Writer, all []algorithms.Definition) error {
	for i, d := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s (%s)\n  %s\n", d.Name, d.Title, strings.Join(wrap(d.Doc, 90), "\n  "))
		for _, text := range refusals(d) {
			fmt.Fprintf(w, "  %s\n", strings.Join(wrap(text, 90), "\n  "))
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, o := range d.OnEverySpace() {
			fmt.Fprintf(t, "  --set %s=%s\t%s\n", o.Name, o.Format(o.Default), strings.Join(wrap(o.Doc+bySpace(o), 60), "\n\t"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// refusals says which spaces an algorithm does not support, and why.
func refusals(d algorithms.Definition) []string {
	var reasons []string
	refused := map[string][]spaces.Name{}
	for _, space := range spaces.All() {
		if d.Supports == nil {
			break
		}
		if err := d.Supports(space); err != nil {
			if refused[err.Error()] == nil {
				reasons = append(reasons, err.Error())
			}
			refused[err.Error()] = append(refused[err.Error()], space.Name())
		}
	}
	for i, reason := range reasons {
		reasons[i] = fmt.Sprintf("Not on %s: %s.", listNames(refused[reason]), reason)
	}
	return reasons
}

func listNames(names []spaces.Name) string {
	var all []string
	for _, n := range names {
		all = append(all, string(n))
	}
	return strings.Join(all, ", ")
}

// bySpace says which spaces have an option and where its default is another one.
func bySpace(o algorithms.SpaceOption) string {
	text := ""
	if len(o.Spaces) > 0 {
		text += " (only on " + listNames(o.Spaces) + ")"
	}
	byDefault := map[float64][]spaces.Name{}
	for _, space := range slices.Sorted(maps.Keys(o.Others)) {
		byDefault[o.Others[space]] = append(byDefault[o.Others[space]], space)
	}
	for _, v := range slices.Sorted(maps.Keys(byDefault)) {
		text += fmt.Sprintf("; %s on %s", o.Format(v), listNames(byDefault[v]))
	}
	return text
}

// printRunOptions lists the settings that do not belong to an algorithm.
func printRunOptions(w io.Writer) error {
	fmt.Fprintf(w, "\nany run\n  Settings of the run itself. Where the presets differ, the values are those of\n  %s, in this order.\n", strings.Join(benchmark.PresetNames(), ", "))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, o := range benchmark.Options {
		var values []string
		for _, p := range benchmark.Presets {
			c, err := benchmark.NewConfig(p.Name, spaces.Names()[0], "darts")
			if err != nil {
				return err
			}
			values = append(values, o.Format(c))
		}
		if first := values[:1]; len(slices.Compact(slices.Clone(values))) == 1 {
			values = first
		}
		fmt.Fprintf(t, "  --set %s=%s\t%s\n", o.Name, strings.Join(values, "/"), strings.Join(wrap(o.Doc, 60), "\n\t"))
	}
	return t.Flush()
}

// listedAlgorithm is an algorithm in the output of algos --json.
type listedAlgorithm struct {
	Name     string          `json:"name"`
	Title    string          `json:"title"`
	Doc      string          `json:"doc"`
	Spaces   []spaces.Name   `json:"spaces"` // that it supports
	Settings []listedSetting `json:"settings"`
}

type listedSetting struct {
	Name    string  `json:"name"`
	Default float64 `json:"default"`
	// Spaces are those that have the setting; absent where all that the algorithm supports
	// have it. Others are the defaults on spaces where they differ.
	Spaces []spaces.Name           `json:"spaces,omitempty"`
	Others map[spaces.Name]float64 `json:"other_defaults,omitempty"`

	Min float64 `json:"min"`
	Max float64 `json:"max"`
	Doc string  `json:"doc"`
}

func printAlgorithmsJSON(w io.Writer, all []algorithms.Definition) error {
	var listed []listedAlgorithm
	for _, d := range all {
		l := listedAlgorithm{Name: d.Name, Title: d.Title, Doc: d.Doc}
		for _, space := range spaces.All() {
			if d.CheckSpace(space) == nil {
				l.Spaces = append(l.Spaces, space.Name())
			}
		}
		for _, o := range d.OnEverySpace() {
			s := listedSetting{o.Name, o.Default, o.Spaces, o.Others, o.Min, o.Max, o.Doc}
			if o.Kind == algorithms.Switch {
				s.Max = 1
			}
			l.Settings = append(l.Settings, s)
		}
		listed = append(listed, l)
	}
	return writeJSON(w, listed)
}
