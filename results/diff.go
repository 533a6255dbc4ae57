package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Comparison is in what two runs differ.
type Comparison struct {
	Settings   []Change        `json:"settings"`          // space, algorithm, seed, and the configuration by dotted names
	Provenance []Change        `json:"provenance"`        // what Provenance.Key has
	Details    []Change        `json:"details"`           // the rest of the provenance and the state of the run; they do not count
	Records    *Departure      `json:"records,omitempty"` // nil where the records agree, wall times aside
	Measures   []MeasureChange `json:"measures"`          // at the end of the runs, wall times aside
}

// Change is a member that differs; a side that lacks it is empty.
type Change struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// Departure is where the records of two runs first differ.
type Departure struct {
	Epoch int    `json:"epoch"`
	Final bool   `json:"final,omitempty"` // it is the final record of a run
	OnlyA bool   `json:"only_a,omitempty"`
	OnlyB bool   `json:"only_b,omitempty"`
	First Change `json:"first,omitzero"` // member of the record, with the JSON of both sides; without a name where only one run has the record, or both write the same values in other bytes
	More  int    `json:"more,omitempty"` // further members of this record that differ
}

// BestTestError is the MeasureChange.Name of the least test error of a run.
const BestTestError = "best test error"

// RetrainedError is the MeasureChange.Name of the test error after training from scratch.
const RetrainedError = "test error after training"

// MeasureChange is a quantity whose last value differs, nil where a run has none.
type MeasureChange struct {
	Name string   `json:"name"` // of Quantities, or BestTestError
	A    *float64 `json:"a"`
	B    *float64 `json:"b"`
}

// Same tells whether one run is the exact repetition of the other: the same
// settings, the same Provenance.Key, the same records.
func (c Comparison) Same() bool {
	return len(c.Settings) == 0 && len(c.Provenance) == 0 && c.Records == nil
}

// Compare finds the differences of two runs. The records are compared as they
// stand in the files, byte for byte without the wall times (see Canonical), and
// only where these differ by members. Lines that Read left out are left out.
func Compare(a, b *History) (Comparison, error) {
	c := Comparison{Settings: []Change{}, Provenance: []Change{}, Details: []Change{}, Measures: []MeasureChange{}}
	settingsA, err := a.Run.Settings()
	if err != nil {
		return c, fmt.Errorf("%s: %w", a.Dir, err)
	}
	settingsB, err := b.Run.Settings()
	if err != nil {
		return c, fmt.Errorf("%s: %w", b.Dir, err)
	}
	names := maps.Clone(settingsA)
	maps.Copy(names, settingsB)
	change := func(list *[]Change, name, a, b string) {
		if a != b {
			*list = append(*list, Change{name, a, b})
		}
	}
	change(&c.Settings, "space", string(a.Run.Space), string(b.Run.Space))
	change(&c.Settings, "algorithm", a.Run.Algorithm, b.Run.Algorithm)
	change(&c.Settings, "seed", strconv.FormatUint(a.Run.Seed, 10), strconv.FormatUint(b.Run.Seed, 10))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		change(&c.Settings, name, settingsA[name], settingsB[name])
	}
	p, q := a.Run.Provenance, b.Run.Provenance
	for i, m := range p.key() {
		change(&c.Provenance, m.name, m.value, q.key()[i].value)
	}
	change(&c.Details, "images_detail", p.ImagesDetail, q.ImagesDetail)
	change(&c.Details, "table_detail", p.TableDetail, q.TableDetail)
	change(&c.Details, "table_content", p.TableContent, q.TableContent)
	change(&c.Details, "device", p.Device, q.Device)
	change(&c.Details, "state", string(a.Status.State), string(b.Status.State))

	if c.Records, err = depart(a, b); err != nil {
		return c, fmt.Errorf("compare %s with %s: %w", a.Dir, b.Dir, err)
	}
	measure := func(name string, x, y *float64) {
		if (x == nil) != (y == nil) || x != nil && *x != *y {
			c.Measures = append(c.Measures, MeasureChange{name, x, y})
		}
	}
	measure(BestTestError, best(a), best(b))
	measure(RetrainedError, retrained(a), retrained(b))
	for _, q := range Quantities {
		if q.Name != "seconds" {
			measure(q.Name, last(a, q.Of), last(b, q.Of))
		}
	}
	return c, nil
}

