package nasbench

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/nb1shot/nb1shot/nasbench/cell"
)

// Surrogate predicts the mean test error of any cell of NAS-Bench-101 at 108
// epochs: the logarithm of the error is linear in features of the pruned cell,
// with coefficients from Fit. Isomorphic cells have the same prediction. It is
// an Oracle, and safe for use by many goroutines.
type Surrogate struct {
	model  model
	digest string
}

// model is the content of a surrogate's file.
type model struct {
	// Trained is what the coefficients were fitted to.
	Trained Source `json:"trained"`
	// Cells is the number of cells they were fitted to.
	Cells int `json:"cells"`
	// Spread is the 68 % quantile of |ln(predicted/measured)| over the held-out
	// cells of the three spaces.
	Spread float64 `json:"spread"`
	// HeldOut tells how well it predicts, per space.
	HeldOut []HeldOut `json:"held_out"`
	// Weights are the coefficients by feature.
	Weights map[string]float64 `json:"weights"`
}

// HeldOut tells how well a surrogate predicts the mean test error of the cells
// of one space that it was not fitted to. Cells whose mean test error is at or
// above 25 % are left out: nearly always one of their runs diverged, which the
// surrogate does not predict.
type HeldOut struct {
	Space       int     `json:"space"`
	Cells       int     `json:"cells"`
	Diverged    int     `json:"diverged"`     // held-out cells that are left out
	MedianError float64 `json:"median_error"` // median absolute error, fraction of images
	MeanError   float64 `json:"mean_error"`   // mean absolute error, fraction of images
	KendallTau  float64 `json:"kendall_tau"`  // rank correlation of predicted and measured
}

//go:embed surrogate.json
var embedded []byte

// Default returns the embedded surrogate.
var Default = sync.OnceValue(func() *Surrogate {
	s, err := parseSurrogate(embedded)
	if err != nil {
		panic(err) // the program was built with a broken file
	}
	return s
})

func parseSurrogate(file []byte) (*Surrogate, error) {
	var m model
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return nil, fmt.Errorf("decode surrogate: %w", err)
	}
	return newSurrogate(m)
}

func newSurrogate(m model) (*Surrogate, error) {
	canonical, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode surrogate: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return &Surrogate{m, hex.EncodeToString(sum[:])}, nil
}

// MarshalJSON returns the surrogate's file.
func (s *Surrogate) MarshalJSON() ([]byte, error) { return json.Marshal(s.model) }

// HeldOut tells how well the surrogate predicts, one entry per space.
func (s *Surrogate) HeldOut() []HeldOut { return slices.Clone(s.model.HeldOut) }

// Source names the surrogate and how far off it is.
func (s *Surrogate) Source() Source {
	var misses []string
	for _, h := range s.model.HeldOut {
		misses = append(misses, fmt.Sprintf("%.4f", h.MeanError))
	}
	return Source{
		Kind:   KindSurrogate,
		Detail: fmt.Sprintf("ridge regression; mean absolute error on held-out cells of spaces 1, 2, 3: %s", strings.Join(misses, ", ")),
		Digest: s.digest,
	}
}

// Close does nothing.
func (s *Surrogate) Close() error { return nil }

// Query predicts the test error of the cell at 108 epochs and counts its
// parameters; the rest is unknown. See Oracle.
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
	e := s.model.predict(features(pruned))
	return Metrics{
		Hash:       h,
		Epochs:     Epochs,
		Kind:       KindSurrogate,
		TestError:  e,
		ErrorBar:   e * math.Expm1(s.model.Spread),
		Parameters: parameters,
	}, nil
}

func (m *model) predict(fs []feature) float64 {
	var log float64
	for _, f := range fs {
		log += m.Weights[f.name] * f.value
	}
	return math.Exp(log)
}

// feature is a property of a pruned cell that does not depend on how its
// vertices are numbered.
type feature struct {
	name  string
	value float64
}

// symbols name the vertices in features: the operations, input and output.
const symbols = "31pio"

