package benchmark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// Finding is something that Verify found in a run.
type Finding struct {
	Check string `json:"check"` // what was checked: "digest", "state", "cell", "lookup", "provenance", "evaluation"
	Wrong bool   `json:"wrong"` // false for what a reader should know and may be right
	Text  string `json:"text"`
}

// Verify holds a run that was read against itself: its record against the digest
// that it was closed with and the one of its checkpoint, the hash of each cell
// against its matrix, its lookups and digests against its provenance, and, with
// an oracle of the same digest, each test error against what that says.
func Verify(h *results.History, oracles ...nasbench.Oracle) []Finding {
	v := verification{h: h}
	v.digest()
	v.state()
	v.provenance()
	v.evaluation(v.h.Evaluation, v.h.Epochs[len(v.h.Epochs)-1].Architecture)
	if v.h.SelectionEvaluation != nil {
		v.evaluation(v.h.SelectionEvaluation, v.h.Selection.Selected.Architecture)
	}
	var oracle nasbench.Oracle
	for _, o := range oracles {
		if o.Source().Digest == h.Run.Provenance.TableDigest {
			oracle = o
		}
	}
	if s := h.Selection; s != nil {
		v.choice("what was selected by perturbation", s.Selected, oracle)
	}
	for _, e := range h.Epochs {
		if v.record(e, oracle); len(v.found) >= mostFindings {
			v.note("findings", "there are more, which are left out")
			break
		}
	}
	return v.found
}

// mostFindings bounds those of one run, which may all be of one kind.
const mostFindings = 20

type verification struct {
	h     *results.History
	found []Finding
}

func (v *verification) wrong(check, format string, args ...any) {
	v.found = append(v.found, Finding{check, true, fmt.Sprintf(format, args...)})
}

func (v *verification) note(check, format string, args ...any) {
	v.found = append(v.found, Finding{check, false, fmt.Sprintf(format, args...)})
}

func (v *verification) digest() {
	status := v.h.Status
	if v.h.Misfit != nil {
		v.wrong("digest", "%v", v.h.Misfit)
	} else if status.Record == nil && status.State != results.Running {
		v.note("digest", "the record was closed without a digest, as by earlier versions: whether it was changed is not known")
	}
	// The newest checkpoint has that of the records before it.
	path := filepath.Join(v.h.Dir, CheckpointFile)
	state, err := checkpoint.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var meta checkpointMeta
	if err == nil {
		err = json.Unmarshal(state.Meta, &meta)
	}
	switch {
	case err != nil:
		v.wrong("digest", "%v", err)
		return
	case meta.ConfigHash != v.h.Run.ConfigHash || meta.Seed != v.h.Run.Seed:
		v.wrong("digest", "%s is of another run", path)
		return
	case meta.Record == nil:
		return // of an earlier version
	}
	text, err := results.Records(v.h.Dir)
	if err != nil {
		v.wrong("digest", "%v", err)
	} else if !meta.Record.Begins(text) {
		v.wrong("digest", "the record does not begin with what it was at the checkpoint after %d epochs", meta.Epochs)
	}
}

func (v *verification) state() {
	h := v.h
	n := len(h.Epochs)
	switch {
	case h.Status.State != results.Finished:
		v.wrong("state", "it is not finished: %s after %d epochs", h.Status.State, h.Trained())
	case n == 0 || !h.Epochs[n-1].Final:
		v.wrong("state", "it is called finished and has no final record")
	}
	if name := filepath.Base(h.Dir); name != h.Run.Name() {
		v.note("state", "the folder of %s is called %s", h.Run.Name(), name)
	}
}

var hexDigest = regexp.MustCompile("^[0-9a-f]{64}$")

