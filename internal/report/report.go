// Package report makes the figures and tables of a paper from run directories:
// what the paper draws, as far as the runs allow, each figure as PNG, SVG and
// PDF, each table as CSV and LaTeX, and all of it on one page of HTML that needs
// nothing else. Every caption says what was measured on what, from which seeds,
// and where that departs from the paper. Equal runs give equal files.
package report

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/pipeline"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// Input is what a report shows.
type Input struct {
	Runs       []*results.History               // at least one; all of one setting, see results.Provenance
	Landscapes []results.RunLandscape           // of that setting, too; may be none
	Beside     []*results.History               // runs on other images, for the test errors after training alone; may be none
	Anchors    map[spaces.Name]stability.Anchor // of regrets, by space; a space without one has no regrets
	Program    string                           // what made the report, for people
	// Changed is that of claims.Options; may be nil.
	Changed  func(results.Run) map[string]string
	Progress func(done, total int) // is told of each figure; may be nil
}

// Page is the name of the HTML page in a report.
const Page = "index.html"

// Write makes the report in the folder dir, which must not exist, be empty, or
// hold a report that is as Write left it; otherwise it gives a *ForeignError. A
// report appears, or replaces the one before it, whole or not at all. Runs or
// landscapes of different settings give a *results.MixedError.
func Write(ctx context.Context, dir string, in Input) error {
	s, err := newStudy(in)
	if err != nil {
		return err
	}
	place, err := findPlace(dir)
	if err != nil {
		return err
	}
	folder, err := durable.MkdirTemp(filepath.Dir(place), ".report-")
	if err != nil {
		return err
	}
	defer folder.Close()
	temp := folder.Name()
	defer os.RemoveAll(temp)
	if err := s.write(ctx, temp, in); err != nil {
		return err
	}
	if err := seal(temp); err != nil {
		return err
	}
	return put(temp, place)
}

// write makes the files of the report in a folder.
func (s *study) write(ctx context.Context, dir string, in Input) error {
	figures, err := s.figures()
	if err != nil {
		return err
	}
	drawn := make([]*drawing, len(figures))
	done := 0
	err = pipeline.Run(
		func(emit func(*drawing) bool) error {
			for i, f := range figures {
				drawn[i] = &drawing{figure: f}
				if err := ctx.Err(); err != nil {
					return err
				}
				if !emit(drawn[i]) {
					break
				}
			}
			return nil
		},
		func(d *drawing) { d.draw(dir) },
		func(d *drawing) error {
			done++
			if in.Progress != nil && d.err == nil {
				in.Progress(done, len(figures))
			}
			return d.err
		})
	if err != nil {
		return err
	}
	verdicts, err := s.claimsTables(in.Changed)
	if err != nil {
		return err
	}
	tables := s.tables()
	files := slices.Clone(tables)
	for _, v := range verdicts {
		files = append(files, v.table)
	}
	for _, t := range files {
		for extension, text := range map[string]string{".csv": t.csv(), ".tex": t.latex()} {
			if err := durable.WriteFile(filepath.Join(dir, t.name+extension), []byte(text)); err != nil {
				return err
			}
		}
	}
	page, err := s.page(verdicts, drawn, tables, in.Program)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, Page), page); err != nil {
		return err
	}
	return nil
}

// drawing is a figure that was drawn.
type drawing struct {
	figure
	files        []string // names in the folder
	wide, narrow []byte   // SVG across a page, and in a column, without the notes
	notes        []string // paragraphs
	err          error
}

// draw draws the figure and saves it in a folder.
func (d *drawing) draw(dir string) {
	d.err = func() error {
		page, err := d.build(plots.Page)
		if err != nil {
			return err
		}
		column, err := d.build(plots.Column)
		if err != nil {
			return err
		}
		paths, err := page.Save(filepath.Join(dir, d.name))
		if err != nil {
			return err
		}
		for _, path := range paths {
			d.files = append(d.files, filepath.Base(path))
		}
		d.notes = page.Notes()
		if d.wide, err = page.Bare().SVG(); err != nil {
			return err
		}
		d.narrow, err = column.Bare().SVG()
		return err
	}()
	var mixed *results.MixedError
	if d.err != nil && !errors.As(d.err, &mixed) {
		d.err = fmt.Errorf("figure %s: %w", d.name, d.err)
	}
}