// features returns the features of a pruned cell that are not zero, by name:
//
//   - "path 3p": there is a path from input to output through a conv3x3 and a
//     maxpool3x3, in this order;
//   - "in 1:i3": there is a conv1x1 whose predecessors are the input and a
//     conv3x3; "out" likewise with successors;
//   - "spatial 2": there are two operations with a 3×3 window. Cells without
//     any see no neighbourhood and are by far the worst;
//   - the extremes over all paths: "longest", "shortest" (vertices), "most 3",
//     "fewest 3", "most p" (vertices of that operation);
//   - "width 3": the summed width of the conv3x3 vertices, relative to the
//     cell's output, and likewise "width 1", "width p";
//   - "log cost": logarithm of the weights of all convolutions, likewise relative;
//   - "bias": 1.
func features(p cell.Spec) []feature {
	last := p.Vertices() - 1
	symbol := func(v int) byte {
		switch v {
		case 0:
			return symbols[3]
		case last:
			return symbols[4]
		}
		return symbols[p.Ops[v-1]]
	}

	present := map[string]bool{}
	var longest, most3, mostPool float64
	shortest, fewest3 := math.Inf(1), math.Inf(1)
	eachPath(p, symbol, func(path string) {
		present["path "+path] = true
		length, n3 := float64(len(path)), float64(strings.Count(path, "3"))
		longest, shortest = max(longest, length), min(shortest, length)
		most3, fewest3 = max(most3, n3), min(fewest3, n3)
		mostPool = max(mostPool, float64(strings.Count(path, "p")))
	})
	spatial := 0
	for v := range last + 1 {
		var in, out []byte
		for u := range last + 1 {
			if p.Matrix[u][v] == 1 {
				in = append(in, symbol(u))
			}
			if p.Matrix[v][u] == 1 {
				out = append(out, symbol(u))
			}
		}
		slices.Sort(in)
		slices.Sort(out)
		present["in "+string(symbol(v))+":"+string(in)] = true
		present["out "+string(symbol(v))+":"+string(out)] = true
		if s := symbol(v); s == '3' || s == 'p' {
			spatial++
		}
	}
	present[fmt.Sprintf("spatial %d", spatial)] = true

	width, cost := relativeWidths(p)
	fs := []feature{
		{"bias", 1}, {"longest", longest}, {"shortest", shortest},
		{"most 3", most3}, {"fewest 3", fewest3}, {"most p", mostPool},
		{"width 3", width[cell.Conv3x3]}, {"width 1", width[cell.Conv1x1]}, {"width p", width[cell.MaxPool3x3]},
		{"log cost", math.Log(cost)},
	}
	for name := range present {
		fs = append(fs, feature{name, 1})
	}
	slices.SortFunc(fs, func(a, b feature) int { return strings.Compare(a.name, b.name) })
	return fs
}

// eachPath calls visit with the symbols of the inner vertices of every path
// from input to output.
func eachPath(p cell.Spec, symbol func(v int) byte, visit func(path string)) {
	last := p.Vertices() - 1
	var walk func(v int, path []byte)
	walk = func(v int, path []byte) {
		for w := v + 1; w < last; w++ {
			if p.Matrix[v][w] == 1 {
				walk(w, append(path, symbol(w)))
			}
		}
		if p.Matrix[v][last] == 1 {
			visit(string(path))
		}
	}
	walk(0, make([]byte, 0, last))
}

// relativeWidths returns the summed widths of the vertices of each operation
// and the weights of all convolutions, in units of the cell's output width and
// its square.
func relativeWidths(p cell.Spec) (width [3]float64, cost float64) {
	const out = 60 // divisible by 1 to 5: no remainder depends on the numbering
	widths := vertexWidths(p, out)
	var sums [3]int
	weights := 0
	for v := 1; v < len(widths); v++ {
		weights += int(p.Matrix[0][v]) * out * widths[v]
	}
	for i, op := range p.Ops {
		w := widths[i+1]
		sums[op] += w
		switch op {
		case cell.Conv3x3:
			weights += 9 * w * w
		case cell.Conv1x1:
			weights += w * w
		}
	}
	for op, sum := range sums {
		width[op] = float64(sum) / out
	}
	return width, float64(weights) / (out * out)
}