func (v *verification) provenance() {
	p := v.h.Run.Provenance
	if p.Images != results.NoImages && !hexDigest.MatchString(p.ImagesDigest) {
		v.wrong("provenance", "images_digest %q is no SHA-256", p.ImagesDigest)
	}
	if p.Table != results.NoTable && !hexDigest.MatchString(p.TableDigest) {
		v.wrong("provenance", "table_digest %q is no SHA-256", p.TableDigest)
	}
	if p.Table == results.NASBench101 && !nasbench.Published(p.TableDigest) {
		v.wrong("provenance", "table_digest %.12s… is none of the published files of NAS-Bench-101", p.TableDigest)
	}
	images, table := p.StandIns()
	if images {
		v.note("provenance", "its %s a stand-in, %s", whatWasRead(p), p.Images)
	}
	if table {
		v.note("provenance", "its table is a stand-in, %s", p.Table)
	}
	if surrogate := nasbench.Default().Source(); p.Table == surrogate.Kind && p.TableDigest != surrogate.Digest {
		v.note("provenance", "its surrogate is that of another version")
	}
	config, err := NewConfig(p.Preset, v.h.Run.Space, v.h.Run.Algorithm)
	if err != nil {
		v.note("provenance", "%v", err)
		return
	}
	if err := json.Unmarshal(v.h.Run.Config, &config); err != nil {
		v.wrong("provenance", "configuration: %v", err)
	} else if err := config.Check(); err != nil {
		v.note("provenance", "configuration: %v", err)
	}
}

// evaluation checks what an architecture of the run scored after training: the size of its
// network, and that the architecture is the one that the search ended with, nil on spaces
// whose architectures are cells.
func (v *verification) evaluation(e *results.Evaluation, end *spaces.Architecture) {
	if e == nil {
		return
	}
	if !hexDigest.MatchString(e.Provenance.ImagesDigest) {
		v.wrong("evaluation", "images_digest %q is no SHA-256", e.Provenance.ImagesDigest)
	}
	if images, _ := e.Provenance.StandIns(); images {
		v.note("evaluation", "its %s a stand-in, %s", whatWasRead(e.Provenance), e.Provenance.Images)
	}
	if e.Subject.Form == results.FormRecurrent {
		v.recurrent(e, end)
		return
	}
	if e.Recipe.MeasuredOn != results.PartTest {
		v.note("evaluation", "it was measured on the %s of the training images, not on the test images", e.Recipe.MeasuredOn)
	}
	if e.Subject.Form == results.FormNASBench101 {
		return
	}
	g, err := darts.ParseGenotype(e.Subject.Genotype)
	if err != nil { // Read has seen to it
		v.wrong("evaluation", "%v", err)
		return
	}
	if end != nil { // at least one record has the architecture
		if final, ok := darts.GenotypeOf(*end); ok && final.Line() != e.Subject.Genotype {
			v.note("evaluation", "it is not of the architecture that the search ended with")
		}
	}
	cost, err := darts.Network{
		Channels: e.Recipe.Channels, Cells: e.Recipe.Cells, Classes: e.Recipe.Classes, ImageNet: e.Subject.Form == results.FormImageNet,
	}.Cost(g)
	switch {
	case err != nil:
		v.wrong("evaluation", "%v", err)
	case cost.Parameters != e.Parameters:
		v.wrong("evaluation", "a network of %d channels and %d cells has %d parameters, but %d are recorded", e.Recipe.Channels, e.Recipe.Cells, cost.Parameters, e.Parameters)
	}
}

// recurrent checks the same of a recurrent cell.
func (v *verification) recurrent(e *results.Evaluation, end *spaces.Architecture) {
	g, err := rnn.ParseGenotype(e.Subject.Genotype)
	if err != nil { // Read has seen to it
		v.wrong("evaluation", "%v", err)
		return
	}
	if end != nil {
		if final, ok := rnn.GenotypeOf(*end); ok && final.Line() != e.Subject.Genotype {
			v.note("evaluation", "it is not of the cell that the search ended with")
		}
	}
	w := e.Recipe.Words
	switch cost, err := (rnn.Network{Words: w.Vocabulary, Hidden: w.Hidden}).Cost(g); {
	case err != nil:
		v.wrong("evaluation", "%v", err)
	case int64(cost.Parameters) != int64(e.Parameters):
		v.wrong("evaluation", "a network of %d hidden units and %d words has %d parameters, but %d are recorded", w.Hidden, w.Vocabulary, cost.Parameters, e.Parameters)
	}
}

