package results

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stats"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// Epoch is one record of a run, a line of epochs.jsonl.
//
// Record e has the cell derived from the architecture parameters before epoch
// e, so record 0 evaluates the random initialisation (quirk Q11). What the
// epoch itself measures (Training, Search, Hessian) belongs to the parameters
// after it, that is to the cell of record e+1. The marked Final record carries
// the cell after the last epoch, which the released code never evaluates.
type Epoch struct {
	Epoch int  `json:"epoch"`           // 0-based; the number of epochs in the Final record
	Final bool `json:"final,omitempty"` // the extra evaluation after the last epoch
	Cell  Cell `json:"cell,omitzero"`   // the discrete cell, in spaces of cells of NAS-Bench-101
	// Architecture is the discrete architecture in other spaces.
	Architecture *spaces.Architecture `json:"architecture,omitempty"`
	Lookup       Lookup               `json:"lookup,omitzero"`       // what the table says of it; zero where there is no table
	Warning      string               `json:"warning,omitempty"`     // what a reader must know before believing the record
	Structure    *Structure           `json:"structure,omitempty"`   // of the cell; nil in records from before it was measured
	Training     *Training            `json:"training,omitempty"`    // nil in the Final record and where nothing is trained
	Search       *Score               `json:"search,omitempty"`      // supernet on the search part in evaluation mode; nil where not measured
	Projection   *Projection          `json:"projection,omitempty"`  // nil where not measured
	Language     *Language            `json:"language,omitempty"`    // in the place of the three above where the network reads words
	Hessian      *Hessian             `json:"hessian,omitempty"`     // nil where not measured
	Correlation  *EpochCorrelation    `json:"correlation,omitempty"` // nil where not measured
	Queries      *Queries             `json:"queries,omitempty"`     // of a search that asks the table alone; nil for others and in the Final record
	Alphas       []Alpha              `json:"alphas,omitempty"`      // raw architecture parameters that the cell was derived from, in tensor order
	Seconds      map[string]float64   `json:"seconds,omitempty"`     // wall time by phase; stays last, see Canonical
}

// Cell is a discrete cell as sent to NAS-Bench-101, before pruning.
type Cell struct {
	Matrix     [][]int  `json:"matrix"`     // V×V, V from 2 to 7, strictly upper triangular, 0 or 1
	Operations []string `json:"operations"` // V names, "input" first, "output" last
	Hash       string   `json:"hash"`       // NAS-Bench-101's hash of the pruned cell, 32 lower-case hex digits
}

// NewCell records a cell and the hash of what is left of it when it is pruned.
func NewCell(spec cell.Spec, hash cell.Hash) Cell {
	c := Cell{Operations: spec.OpNames(), Hash: hash.String()}
	for _, row := range spec.Matrix {
		bits := make([]int, len(row))
		for i, bit := range row {
			bits[i] = int(bit)
		}
		c.Matrix = append(c.Matrix, bits)
	}
	return c
}

// Lookup is the answer to one query of the NAS-Bench-101 table, or of the
// stand-in that Provenance.Table names: means over the table's repetitions at
// 108 epochs. A nil value is one the table does not know.
type Lookup struct {
	Source       string   `json:"source"`                    // kind of table that answered
	TestError    *float64 `json:"test_error,omitempty"`      // 1 − test accuracy, in [0,1]
	ValidError   *float64 `json:"valid_error,omitempty"`     // 1 − validation accuracy, in [0,1]
	ErrorBar     *float64 `json:"error_bar,omitempty"`       // a surrogate's own standard error of TestError
	ValidBar     *float64 `json:"valid_error_bar,omitempty"` // likewise of ValidError
	TrainingTime *float64 `json:"training_time,omitempty"`   // seconds
	Parameters   int      `json:"parameters,omitempty"`      // trainable parameters of the stand-alone network
}

// Score is the supernet's sample-weighted mean over a set of images.
type Score struct {
	Loss     float64 `json:"loss"`     // cross-entropy, nats
	Accuracy float64 `json:"accuracy"` // top-1, in [0,1]
}

// Training is the weight steps of one epoch: running means over the epoch and
// the values of its schedules.
type Training struct {
	Loss         float64 `json:"loss"`              // cross-entropy, nats
	Accuracy     float64 `json:"accuracy"`          // top-1, in [0,1]
	LearningRate float64 `json:"learning_rate"`     // of the weights, constant within the epoch (quirk Q1)
	Epsilon      float64 `json:"epsilon,omitempty"` // perturbation radius (quirk Q3); 0 for an algorithm without
}

