package nasbench

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/nb1shot/nb1shot/nasbench/dagnet"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// Surrogate predicts the mean test and validation error of any cell of
// NAS-Bench-101 at 108 epochs: their logarithms, by a small network on the graph
// of the pruned cell that Fit has trained. Isomorphic cells have the same
// prediction. It is an Oracle, and safe for use by many goroutines.
type Surrogate struct {
	model   model
	network *dagnet.Network
	file    []byte
	digest  string
}

// model is the head of a surrogate's file. What there are two of is for the test
// error and the validation error.
type model struct {
	Trained   Source                  `json:"trained"` // what the network was fitted to
	Cells     int                     `json:"cells"`   // their number
	Epochs    int                     `json:"epochs"`  // passes through them
	Seed      uint64                  `json:"seed"`
	Mean      [dagnet.Outputs]float64 `json:"mean"`      // of the logarithms of the errors
	Deviation [dagnet.Outputs]float64 `json:"deviation"` // their standard deviation
	Spread    [dagnet.Outputs]float64 `json:"spread"`    // 68 % quantiles of |ln(predicted/measured)| over held-out cells
	HeldOut   []HeldOut               `json:"held_out"`
}

// HeldOut tells how well a surrogate predicts the cells of one space that it was
// not fitted to.
type HeldOut struct {
	Space      spaces.Name `json:"space"`
	Test       Quality     `json:"test"`
	Validation Quality     `json:"validation"` // of the cells whose validation error is known, in a table of means from one run
}

// Quality compares predicted with measured errors, both fractions of images.
type Quality struct {
	Cells          int     `json:"cells"`
	Failed         int     `json:"failed"`           // of them, with a measured error of 15 % or more: the trainings of many failed
	KendallTau     float64 `json:"kendall_tau"`      // rank correlation, over all cells
	MedianError    float64 `json:"median_error"`     // median absolute error, over all cells
	MeanError      float64 `json:"mean_error"`       // mean absolute error, without the failed cells
	RootMeanSquare float64 `json:"root_mean_square"` // likewise
	BestError      float64 `json:"best_error"`       // median absolute error, over the best 5 % of the cells
}

//go:embed surrogate.bin
var embedded []byte

// Default returns the embedded surrogate.
var Default = sync.OnceValue(func() *Surrogate {
	s, err := parseSurrogate(embedded)
	if err != nil {
		panic(err) // the program was built with a broken file
	}
	return s
})

// magic starts the file of a surrogate; a line of JSON follows, the model, and
// then the network as dagnet writes it.
const magic = "nb1shot surrogate 1\n"

func parseSurrogate(file []byte) (*Surrogate, error) {
	rest, ok := bytes.CutPrefix(file, []byte(magic))
	if !ok {
		return nil, errors.New("decode surrogate: it is no surrogate of this version")
	}
	head, weights, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return nil, errors.New("decode surrogate: it ends within its header")
	}
	s := &Surrogate{network: new(dagnet.Network)}
	decoder := json.NewDecoder(bytes.NewReader(head))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s.model); err != nil {
		return nil, fmt.Errorf("decode surrogate: %w", err)
	}
	if err := s.network.UnmarshalBinary(weights); err != nil {
		return nil, fmt.Errorf("decode surrogate: %w", err)
	}
	return s, s.seal()
}

// seal computes the surrogate's file and digest.
func (s *Surrogate) seal() error {
	head, err := json.Marshal(s.model)
	if err != nil {
		return fmt.Errorf("encode surrogate: %w", err)
	}
	if s.file, err = s.network.AppendBinary(append([]byte(magic), append(head, '\n')...)); err != nil {
		return fmt.Errorf("encode surrogate: %w", err)
	}
	sum := sha256.Sum256(s.file)
	s.digest = hex.EncodeToString(sum[:])
	return nil
}

// MarshalBinary returns the surrogate's file.
func (s *Surrogate) MarshalBinary() ([]byte, error) { return slices.Clone(s.file), nil }

// HeldOut tells how well the surrogate predicts, one entry per space.
func (s *Surrogate) HeldOut() []HeldOut { return slices.Clone(s.model.HeldOut) }

// Source names the surrogate and how far off it is.
func (s *Surrogate) Source() Source {
	var misses []string
	for _, h := range s.model.HeldOut {
		misses = append(misses, fmt.Sprintf("%.2f", 100*h.Test.MeanError))
	}
	return Source{
		Kind:   KindSurrogate,
		Detail: fmt.Sprintf("a network on the cell's graph; on held-out cells of spaces 1, 2, 3 its mean absolute error is %s points", strings.Join(misses, ", ")),
		Digest: s.digest,
	}
}

// Close does nothing.
func (s *Surrogate) Close() error { return nil }

// Query predicts the errors of the cell at 108 epochs and counts its parameters;
// the rest is unknown. See Oracle.
func (s *Surrogate) Query(spec cell.Spec) (Metrics, error) {
	h, err := spec.Hash()
	if err != nil {
		return Metrics{}, err
	}
	parameters, err := TrainableParameters(spec)
	if err != nil {
		return Metrics{}, err
	}
	pruned, err := spec.Prune()
	if err != nil {
		return Metrics{}, err
	}
	e := s.predict(pruned)
	bar := func(i int) float64 { return e[i] * math.Expm1(s.model.Spread[i]) }
	m := Metrics{
		Hash:       h,
		Epochs:     Epochs,
		Kind:       KindSurrogate,
		TestError:  e[0],
		ErrorBar:   bar(0),
		Parameters: parameters,
	}
	if s.model.Spread[1] > 0 { // else it was fitted to no validation errors
		m.ValidationError, m.ValidationBar = &e[1], bar(1)
	}
	return m, nil
}

// predict returns the test and the validation error of a pruned cell, at most 1.
func (s *Surrogate) predict(pruned cell.Spec) [dagnet.Outputs]float64 {
	e := s.network.Predict(graphOf(pruned))
	for i := range e {
		e[i] = min(1, math.Exp(s.model.Mean[i]+float64(s.model.Deviation[i]*e[i])))
	}
	return e
}

// graphOf describes a pruned cell to the network: vertices with the widths that
// NAS-Bench-101 gives them, and the weights of all convolutions, in units of the
// cell's output width and its square.
func graphOf(p cell.Spec) dagnet.Graph {
	const out = 60 // divisible by 1 to 5: no remainder depends on the numbering
	widths := p.Widths(out)
	weights := 0
	for v := 1; v < len(widths); v++ {
		weights += int(p.Matrix[0][v]) * out * widths[v]
	}
	var operations []uint8
	var relative []float64
	for i, op := range p.Ops {
		w := widths[i+1]
		switch op {
		case cell.Conv3x3:
			weights += 9 * w * w
		case cell.Conv1x1:
			weights += w * w
		}
		operations = append(operations, uint8(op))
		relative = append(relative, float64(w)/out)
	}
	size := math.Log(float64(weights) / (out * out))
	return dagnet.NewGraph(operations, relative, size, func(from, to int) bool { return p.Matrix[from][to] == 1 })
}
