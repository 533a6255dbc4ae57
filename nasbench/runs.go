package nasbench

import (
	"encoding/binary"
	"errors"
	"math"
)

// budgetRuns are the training runs of a cell at one budget, in file order.
type budgetRuns struct {
	epochs int
	runs   []Repeat
}

// The runs of a cell are stored one budget after another, each as
//
//	uvarint  epochs
//	byte     number of runs, plus exactRuns if any of them does not fit below
//	         run by run, halfway and at the end, little endian:
//	4 bytes  training seconds, float32
//	2 bytes  train, then validation, then test accuracy: k of float32(k/9984)
//
// or, with exactRuns, the same four numbers as 8-byte floats. All of
// NAS-Bench-101's own runs fit, as their accuracies are of 9,984 images and
// their numbers were float32 when they were measured.
const (
	exactRuns   = 0x80
	compactSize = 2 * (4 + 3*2) // of a run, in bytes
	exactSize   = 2 * 4 * 8
)

var errPackedRuns = errors.New("stored runs are damaged")

func (b *budgetRuns) append(blob []byte) []byte {
	blob = binary.AppendUvarint(blob, uint64(b.epochs))
	header := len(blob)
	blob = append(blob, byte(len(b.runs)))
	for i := range b.runs {
		var ok bool
		if blob, ok = appendCompact(blob, &b.runs[i]); !ok {
			return b.appendExact(blob[:header])
		}
	}
	return blob
}

func appendCompact(blob []byte, r *Repeat) ([]byte, bool) {
	for _, e := range [...]*Evaluation{&r.Halfway, &r.Final} {
		seconds := float32(e.Seconds)
		train, ok1 := packAccuracy(e.TrainAccuracy)
		validation, ok2 := packAccuracy(e.ValidationAccuracy)
		test, ok3 := packAccuracy(e.TestAccuracy)
		if float64(seconds) != e.Seconds || !ok1 || !ok2 || !ok3 {
			return blob, false
		}
		blob = binary.LittleEndian.AppendUint32(blob, math.Float32bits(seconds))
		blob = binary.LittleEndian.AppendUint16(blob, train)
		blob = binary.LittleEndian.AppendUint16(blob, validation)
		blob = binary.LittleEndian.AppendUint16(blob, test)
	}
	return blob, true
}

func (b *budgetRuns) appendExact(blob []byte) []byte {
	blob = append(blob, byte(len(b.runs))|exactRuns)
	for _, r := range b.runs {
		for _, e := range [...]Evaluation{r.Halfway, r.Final} {
			for _, x := range [...]float64{e.Seconds, e.TrainAccuracy, e.ValidationAccuracy, e.TestAccuracy} {
				blob = binary.LittleEndian.AppendUint64(blob, math.Float64bits(x))
			}
		}
	}
	return blob
}

// packAccuracy returns the k of an accuracy in [0, 1] that is float32(k/9984).
func packAccuracy(accuracy float64) (k uint16, ok bool) {
	k = uint16(accuracy*evaluationImages + 0.5)
	return k, unpackAccuracy(k) == accuracy
}

func unpackAccuracy(k uint16) float64 { return float64(float32(float64(k) / evaluationImages)) }

// nextBudget splits the first budget off a blob: its epochs, and its runs still
// packed. header is the byte before them.
func nextBudget(blob []byte) (epochs int, header byte, packed, rest []byte, err error) {
	e, n := binary.Uvarint(blob)
	if n <= 0 || e > math.MaxInt || n == len(blob) {
		return 0, 0, nil, nil, errPackedRuns
	}
	header, rest = blob[n], blob[n+1:]
	size := int(header&^exactRuns) * compactSize
	if header&exactRuns != 0 {
		size = int(header&^exactRuns) * exactSize
	}
	if size == 0 || size > len(rest) || header&^exactRuns > officialRepeats {
		return 0, 0, nil, nil, errPackedRuns
	}
	return int(e), header, rest[:size], rest[size:], nil
}

// unpackRuns reads the runs that nextBudget split off.
func unpackRuns(header byte, packed []byte) ([]Repeat, error) {
	runs := make([]Repeat, header&^exactRuns)
	for i := range runs {
		for _, e := range [...]*Evaluation{&runs[i].Halfway, &runs[i].Final} {
			if header&exactRuns == 0 {
				e.Seconds = float64(math.Float32frombits(binary.LittleEndian.Uint32(packed)))
				e.TrainAccuracy = unpackAccuracy(binary.LittleEndian.Uint16(packed[4:]))
				e.ValidationAccuracy = unpackAccuracy(binary.LittleEndian.Uint16(packed[6:]))
				e.TestAccuracy = unpackAccuracy(binary.LittleEndian.Uint16(packed[8:]))
				packed = packed[compactSize/2:]
				continue
			}
			for _, x := range [...]*float64{&e.Seconds, &e.TrainAccuracy, &e.ValidationAccuracy, &e.TestAccuracy} {
				*x = math.Float64frombits(binary.LittleEndian.Uint64(packed))
				packed = packed[8:]
			}
		}
		if !runs[i].Halfway.valid() || !runs[i].Final.valid() {
			return nil, errPackedRuns
		}
	}
	return runs, nil
}

// valid tells whether the numbers are in their ranges.
func (e *Evaluation) valid() bool {
	return e.Seconds >= 0 && e.Seconds <= math.MaxFloat32 &&
		isFraction(e.TrainAccuracy) && isFraction(e.ValidationAccuracy) && isFraction(e.TestAccuracy)
}

// findRuns returns the runs of one budget, nil where the blob has none of it.
func findRuns(blob []byte, epochs int) (runs []Repeat, err error) {
	for len(blob) > 0 {
		e, header, packed, rest, err := nextBudget(blob)
		if err != nil {
			return nil, err
		}
		if e == epochs {
			return unpackRuns(header, packed)
		}
		blob = rest
	}
	return nil, nil
}

// allRuns returns the runs of every budget.
func allRuns(blob []byte) (all []budgetRuns, err error) {
	for len(blob) > 0 {
		e, header, packed, rest, err := nextBudget(blob)
		if err != nil {
			return nil, err
		}
		runs, err := unpackRuns(header, packed)
		if err != nil {
			return nil, err
		}
		all = append(all, budgetRuns{e, runs})
		blob = rest
	}
	return all, nil
}