// Structure is what can be seen of a discrete cell; in the DARTS spaces, of the normal one. Of a
// recurrent cell it is Depth and Changed: all its operations have parameters, and its nodes are
// equally wide.
type Structure struct {
	ParameterFree     float64 `json:"parameter_free"`      // share of operations without parameters, in [0,1]: max-poolings among all choice blocks; among the 8 operations of a normal cell
	ParameterFreeUsed float64 `json:"parameter_free_used"` // among the blocks that survive pruning; 0 if none does; in the DARTS spaces all do
	Width             float64 `json:"width"`               // of the pruned cell, in units of a vertex's channels, see cell.Shape and darts.Genotype
	Depth             int     `json:"depth"`               // edges on the longest path of the pruned cell
	Changed           *int    `json:"changed,omitempty"`   // decisions (operations of blocks or edges, parents of nodes) unlike in the record before; nil in the first
}

// Projection is what the supernet loses when its relaxed architecture is
// replaced by the discrete cell without any training: the projection gap. Both
// are measured after the epoch, on the same search batches, normalised by the
// batch.
type Projection struct {
	Relaxed  Score   `json:"relaxed"`
	Discrete Score   `json:"discrete"` // 0/1 weights of the cell
	Gap      float64 `json:"gap"`      // accuracy relaxed − discrete
	Images   int     `json:"images"`
}

// Hessian is the spectrum of the architecture Hessian at the end of an epoch: all of it,
// or both ends where Method says so.
type Hessian struct {
	Eigenvalues  []float64 `json:"eigenvalues"`     // ascending: all, or those that Method found
	Reported     float64   `json:"reported"`        // λ of the figures, by Definition
	SpectralNorm float64   `json:"spectral_norm"`   // largest absolute eigenvalue
	Min          float64   `json:"min"`             // smallest eigenvalue
	Batch        int       `json:"batch"`           // images, or words, the loss was taken on (quirk Q8)
	Decay        float64   `json:"decay"`           // arch weight decay on the diagonal, in every eigenvalue (quirk Q9)
	WithoutDecay float64   `json:"without_decay"`   // largest algebraic eigenvalue without it
	Trace        *float64  `json:"trace,omitempty"` // without it; nil where not all eigenvalues are known
	Definition   string    `json:"definition"`      // how Reported follows from the spectrum (quirk Q9b)
	// Spread is λ of each batch, where Reported is that of the mean over several.
	Spread *Spread `json:"spread,omitempty"`
	// The members below are missing where the whole matrix was computed.
	Method   string  `json:"method,omitempty"`   // Lanczos
	Products int     `json:"products,omitempty"` // of the Hessian with a direction, that Method took
	Residual float64 `json:"residual,omitempty"` // no end of the spectrum is farther than this from an eigenvalue
}

// Spread is how far λ depends on the batch that it is taken on. The mean of the λ of some
// batches is at least about the λ of their mean Hessian, which is Hessian.Reported.
type Spread struct {
	Batches []float64 `json:"batches"` // λ of each batch by itself, at least two
	Mean    float64   `json:"mean"`
	Std     float64   `json:"std"` // with n−1
}

// NewSpread describes the λ of some batches, at least two.
func NewSpread(lambdas []float64) *Spread {
	return &Spread{Batches: lambdas, Mean: stats.Mean(lambdas), Std: stats.Std(lambdas)}
}

// check verifies that mean and deviation are those of the batches, but for the rounding of
// another processor.
func (s Spread) check() error {
	if len(s.Batches) < 2 {
		return invalid("hessian.spread.batches", "has %d values, not at least two", len(s.Batches))
	}
	want := NewSpread(s.Batches)
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*(1+math.Abs(want.Mean)) }
	if !near(s.Mean, want.Mean) || !near(s.Std, want.Std) {
		return invalid("hessian.spread", "mean %v and deviation %v are not %v and %v, those of its batches", s.Mean, s.Std, want.Mean, want.Std)
	}
	return nil
}

// Lanczos is the Hessian.Method that finds both ends of a spectrum, and what lies between
// them as accurately.
const Lanczos = "lanczos"

// Whole tells whether all eigenvalues are known.
func (h Hessian) Whole() bool { return h.Method == "" || h.Trace != nil }

