package cell

import (
	"fmt"
	"strings"
)

// Op is the operation of an inner vertex. Its value is the vertex label of
// NAS-Bench-101's graph hash, an order that differs from the supernet's.
type Op uint8

// The three operations of NAS-Bench-101.
const (
	Conv3x3 Op = iota
	Conv1x1
	MaxPool3x3
)

var opNames = [...]string{Conv3x3: "conv3x3-bn-relu", Conv1x1: "conv1x1-bn-relu", MaxPool3x3: "maxpool3x3"}

// The names of the first and the last vertex in a list of operation names.
const (
	inputName  = "input"
	outputName = "output"
)

// String returns NAS-Bench-101's name of the operation, such as
// "conv3x3-bn-relu".
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// ParseOp returns the operation of the given NAS-Bench-101 name.
func ParseOp(name string) (Op, error) {
	for o, n := range opNames {
		if n == name {
			return Op(o), nil
		}
	}
	return 0, fmt.Errorf("unknown operation %q: want one of %q", name, opNames)
}

// fullName returns the name of an operation that people may have as one of the
// constants of NAS-Bench-101's code, CONV1X1, or in other letters.
func fullName(name string) string {
	lower := strings.ToLower(name)
	for _, n := range append(opNames[:], inputName, outputName) {
		if lower == n || lower == strings.TrimSuffix(n, "-bn-relu") {
			return n
		}
	}
	return name
}
