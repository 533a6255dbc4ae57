package nasbench

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/nb1shot/nb1shot/internal/protobuf"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// record is one training run of NAS-Bench-101.
type record struct {
	hash    cell.Hash
	epochs  int
	spec    cell.Spec
	metrics modelMetrics
}

// parser decodes records. It remembers the cell of the last one, as the runs of
// a cell come one after another.
type parser struct {
	adjacency, operations []byte // of spec
	spec                  cell.Spec
	same                  bool   // the last record's cell was that of the record before
	message               []byte // protobuf
	evaluations           []evaluationData
}

// fields are the elements of a record's JSON array, undecoded but for the
// strings' escapes. The slices may alias the record.
type fields struct {
	hash                           []byte
	epochs                         int
	adjacency, operations, metrics []byte
}

// parse decodes the JSON array [module_hash, epochs, raw_adjacency,
// raw_operations, raw_metrics]: the adjacency matrix as V² digits in row
// order, the operations joined by commas, the metrics a base64 protobuf. The
// evaluations are only valid until the next call.
func (p *parser) parse(data []byte) (record, error) {
	f, ok := scanFields(data)
	if !ok {
		var err error
		if f, err = decodeFields(data); err != nil {
			return record{}, err
		}
	}
	var r record
	if err := r.hash.UnmarshalText(f.hash); err != nil {
		return record{}, fmt.Errorf("decode module_hash: %w", err)
	}
	if r.epochs = f.epochs; r.epochs < 1 {
		return record{}, fmt.Errorf("epochs is %d, want at least 1", r.epochs)
	}
	p.same = p.spec.Matrix != nil && bytes.Equal(p.adjacency, f.adjacency) && bytes.Equal(p.operations, f.operations)
	if !p.same {
		spec, err := parseCell(f.adjacency, f.operations)
		if err != nil {
			return record{}, err
		}
		p.spec = spec
		p.adjacency = append(p.adjacency[:0], f.adjacency...)
		p.operations = append(p.operations[:0], f.operations...)
	}
	r.spec = p.spec
	raw, err := base64.StdEncoding.AppendDecode(p.message[:0], f.metrics) // skips line breaks
	p.message = raw
	if err != nil {
		return record{}, fmt.Errorf("decode raw_metrics: %w", err)
	}
	r.metrics.evaluations = p.evaluations[:0]
	if err := r.metrics.parse(raw); err != nil {
		return record{}, fmt.Errorf("decode raw_metrics: %w", err)
	}
	p.evaluations = r.metrics.evaluations
	return r, nil
}

// scanFields splits an array as NAS-Bench-101's files have it: five elements,
// none of them null, and strings without escapes. Of anything else it leaves the
// judgement to decodeFields.
func scanFields(data []byte) (f fields, ok bool) {
	s := scanner{rest: data, ok: true}
	s.skip('[')
	f.hash = s.text()
	s.skip(',')
	f.epochs = s.number()
	s.skip(',')
	f.adjacency = s.text()
	s.skip(',')
	f.operations = s.text()
	s.skip(',')
	f.metrics = s.text()
	s.skip(']')
	s.space()
	return f, s.ok && len(s.rest) == 0
}

// scanner takes tokens off a text as long as it is ok.
type scanner struct {
	rest []byte
	ok   bool
}

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r' || s.rest[0] == '\n') {
		s.rest = s.rest[1:]
	}
}

func (s *scanner) skip(c byte) {
	s.space()
	if s.ok = s.ok && len(s.rest) > 0 && s.rest[0] == c; s.ok {
		s.rest = s.rest[1:]
	}
}

func (s *scanner) text() []byte {
	s.skip('"')
	if !s.ok {
		return nil
	}
	end := bytes.IndexByte(s.rest, '"')
	if s.ok = end >= 0; !s.ok {
		return nil
	}
	text := s.rest[:end]
	s.rest = s.rest[end+1:]
	// Line breaks are base64's to skip, but not between quotes in JSON.
	for _, c := range []byte("\\\n\r") {
		s.ok = s.ok && bytes.IndexByte(text, c) < 0
	}
	return text
}

// number reads up to nine digits.
func (s *scanner) number() int {
	s.space()
	n, digits := 0, 0
	for digits < len(s.rest) && digits < 9 && '0' <= s.rest[digits] && s.rest[digits] <= '9' {
		n = 10*n + int(s.rest[digits]-'0')
		digits++
	}
	// JSON has no leading zeros.
	s.ok = s.ok && digits > 0 && (s.rest[0] != '0' || digits == 1)
	s.rest = s.rest[digits:]
	return n
}