// Alpha is one tensor of architecture parameters, before the softmax.
type Alpha struct {
	Name string      `json:"name"` // "mixed_op", "output", "input_node3", ...
	Rows [][]float64 `json:"rows"`
	// Kept has for each row the candidates of the space that its entries stand for, where
	// these are not all, as in the later stages of P-DARTS.
	Kept [][]int `json:"kept,omitempty"`
}

// TestError is the anytime test error of a record, a quantity for
// Curve.Trajectory.
func TestError(e Epoch) *float64 { return e.Lookup.TestError }

// Eigenvalue is the reported dominant eigenvalue λ of a record, a quantity for
// Curve.Trajectory.
func Eigenvalue(e Epoch) *float64 {
	if e.Hessian == nil {
		return nil
	}
	return &e.Hessian.Reported
}

// SpectralNorm is the largest absolute eigenvalue of a record, a quantity for
// Curve.Trajectory.
func SpectralNorm(e Epoch) *float64 {
	if e.Hessian == nil {
		return nil
	}
	return &e.Hessian.SpectralNorm
}

// SearchAccuracy is the accuracy of the supernet on the search part of a record, a
// quantity for Curve.Trajectory.
func SearchAccuracy(e Epoch) *float64 {
	if e.Search == nil {
		return nil
	}
	return &e.Search.Accuracy
}

// ParameterFree is the share of operations without parameters of a record, a quantity for
// Curve.Trajectory.
func ParameterFree(e Epoch) *float64 {
	if e.Structure == nil || recurrentCell(e) {
		return nil
	}
	return &e.Structure.ParameterFree
}

// recurrentCell tells whether a record has a recurrent cell, all of whose operations have
// parameters.
func recurrentCell(e Epoch) bool {
	return e.Architecture != nil && e.Architecture.Space == rnn.Name
}

// ProjectionGap is the projection gap of a record, a quantity for
// Curve.Trajectory.
func ProjectionGap(e Epoch) *float64 {
	if e.Projection == nil {
		return nil
	}
	return &e.Projection.Gap
}

// Canonical returns the contents of an epochs.jsonl without the wall times.
// Two runs of one configuration and seed on the CPU agree in it byte for byte.
func Canonical(epochs []byte) []byte {
	var out []byte
	for line := range bytes.Lines(epochs) {
		// Seconds is the last member, and no text inside a JSON string holds bare quotes.
		if i := bytes.LastIndex(line, []byte(`,"seconds":{`)); i >= 0 {
			line = append(slices.Clone(line[:i]), "}\n"...)
		}
		out = append(out, line...)
	}
	return out
}

var hash = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Check verifies one record by itself. The error is a *FormatError.
func (e Epoch) Check() error {
	if field, x := nonFinite(reflect.ValueOf(e), ""); field != "" {
		return invalid(field, "%v has no place in JSON: only finite numbers can be recorded", x)
	}
	if err := e.checkArchitecture(); err != nil {
		return err
	}
	if err := e.Lookup.check("lookup"); err != nil {
		return err
	}
	if e.Queries != nil {
		if err := e.Queries.check(); err != nil {
			return err
		}
	}
	switch {
	case e.Final && e.Training != nil:
		return invalid("training", "the final record evaluates only: it has no training")
	case e.Final && e.Language != nil:
		return invalid("language", "the final record evaluates only: it has none")
	case e.Language != nil && (e.Training != nil || e.Search != nil || e.Projection != nil):
		return invalid("language", "stands beside accuracies: want one or the other")
	}
	if e.Language != nil {
		if err := e.Language.check(); err != nil {
			return err
		}
	}
	if e.Hessian != nil {
		if err := e.Hessian.check(); err != nil {
			return err
		}
	}
	for i, a := range e.Alphas {
		if a.Name == "" || len(a.Rows) == 0 {
			return invalid(fmt.Sprintf("alphas[%d]", i), "has no name or no rows")
		}
		if a.Kept != nil {
			if len(a.Kept) != len(a.Rows) {
				return invalid(fmt.Sprintf("alphas[%d].kept", i), "has %d rows, not %d", len(a.Kept), len(a.Rows))
			}
			for j, kept := range a.Kept {
				if len(kept) != len(a.Rows[j]) || !slices.IsSorted(kept) || len(kept) > 0 && kept[0] < 0 {
					return invalid(fmt.Sprintf("alphas[%d].kept[%d]", i, j), "is %v, which are not %d candidates, ascending", kept, len(a.Rows[j]))
				}
			}
		}
	}
	return nil
}

