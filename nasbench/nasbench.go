// Package nasbench looks up cells of NAS-Bench-101 (Ying et al., 2019): in a table of
// measured results that Import built or, when there is none, in a small embedded model
// of them. Both are an Oracle, and both say which of the two they are.
package nasbench

import (
	"context"
	"errors"
	"fmt"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// Epochs is the training budget at which a search is judged: the longest of
// NAS-Bench-101's budgets of 4, 12, 36 and 108 epochs.
const Epochs = 108

// The kinds of source an answer can come from, as written in Source.Kind and in the
// provenance of runs.
const (
	// KindNASBench101 is a published file of NAS-Bench-101, that of the 108-epoch
	// runs or that of all four budgets, recognised by its SHA-256.
	KindNASBench101 = "nasbench101"
	// KindMeans is a means-only TSV: measured results, but not the repeats one
	// by one, from a file that no published checksum vouches for.
	KindMeans = "nasbench101-means"
	// KindNNI is the SQLite file that NNI made of NAS-Bench-101: measured
	// results, from a file that no published checksum vouches for.
	KindNNI = "nasbench101-nni"
	// KindSynthetic is any other file of records in NAS-Bench-101's layout:
	// what is not the published file is taken to be made up.
	KindSynthetic = "synthetic"
	// KindSurrogate is the embedded model: predicted, not measured.
	KindSurrogate = "surrogate"
)

// formerKinds are names that kinds had before, and that tables and sweeps may have
// still.
var formerKinds = map[string]string{
	"official-only108": KindNASBench101, "official-full": KindNASBench101, "means-tsv": KindMeans, "nni-sqlite": KindNNI,
}

// KindNamed is the kind of a name, which may be a former one of it.
func KindNamed(name string) string {
	if kind, ok := formerKinds[name]; ok {
		return kind
	}
	return name
}

// Source says where the answers of an Oracle come from.
type Source struct {
	Kind   string `json:"kind"`   // one of the Kind constants
	Detail string `json:"detail"` // for a reader: the file, or the model and its error
	Digest string `json:"digest"` // SHA-256, in hexadecimal, of the imported content or of the model
}

// Oracle is what a search asks after every epoch for the quality of its cell.
// Its methods may be called from many goroutines.
type Oracle interface {
	// Query returns what is known of the cell after Epochs epochs of training.
	// It fails with the errors of cell.Spec.Check where the cell is not one of
	// NAS-Bench-101, and with ErrUnknownHash or ErrUnknownBudget where it is
	// but the oracle knows nothing of it.
	Query(cell.Spec) (Metrics, error)
	Source() Source
	Close() error
}

// Budgeted is an Oracle that may know other training budgets than Epochs.
type Budgeted interface {
	Oracle
	// QueryAt is Query after another number of epochs.
	QueryAt(spec cell.Spec, epochs int) (Metrics, error)
	// Budgets returns the training budgets that it knows, in epochs, ascending.
	Budgets(context.Context) ([]int, error)
}

// BudgetsOf returns the training budgets that an oracle knows, in epochs, ascending.
func BudgetsOf(ctx context.Context, o Oracle) ([]int, error) {
	if b, ok := o.(Budgeted); ok {
		return b.Budgets(ctx)
	}
	return []int{Epochs}, nil
}

// QueryAt returns what an oracle knows of the cell after a number of epochs of training.
// It fails as Query does.
func QueryAt(o Oracle, spec cell.Spec, epochs int) (Metrics, error) {
	if b, ok := o.(Budgeted); ok {
		return b.QueryAt(spec, epochs)
	}
	if epochs != Epochs {
		return Metrics{}, fmt.Errorf("%d epochs: %w", epochs, ErrUnknownBudget)
	}
	return o.Query(spec)
}

// Metrics is what an Oracle knows of one cell at one training budget. Errors
// are fractions of the images misclassified, in [0, 1]; validation and test
// are NAS-Bench-101's 10,000 images each.
type Metrics struct {
	Hash   cell.Hash
	Epochs int
	Kind   string // Source.Kind of the oracle

	TestError       float64  // mean over Runs training runs, or predicted
	ErrorBar        float64  // half width of a 68 % interval around a predicted TestError; 0 where it was measured
	ValidationError *float64 // nil where unknown
	ValidationBar   float64  // like ErrorBar, around a predicted ValidationError
	TrainSeconds    *float64 // training time without evaluation; nil where unknown
	Parameters      int      // trainable parameters of the network built of the cell

	// Runs is the number of training runs that TestError averages: three in
	// NAS-Bench-101, 0 for a prediction. ValidationError and TrainSeconds
	// average the same runs, but are of a single one in a means-only table.
	Runs int
	// Repeats holds the runs one by one in file order, nil where only means
	// are known.
	Repeats []Repeat
}

// Halfway returns what is known after half of the epochs: the same runs, their
// errors and times as they were then. It fails with ErrUnknownBudget where the
// runs are not known one by one.
func (m Metrics) Halfway() (Metrics, error) {
	if len(m.Repeats) == 0 {
		return Metrics{}, fmt.Errorf("halfway through %d epochs of cell %v: %w", m.Epochs, m.Hash, ErrUnknownBudget)
	}
	m.setMeans(func(r Repeat) Evaluation { return r.Halfway })
	return m, nil
}

// setMeans sets the means of the runs' evaluations of one moment.
func (m *Metrics) setMeans(moment func(Repeat) Evaluation) {
	test, validation, seconds := means(m.Repeats, moment)
	m.TestError, m.ValidationError, m.TrainSeconds = test, &validation, &seconds
}

// final is the moment that a budget is about.
func final(r Repeat) Evaluation { return r.Final }

// means returns the mean test and validation error and the mean training time.
func means(runs []Repeat, moment func(Repeat) Evaluation) (test, validation, seconds float64) {
	for _, r := range runs {
		e := moment(r)
		test += 1 - e.TestAccuracy
		validation += 1 - e.ValidationAccuracy
		seconds += e.Seconds
	}
	n := float64(len(runs))
	return test / n, validation / n, seconds / n
}

// Repeat is one training run, evaluated twice.
type Repeat struct {
	Halfway, Final Evaluation
}

// Evaluation is a network's state at one moment of its training. Accuracies
// are in [0, 1].
type Evaluation struct {
	Seconds            float64 // training time so far, evaluation excluded
	TrainAccuracy      float64
	ValidationAccuracy float64
	TestAccuracy       float64
}

var (
	// ErrUnknownHash reports a valid cell that is not in the table.
	ErrUnknownHash = errors.New("cell is not in the table")
	// ErrUnknownBudget reports a cell whose test error at the asked number of
	// epochs is not in the table.
	ErrUnknownBudget = errors.New("training budget is not in the table")
)

// CorruptError reports a file that cannot be imported because of what it
// contains.
type CorruptError struct {
	Path   string
	Offset int64 // of the record or line at fault, in bytes of the uncompressed content
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at byte %d: %s", e.Path, e.Offset, e.Reason)
}