// decodeFields splits any JSON array.
func decodeFields(data []byte) (fields, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(data, &elements); err != nil {
		return fields{}, fmt.Errorf("decode record: %w", err)
	}
	if len(elements) != 5 {
		return fields{}, fmt.Errorf("record is an array of %d elements, want 5", len(elements))
	}
	var epochs int
	var hash, adjacency, operations, metrics string
	for i, element := range []struct {
		name string
		to   any
	}{
		{"module_hash", &hash}, {"epochs", &epochs},
		{"raw_adjacency", &adjacency}, {"raw_operations", &operations}, {"raw_metrics", &metrics},
	} {
		if err := json.Unmarshal(elements[i], element.to); err != nil {
			return fields{}, fmt.Errorf("decode %s: %w", element.name, err)
		}
	}
	return fields{[]byte(hash), epochs, []byte(adjacency), []byte(operations), []byte(metrics)}, nil
}

// parseCell reads an adjacency matrix and the names of its vertices.
func parseCell(adjacency, operations []byte) (cell.Spec, error) {
	if spec, ok := scanCell(adjacency, operations); ok {
		return spec, nil
	}
	matrix, err := parseAdjacency(adjacency)
	if err != nil {
		return cell.Spec{}, err
	}
	return cell.Parse(matrix, strings.Split(string(operations), ","))
}

// scanCell reads a valid cell of at most cell.MaxVertices vertices. Of anything
// else it leaves the judgement to cell.Parse.
func scanCell(adjacency, operations []byte) (spec cell.Spec, ok bool) {
	n := 2
	for n*n < len(adjacency) {
		n++
	}
	if n*n != len(adjacency) || n > cell.MaxVertices {
		return cell.Spec{}, false
	}
	var edges uint32
	for i, digit := range adjacency {
		x, y := i/n, i%n
		switch {
		case digit == '1' && x < y:
			edges |= 1 << (x + y*(y-1)/2)
		case digit != '0':
			return cell.Spec{}, false
		}
	}
	rest, ok := bytes.CutPrefix(operations, []byte("input,"))
	if !ok {
		return cell.Spec{}, false
	}
	if rest, ok = bytes.CutSuffix(rest, []byte("output")); !ok {
		return cell.Spec{}, false
	}
	ops := make([]cell.Op, 0, cell.MaxVertices)
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, ',')
		if end < 0 || len(ops) == cap(ops) {
			return cell.Spec{}, false
		}
		op, err := cell.ParseOp(string(rest[:end]))
		if err != nil {
			return cell.Spec{}, false
		}
		ops = append(ops, op)
		rest = rest[end+1:]
	}
	spec, err := cell.FromBits(n, edges, ops)
	return spec, err == nil
}

// parseAdjacency reads a square matrix of digits 0 and 1 in row order.
func parseAdjacency(text []byte) ([][]int, error) {
	n := int(math.Sqrt(float64(len(text))))
	if n*n != len(text) {
		return nil, fmt.Errorf("raw_adjacency has %d digits, want a square number", len(text))
	}
	matrix := make([][]int, n)
	for i, digit := range text {
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
		if !(e.Seconds >= 0 && e.Seconds <= math.MaxFloat32) {
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

// parse adds the fields of a message.
func (m *modelMetrics) parse(data []byte) error {
	return protobuf.Each(data, func(f protobuf.Field) error {
		switch f.Key {
		case protobuf.Bytes(1):
			e, err := parseEvaluationData(f.Bytes)
			if err != nil {
				return fmt.Errorf("evaluation %d: %w", len(m.evaluations), err)
			}
			m.evaluations = append(m.evaluations, e)
		case protobuf.Varint(2):
			m.parameters = int32(f.Bits)
		case protobuf.Fixed64(3):
			m.totalTime = math.Float64frombits(f.Bits)
		}
		return nil
	})
}

func parseEvaluationData(data []byte) (evaluationData, error) {
	var e evaluationData
	fields := [...]*float64{1: &e.currentEpoch, &e.Seconds, &e.TrainAccuracy, &e.ValidationAccuracy, &e.TestAccuracy}
	err := protobuf.Each(data, func(f protobuf.Field) error {
		if int(f.Number) < len(fields) && f.Key == protobuf.Fixed64(f.Number) {
			*fields[f.Number] = math.Float64frombits(f.Bits)
		}
		return nil
	})
	return e, err
}