// last is the last value of a quantity in a run.
func last(h *History, quantity func(Epoch) *float64) *float64 {
	for _, e := range slices.Backward(h.Epochs) {
		if x := quantity(e); x != nil {
			return x
		}
	}
	return nil
}

// retrained is the test error of the evaluation of a run.
func retrained(h *History) *float64 {
	if h.Evaluation == nil || h.Evaluation.Words != nil {
		return nil
	}
	return new(h.Evaluation.TestError())
}

// best is the least test error of a run.
func best(h *History) *float64 {
	var least *float64
	for _, e := range h.Epochs {
		if x := TestError(e); x != nil && (least == nil || *x < *least) {
			least = x
		}
	}
	return least
}

// depart returns where the records of two runs first differ, nil if nowhere.
func depart(a, b *History) (*Departure, error) {
	linesA, err := canonicalLines(a)
	if err != nil {
		return nil, err
	}
	linesB, err := canonicalLines(b)
	if err != nil {
		return nil, err
	}
	i := 0
	for i < len(linesA) && i < len(linesB) && bytes.Equal(linesA[i], linesB[i]) {
		i++
	}
	at := func(e Epoch) *Departure { return &Departure{Epoch: e.Epoch, Final: e.Final} }
	switch {
	case i == len(linesA) && i == len(linesB):
		return nil, nil
	case i == len(linesB):
		d := at(a.Epochs[i])
		d.OnlyA = true
		return d, nil
	case i == len(linesA):
		d := at(b.Epochs[i])
		d.OnlyB = true
		return d, nil
	}
	d := at(a.Epochs[i])
	d.Final = d.Final || b.Epochs[i].Final
	changes, err := memberChanges(linesA[i], linesB[i])
	if err != nil {
		return nil, fmt.Errorf("record %d: %w", i, err)
	}
	if len(changes) > 0 {
		d.First, d.More = changes[0], len(changes)-1
	}
	return d, nil
}

// canonicalLines returns the records of a run as its file has them, without
// the wall times.
func canonicalLines(h *History) ([][]byte, error) {
	data, err := Records(h.Dir)
	if err != nil {
		return nil, err
	}
	lines := slices.Collect(bytes.Lines(Canonical(data)))
	if len(lines) < len(h.Epochs) {
		return nil, fmt.Errorf("%s has fewer records than when it was read", h.Dir)
	}
	return lines[:len(h.Epochs)], nil
}

// memberChanges lists the members in which two JSON texts differ, in the order
// of a, then those that only b has.
func memberChanges(a, b []byte) ([]Change, error) {
	inA, err := members(a)
	if err != nil {
		return nil, err
	}
	inB, err := members(b)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, m := range inB {
		values[m.name] = m.value
	}
	var changes []Change
	for _, m := range inA {
		if other := values[m.name]; m.value != other {
			changes = append(changes, Change{m.name, m.value, other})
		}
		delete(values, m.name)
	}
	for _, m := range inB {
		if _, left := values[m.name]; left {
			changes = append(changes, Change{m.name, "", m.value})
		}
	}
	return changes, nil
}

// members lists the leaves of a JSON text in order, by paths such as
// "alphas[1].rows[0][2]". Numbers keep their digits.
func members(text []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var list []member
	if err := leaves(d, "", &list); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return list, nil
}

// leaves appends the leaves of the next value.
func leaves(d *json.Decoder, path string, list *[]member) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, nested := token.(json.Delim)
	if !nested {
		text, err := json.Marshal(token)
		*list = append(*list, member{path, string(text)})
		return err
	}
	empty := true
	for i := 0; d.More(); i++ {
		empty = false
		inner := fmt.Sprintf("%s[%d]", path, i)
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			inner = strings.TrimPrefix(fmt.Sprintf("%s.%v", path, key), ".")
		}
		if err := leaves(d, inner, list); err != nil {
			return err
		}
	}
	end, err := d.Token()
	if empty && err == nil {
		*list = append(*list, member{path, open.String() + fmt.Sprint(end)})
	}
	return err
}