// whatWasRead is the subject of a sentence about what networks were trained on.
func whatWasRead(p results.Provenance) string {
	if text.IsKind(p.Images) {
		return "text is"
	}
	return "images are"
}

// tolerance of a recorded test error, which processors may round differently.
const tolerance = 1e-9

func (v *verification) record(e results.Epoch, oracle nasbench.Oracle) {
	if e.Architecture != nil { // the format was checked
		v.architecture(e)
		return
	}
	if err := checkHash(e.Cell); err != nil {
		v.wrong("cell", "epoch %d: %v", e.Epoch, err)
		return
	}
	if e.Lookup.Source != v.h.Run.Provenance.Table {
		v.wrong("lookup", "epoch %d: looked up in %q, the table of the run is %q", e.Epoch, e.Lookup.Source, v.h.Run.Provenance.Table)
		return
	}
	if q := e.Queries; q != nil {
		for _, n := range q.Incumbents {
			v.choice(fmt.Sprintf("epoch %d: incumbent after %d trainings", e.Epoch, n.Trainings), results.Choice{Cell: n.Cell, Lookup: n.Lookup}, oracle)
		}
	}
	if oracle == nil {
		return
	}
	spec, err := cell.Parse(e.Cell.Matrix, e.Cell.Operations)
	if err != nil {
		v.wrong("cell", "epoch %d: %v", e.Epoch, err)
		return
	}
	m, err := oracle.Query(spec)
	switch {
	case err != nil:
		v.wrong("lookup", "epoch %d: %v", e.Epoch, err)
	case e.Lookup.TestError == nil || math.Abs(*e.Lookup.TestError-m.TestError) > tolerance:
		recorded := "none"
		if e.Lookup.TestError != nil {
			recorded = fmt.Sprint(*e.Lookup.TestError)
		}
		v.wrong("lookup", "epoch %d: the test error is %s, the table says %v", e.Epoch, recorded, m.TestError)
	}
}

// choice checks an architecture beside the record.
func (v *verification) choice(what string, c results.Choice, oracle nasbench.Oracle) {
	before := len(v.found)
	v.record(results.Epoch{Cell: c.Cell, Architecture: c.Architecture, Lookup: c.Lookup, Structure: c.Structure}, oracle)
	for i := range v.found[before:] {
		f := &v.found[before+i]
		f.Text = what + strings.TrimPrefix(f.Text, "epoch 0")
	}
}

// architecture checks a record of a space whose cells are not those of NAS-Bench-101.
func (v *verification) architecture(e results.Epoch) {
	if e.Architecture.Space != v.h.Run.Space {
		v.wrong("cell", "epoch %d: an architecture of space %s, the run is of space %s", e.Epoch, e.Architecture.Space, v.h.Run.Space)
		return
	}
	s := results.Structure{}
	measure(&s, *e.Architecture)
	if r := e.Structure; r != nil && (r.Width != s.Width || r.Depth != s.Depth || math.Abs(r.ParameterFree-s.ParameterFree) > tolerance) {
		v.wrong("cell", "epoch %d: its normal cell is of width %v and depth %d with %.4v of parameter-free operations, but %v, %d and %.4v are recorded",
			e.Epoch, s.Width, s.Depth, s.ParameterFree, r.Width, r.Depth, r.ParameterFree)
	}
}

// checkHash compares the hash of a recorded cell with that of its matrix.
func checkHash(c results.Cell) error {
	spec, err := cell.Parse(c.Matrix, c.Operations)
	if err != nil {
		return fmt.Errorf("the recorded cell: %w", err)
	}
	hash, err := spec.Hash()
	if err != nil {
		return fmt.Errorf("the recorded cell: %w", err)
	}
	if hash.String() != c.Hash {
		return fmt.Errorf("the hash of its matrix is %v, but %s is recorded", hash, c.Hash)
	}
	return nil
}
