package results

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/spaces"
)

// What the directions of a Landscape move.
const (
	MovedAlphas  = "alphas"  // the architecture parameters, before the softmax
	MovedSimplex = "simplex" // the mixing weights, brought back to the simplex by the clip rule
)

// Landscape is the supernet around its architecture parameters, over the plane
// of two orthonormal directions: the gradient of the loss, along which it rises,
// and a random one (paper, Figure 1).
type Landscape struct {
	Space        spaces.Name `json:"space"`
	Moved        string      `json:"moved"`         // MovedAlphas or MovedSimplex
	Seed         uint64      `json:"seed"`          // of the random direction
	Images       int         `json:"images"`        // every point is scored on, by batch statistics
	GradientNorm float64     `json:"gradient_norm"` // 2-norm of the gradient, which the first direction lacks
	RandomNorm   float64     `json:"random_norm"`   // 2-norm of the Gaussian vector without its part along the gradient, which the second lacks
	Directions   [][]float64 `json:"directions"`    // the two, of unit 2-norm
	Coordinates  []float64   `json:"coordinates"`   // of the points along both directions: an odd number, ascending, 0 in the middle
	Accuracy     [][]float64 `json:"accuracy"`      // top-1, in [0,1]; row i, column j is at Coordinates[j] along the gradient and Coordinates[i] along the random direction
	Loss         [][]float64 `json:"loss"`          // cross-entropy, nats; in the order of Accuracy
	Sharpness    Sharpness   `json:"sharpness"`
}

// Sharpness compares a circle around the architecture parameters with them.
type Sharpness struct {
	Radius       float64 `json:"radius"`        // of the circle
	Points       int     `json:"points"`        // evenly spaced on it
	AccuracyDrop float64 `json:"accuracy_drop"` // accuracy in the centre less the mean on the circle, in [-1,1]
	LossRise     float64 `json:"loss_rise"`     // mean loss on the circle less that in the centre, nats
}

// Centre is the score of the architecture parameters themselves.
func (l Landscape) Centre() Score {
	i := len(l.Coordinates) / 2
	return Score{Loss: l.Loss[i][i], Accuracy: l.Accuracy[i][i]}
}

// Check verifies a landscape that came from elsewhere, or is to be recorded.
// The error is a *FormatError.
func (l Landscape) Check() error {
	if field, x := nonFinite(reflect.ValueOf(l), ""); field != "" {
		return invalid(field, "%v has no place in JSON: only finite numbers can be recorded", x)
	}
	if err := l.Space.Check(); err != nil {
		return invalid("space", "%w", err)
	}
	if l.Moved != MovedAlphas && l.Moved != MovedSimplex {
		return invalid("moved", "is %q: want %q or %q", l.Moved, MovedAlphas, MovedSimplex)
	}
	if l.Images < 1 {
		return invalid("images", "%d images", l.Images)
	}
	if len(l.Directions) != 2 || len(l.Directions[0]) == 0 || len(l.Directions[0]) != len(l.Directions[1]) {
		return invalid("directions", "are not two of equal length")
	}
	n := len(l.Coordinates)
	if n < 3 || n%2 == 0 || l.Coordinates[n/2] != 0 {
		return invalid("coordinates", "are not an odd number, at least 3, with 0 in the middle")
	}
	for i := 1; i < n; i++ {
		if l.Coordinates[i] <= l.Coordinates[i-1] {
			return invalid(fmt.Sprintf("coordinates[%d]", i), "does not ascend")
		}
	}
	for field, rows := range map[string][][]float64{"accuracy": l.Accuracy, "loss": l.Loss} {
		if len(rows) != n {
			return invalid(field, "has %d rows for %d coordinates", len(rows), n)
		}
		for i, row := range rows {
			if len(row) != n {
				return invalid(fmt.Sprintf("%s[%d]", field, i), "has %d columns for %d coordinates", len(row), n)
			}
		}
	}
	for i, row := range l.Accuracy {
		if j := slices.IndexFunc(row, func(x float64) bool { return x < 0 || x > 1 }); j >= 0 {
			return invalid(fmt.Sprintf("accuracy[%d][%d]", i, j), "%v is not in [0,1]", row[j])
		}
	}
	return nil
}

// RunLandscape is the landscape of the supernet that a run trained, and the
// content of a landscape file.
type RunLandscape struct {
	Format     int        `json:"format"` // Version, set by Marshal; a file from before it was written has none
	Run        string     `json:"run"`    // Run.Name of the run
	Provenance Provenance `json:"provenance"`
	Landscape
}

// Marshal returns the content of the landscape file.
func (l RunLandscape) Marshal() ([]byte, error) {
	l.Format = Version
	text, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return nil, fmt.Errorf("landscape: %w", err)
	}
	return append(text, '\n'), nil
}

// maxLandscape bounds a landscape file, in bytes.
const maxLandscape = 64 << 20

// ReadLandscape reads a landscape file. A file that breaks the format gives a
// *FormatError.
func ReadLandscape(path string) (RunLandscape, error) {
	var l RunLandscape
	data, err := foreign.ReadFile(path, maxLandscape)
	if err != nil {
		return l, fmt.Errorf("read landscape: %w", err)
	}
	if err := decode(path, 1, data, &l); err != nil {
		return l, fmt.Errorf("read landscape: %w", err)
	}
	if l.Format == 0 {
		l.Format = Version
	}
	if l.Format != Version {
		err = invalid("format", "version %d, but this program reads version %d only", l.Format, Version)
	} else {
		err = l.Check()
	}
	if err == nil {
		_, _, err = l.Origin()
	}
	if err != nil {
		return l, fmt.Errorf("read landscape: %w", locate(err, path, 0))
	}
	return l, nil
}

// runName splits what follows the space in a run's name at algorithm with preset, and
// seed.
var runName = regexp.MustCompile(`^([a-z0-9-]+)-[0-9a-f]{8}-seed([0-9]+)$`)

// Origin returns the algorithm and the seed of the run, which stand in its name.
// The error is a *FormatError.
func (l RunLandscape) Origin() (algorithm string, seed uint64, err error) {
	if l.Provenance.Preset == "" {
		return "", 0, invalid("provenance.preset", "is missing")
	}
	rest, inSpace := strings.CutPrefix(l.Run, l.Space.Prefix()+"-")
	m := runName.FindStringSubmatch(rest)
	if !inSpace || m == nil {
		return "", 0, invalid("run", "%q is not the name of a run in space %s", l.Run, l.Space)
	}
	algorithm, found := strings.CutSuffix(m[1], "-"+l.Provenance.Preset)
	if !found || !name.MatchString(algorithm) {
		return "", 0, invalid("run", "%q is not the name of a run of preset %s", l.Run, l.Provenance.Preset)
	}
	if seed, err = strconv.ParseUint(m[2], 10, 64); err != nil {
		return "", 0, invalid("run", "%q has no seed: %w", l.Run, err)
	}
	return algorithm, seed, nil
}
