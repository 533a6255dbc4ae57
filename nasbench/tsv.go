package nasbench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

const (
	// evaluationImages is the number of images of each of NAS-Bench-101's
	// evaluations: 39 batches of 256. Every accuracy is k/evaluationImages.
	evaluationImages = 9984
	// officialRepeats is the number of training runs per cell and budget.
	officialRepeats = 3
	// maxLine bounds a line of a means-only TSV, in bytes.
	maxLine = 1 << 16
)

// meanRow is a line of a means-only TSV: the results of one cell at 108 epochs.
type meanRow struct {
	hash            cell.Hash
	spec            cell.Spec
	parameters      int
	testError       float64
	validationError *float64 // of one repeat
	trainSeconds    *float64 // of the same repeat
}

// meanColumns are the columns that are read and how; a line is parsed in this
// order. Only these may be empty or missing: validation and time.
var meanColumns = [...]struct {
	name     string
	optional bool
	parse    func(row *rawRow, text string) error
}{
	{"hash", false, func(r *rawRow, text string) (err error) { r.hash, err = cell.ParseHash(text); return }},
	{"vertices", false, func(r *rawRow, text string) (err error) {
		r.vertices, err = parseInt(text, cell.MaxVertices)
		return
	}},
	{"adj_bits", false, func(r *rawRow, text string) (err error) {
		r.adjacency, err = parseInt(text, math.MaxInt32)
		return
	}},
	{"ops", false, func(r *rawRow, text string) (err error) { r.ops, err = parseOps(text); return }},
	{"params", false, func(r *rawRow, text string) (err error) {
		r.parameters, err = parseInt(text, math.MaxInt32)
		return
	}},
	{"test_sum3_x9984", false, func(r *rawRow, text string) error {
		k, err := parseInt(text, officialRepeats*evaluationImages)
		r.testError = 1 - float64(k)/(officialRepeats*evaluationImages)
		return err
	}},
	{"val108_x9984", true, func(r *rawRow, text string) error {
		k, err := parseInt(text, evaluationImages)
		e := 1 - float64(k)/evaluationImages
		r.validationError = &e
		return err
	}},
	{"train_time108_s", true, func(r *rawRow, text string) error {
		s, err := strconv.ParseFloat(text, 64)
		if err == nil && !(s >= 0 && s <= math.MaxFloat64) {
			err = fmt.Errorf("%q is not a number of seconds", text)
		}
		r.trainSeconds = &s
		return err
	}},
}

// rawRow is a meanRow whose cell is still in the columns vertices, adj_bits and ops.
type rawRow struct {
	meanRow
	vertices, adjacency int
	ops                 []cell.Op
}

func parseInt(text string, most int) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > uint64(most) {
		return 0, fmt.Errorf("%q is not an integer from 0 to %d", text, most)
	}
	return int(n), nil
}

// parseOps reads one digit per inner vertex, "-" where there is none.
func parseOps(text string) ([]cell.Op, error) {
	if text == "-" {
		return nil, nil
	}
	ops := make([]cell.Op, len(text))
	for i, digit := range []byte(text) {
		if digit < '0' || digit > '2' {
			return nil, fmt.Errorf("%q has %q at position %d, want a digit 0 to 2", text, digit, i)
		}
		ops[i] = cell.Op(digit - '0')
	}
	return ops, nil
}

// readMeans calls visit with each line of a means-only TSV and the offset at
// which the line begins. Every line ends with a newline, so that a truncated
// file is not mistaken for a short one.
func readMeans(r io.Reader, path string, visit func(offset int64, row meanRow) error) error {
	lines := bufio.NewReaderSize(r, maxLine)
	var columns [len(meanColumns)]int // position of each of meanColumns; -1: missing
	var width int
	var offset int64
	for number := 1; ; number++ {
		corrupt := func(format string, args ...any) error {
			return &CorruptError{path, offset, fmt.Sprintf("line %d: ", number) + fmt.Sprintf(format, args...)}
		}
		line, err := lines.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0 && number > 1:
			return nil
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF): // the latter of a truncated gzip file
			return corrupt("truncated")
		case errors.Is(err, bufio.ErrBufferFull):
			return corrupt("longer than %d bytes", maxLine)
		case err != nil:
			return fmt.Errorf("read %s at byte %d: %w", path, offset, err)
		}
		fields := strings.Split(string(bytes.TrimSuffix(line, []byte("\n"))), "\t")
		if number == 1 {
			if columns, err = findColumns(fields); err != nil {
				return corrupt("%v", err)
			}
			width = len(fields)
		} else {
			if len(fields) != width {
				return corrupt("%d columns, want %d as in the header", len(fields), width)
			}
			row, err := parseMeanRow(fields, columns)
			if err != nil {
				return corrupt("%v", err)
			}
			if err := visit(offset, row); err != nil {
				return err
			}
		}
		offset += int64(len(line))
	}
}

func findColumns(header []string) (columns [len(meanColumns)]int, err error) {
	position := map[string]int{}
	for i, name := range header {
		if _, twice := position[name]; twice {
			return columns, fmt.Errorf("the header names column %q twice", name)
		}
		position[name] = i
	}
	for c, column := range meanColumns {
		i, found := position[column.name]
		switch {
		case found:
			columns[c] = i
		case column.optional:
			columns[c] = -1
		default:
			return columns, fmt.Errorf("the header names no column %q: neither NAS-Bench-101 records nor a means-only TSV", column.name)
		}
	}
	return columns, nil
}

func parseMeanRow(fields []string, columns [len(meanColumns)]int) (meanRow, error) {
	var row rawRow
	for c, column := range meanColumns {
		if i := columns[c]; i < 0 || column.optional && fields[i] == "" {
			continue
		}
		if err := column.parse(&row, fields[columns[c]]); err != nil {
			return meanRow{}, fmt.Errorf("column %s: %w", column.name, err)
		}
	}
	var err error
	row.spec, err = cell.FromBits(row.vertices, uint32(row.adjacency), row.ops)
	return row.meanRow, err
}
