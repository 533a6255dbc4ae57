package nasbench

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nb1shot/nb1shot/nasbench/cell"
)

// record is one training run of NAS-Bench-101.
type record struct {
	hash    cell.Hash
	epochs  int
	spec    cell.Spec
	metrics modelMetrics
}

// parseRecord decodes the JSON array [module_hash, epochs, raw_adjacency,
// raw_operations, raw_metrics]: the adjacency matrix as V² digits in row
// order, the operations joined by commas, the metrics a base64 protobuf.
func parseRecord(data []byte) (record, error) {
	var fields []json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return record{}, fmt.Errorf("decode record: %w", err)
	}
	if len(fields) != 5 {
		return record{}, fmt.Errorf("record is an array of %d elements, want 5", len(fields))
	}
	var r record
	var adjacency, operations, metrics string
	for i, field := range []struct {
		name string
		to   any
	}{
		{"module_hash", &r.hash}, {"epochs", &r.epochs},
		{"raw_adjacency", &adjacency}, {"raw_operations", &operations}, {"raw_metrics", &metrics},
	} {
		if err := json.Unmarshal(fields[i], field.to); err != nil {
			return record{}, fmt.Errorf("decode %s: %w", field.name, err)
		}
	}
	if r.epochs < 1 {
		return record{}, fmt.Errorf("epochs is %d, want at least 1", r.epochs)
	}
	matrix, err := parseAdjacency(adjacency)
	if err != nil {
		return record{}, err
	}
	if r.spec, err = cell.Parse(matrix, strings.Split(operations, ",")); err != nil {
		return record{}, err
	}
	raw, err := base64.StdEncoding.DecodeString(metrics) // skips line breaks
	if err != nil {
		return record{}, fmt.Errorf("decode raw_metrics: %w", err)
	}
	if r.metrics, err = parseModelMetrics(raw); err != nil {
		return record{}, fmt.Errorf("decode raw_metrics: %w", err)
	}
	return r, nil
}

// parseAdjacency reads a square matrix of digits 0 and 1 in row order.
func parseAdjacency(text string) ([][]int, error) {
	n := int(math.Sqrt(float64(len(text))))
	if n*n != len(text) {
		return nil, fmt.Errorf("raw_adjacency has %d digits, want a square number", len(text))
	}
	matrix := make([][]int, n)
	for i, digit := range []byte(text) {
		if digit != '0' && digit != '1' {
			return nil, fmt.Errorf("raw_adjacency has %q at position %d, want 0 or 1", digit, i)
		}
		matrix[i/n] = append(matrix[i/n], int(digit-'0'))
	}
	return matrix, nil
}

// modelMetrics is the protobuf message of the same name; absent fields are 0.
type modelMetrics struct {
	evaluations []evaluationData // field 1
	parameters  int32            // field 2
	totalTime   float64          // field 3, seconds with evaluation
}

// evaluationData is the protobuf message of the same name, without its
// checkpoint path (field 6).
type evaluationData struct {
	currentEpoch float64 // field 1
	Evaluation           // fields 2 to 5
}

// repeat returns what NAS-Bench-101 reports of a run: of its three
// evaluations, taken by position, the second and the third. The first
// precedes the training.
func (m modelMetrics) repeat() (Repeat, error) {
	if len(m.evaluations) != 3 {
		return Repeat{}, fmt.Errorf("%d evaluations, want 3: before, halfway and at the end", len(m.evaluations))
	}
	r := Repeat{Halfway: m.evaluations[1].Evaluation, Final: m.evaluations[2].Evaluation}
	for _, e := range []Evaluation{r.Halfway, r.Final} {
		if !(e.Seconds >= 0 && e.Seconds <= math.MaxFloat64) {
			return Repeat{}, fmt.Errorf("training time of %v s", e.Seconds)
		}
		for _, accuracy := range []float64{e.TrainAccuracy, e.ValidationAccuracy, e.TestAccuracy} {
			if !(accuracy >= 0 && accuracy <= 1) {
				return Repeat{}, fmt.Errorf("accuracy of %v, want 0 to 1", accuracy)
			}
		}
	}
	if m.parameters < 0 {
		return Repeat{}, fmt.Errorf("%d trainable parameters", m.parameters)
	}
	return r, nil
}

func parseModelMetrics(data []byte) (modelMetrics, error) {
	var m modelMetrics
	err := eachField(data, func(number uint64, v value) error {
		switch {
		case number == 1 && v.wire == wireBytes:
			e, err := parseEvaluationData(v.bytes)
			if err != nil {
				return fmt.Errorf("evaluation %d: %w", len(m.evaluations), err)
			}
			m.evaluations = append(m.evaluations, e)
		case number == 2 && v.wire == wireVarint:
			m.parameters = int32(v.number)
		case number == 3 && v.wire == wireFixed64:
			m.totalTime = math.Float64frombits(v.number)
		}
		return nil
	})
	return m, err
}

func parseEvaluationData(data []byte) (evaluationData, error) {
	var e evaluationData
	fields := [...]*float64{1: &e.currentEpoch, &e.Seconds, &e.TrainAccuracy, &e.ValidationAccuracy, &e.TestAccuracy}
	err := eachField(data, func(number uint64, v value) error {
		if number < uint64(len(fields)) && v.wire == wireFixed64 {
			*fields[number] = math.Float64frombits(v.number)
		}
		return nil
	})
	return e, err
}

// The wire types of protobuf. Groups (3 and 4) are not read.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// value is a protobuf field's value: number for the numeric wire types, bytes
// for wireBytes.
type value struct {
	wire   uint64
	number uint64
	bytes  []byte
}

var errTruncatedMessage = errors.New("protobuf message is truncated")

// eachField calls visit for every field of a protobuf message; unknown fields
// are the visitor's to ignore.
func eachField(data []byte, visit func(number uint64, v value) error) error {
	varint := func() (uint64, error) {
		x, n := binary.Uvarint(data)
		switch {
		case n == 0:
			return 0, errTruncatedMessage
		case n < 0:
			return 0, errors.New("protobuf varint overflows 64 bits")
		}
		data = data[n:]
		return x, nil
	}
	fixed := func(size uint64) ([]byte, error) {
		if uint64(len(data)) < size {
			return nil, errTruncatedMessage
		}
		b := data[:size]
		data = data[size:]
		return b, nil
	}
	for len(data) > 0 {
		tag, err := varint()
		if err != nil {
			return err
		}
		number, v := tag>>3, value{wire: tag & 7}
		if number == 0 {
			return errors.New("protobuf field has number 0")
		}
		switch v.wire {
		case wireVarint:
			v.number, err = varint()
		case wireFixed64:
			if v.bytes, err = fixed(8); err == nil {
				v.number = binary.LittleEndian.Uint64(v.bytes)
			}
		case wireBytes:
			if v.number, err = varint(); err == nil {
				v.bytes, err = fixed(v.number)
			}
		case wireFixed32:
			if v.bytes, err = fixed(4); err == nil {
				v.number = uint64(binary.LittleEndian.Uint32(v.bytes))
			}
		default:
			err = fmt.Errorf("protobuf field %d has wire type %d, want 0, 1, 2 or 5", number, v.wire)
		}
		if err != nil {
			return err
		}
		if err := visit(number, v); err != nil {
			return err
		}
	}
	return nil
}