// check verifies a lookup, the member of the given name. The error is a *FormatError.
func (l Lookup) check(member string) error {
	if l.Source == "" && l != (Lookup{}) {
		return invalid(member+".source", "is missing")
	}
	for field, x := range map[string]*float64{".test_error": l.TestError, ".valid_error": l.ValidError} {
		if x != nil && (*x < 0 || *x > 1) {
			return invalid(member+field, "%v is not in [0,1]", *x)
		}
	}
	return nil
}

// checkArchitecture verifies what was found, which is a cell or an architecture of a
// space without such cells.
func (e Epoch) checkArchitecture() error {
	if e.Architecture == nil {
		return e.Cell.check()
	}
	if e.Cell.Matrix != nil || e.Lookup != (Lookup{}) {
		return invalid("architecture", "stands beside a cell or a lookup: want one or the other")
	}
	if err := e.Architecture.Check(); err != nil {
		return invalid("architecture", "%w", err)
	}
	return nil
}

func (c Cell) check() error {
	n := len(c.Matrix)
	if n < 2 || n > 7 {
		return invalid("cell.matrix", "has %d rows, not 2 to 7", n)
	}
	for i, row := range c.Matrix {
		if len(row) != n {
			return invalid(fmt.Sprintf("cell.matrix[%d]", i), "has %d columns, not %d", len(row), n)
		}
		for j, x := range row {
			if x != 0 && (x != 1 || j <= i) {
				return invalid(fmt.Sprintf("cell.matrix[%d][%d]", i, j), "is %d: the matrix is strictly upper triangular with entries 0 and 1", x)
			}
		}
	}
	if len(c.Operations) != n {
		return invalid("cell.operations", "has %d names for %d vertices", len(c.Operations), n)
	}
	if !hash.MatchString(c.Hash) {
		return invalid("cell.hash", "%q is not 32 lower-case hex digits", c.Hash)
	}
	return nil
}

func (h Hessian) check() error {
	if len(h.Eigenvalues) == 0 {
		return invalid("hessian.eigenvalues", "is missing")
	}
	if !slices.IsSorted(h.Eigenvalues) {
		return invalid("hessian.eigenvalues", "does not ascend")
	}
	smallest, largest := h.Eigenvalues[0], h.Eigenvalues[len(h.Eigenvalues)-1]
	if h.Min != smallest {
		return invalid("hessian.min", "is %v, but the smallest eigenvalue is %v", h.Min, smallest)
	}
	if norm := max(math.Abs(smallest), math.Abs(largest)); h.SpectralNorm != norm {
		return invalid("hessian.spectral_norm", "is %v, but the largest absolute eigenvalue is %v", h.SpectralNorm, norm)
	}
	if h.Batch < 1 {
		return invalid("hessian.batch", "%d images", h.Batch)
	}
	if h.Spread != nil {
		if err := h.Spread.check(); err != nil {
			return err
		}
	}
	if h.Products < 0 || h.Method == "" && (h.Products != 0 || h.Residual != 0) {
		return invalid("hessian.products", "%d products by method %q", h.Products, h.Method)
	}
	return nil
}

// sequence verifies the order of records: epochs from 0 without a gap, and
// nothing after the final one.
type sequence struct {
	next  int
	final bool
}

func (s *sequence) accept(e Epoch) error {
	if s.final {
		return invalid("epoch", "a record follows the final one")
	}
	if e.Epoch != s.next {
		return invalid("epoch", "is %d where %d is due", e.Epoch, s.next)
	}
	s.next++
	s.final = e.Final
	return nil
}

// nonFinite returns the JSON path and the value of the first NaN or infinity
// within v; the path is empty where there is none.
func nonFinite(v reflect.Value, path string) (string, float64) {
	switch v.Kind() {
	case reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			return path, x
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return nonFinite(v.Elem(), path)
		}
	case reflect.Slice:
		if numbers, ok := v.Interface().([]float64); ok { // most of a record: no path for each
			for i, x := range numbers {
				if math.IsNaN(x) || math.IsInf(x, 0) {
					return fmt.Sprintf("%s[%d]", path, i), x
				}
			}
			return "", 0
		}
		for i := range v.Len() {
			if field, x := nonFinite(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); field != "" {
				return field, x
			}
		}
	case reflect.Map:
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			if field, x := nonFinite(v.MapIndex(key), path+"."+key.String()); field != "" {
				return field, x
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			member := path
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "" {
				member = strings.TrimPrefix(path+"."+name, ".")
			}
			if field, x := nonFinite(v.Field(i), member); field != "" {
				return field, x
			}
		}
	}
	return "", 0
}
