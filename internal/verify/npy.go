package verify

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// npyLimit bounds the entries of an array: far above any golden array, far below
// what a wrong header could ask for.
const npyLimit = 1 << 26

// parseNPY reads a NumPy array file, format version 1.0, C order, little-endian
// float64 ('<f8') or int64 ('<i8'), and returns its values, row-major, and shape.
// Integers must be small enough to be exact as float64.
func parseNPY(b []byte) (values []float64, shape []int, err error) {
	const magic = "\x93NUMPY\x01\x00"
	if len(b) < len(magic)+2 || string(b[:len(magic)]) != magic {
		return nil, nil, fmt.Errorf("not a NumPy file of version 1.0")
	}
	start := len(magic) + 2
	end := start + int(binary.LittleEndian.Uint16(b[len(magic):]))
	if end > len(b) {
		return nil, nil, fmt.Errorf("header of %d bytes ends after the file", end-start)
	}
	dtype, shape, err := parseNPYHeader(string(b[start:end]))
	if err != nil {
		return nil, nil, err
	}
	n := 1
	for _, d := range shape {
		if d > npyLimit || n*d > npyLimit {
			return nil, nil, fmt.Errorf("shape %v has more than %d entries", shape, npyLimit)
		}
		n *= d
	}
	body := b[end:]
	if len(body) != 8*n {
		return nil, nil, fmt.Errorf("%d bytes of data, shape %v needs %d", len(body), shape, 8*n)
	}
	values = make([]float64, n)
	for i := range values {
		bits := binary.LittleEndian.Uint64(body[8*i:])
		if dtype == "<f8" {
			values[i] = math.Float64frombits(bits)
			continue
		}
		v := int64(bits)
		if v < -1<<53 || v > 1<<53 {
			return nil, nil, fmt.Errorf("entry %d is %d, too large to be exact", i, v)
		}
		values[i] = float64(v)
	}
	return values, shape, nil
}

// parseNPYHeader reads the header's Python dictionary, whose three keys NumPy
// writes in this order and spacing.
func parseNPYHeader(h string) (dtype string, shape []int, err error) {
	rest, ok := strings.CutPrefix(h, "{'descr': '")
	if ok {
		dtype, rest, ok = strings.Cut(rest, "', 'fortran_order': False, 'shape': (")
	}
	dims, rest, closed := strings.Cut(rest, "), }")
	if !ok || !closed || strings.Trim(rest, " \n") != "" {
		return "", nil, fmt.Errorf("header %q is not that of a C-ordered array", h)
	}
	if dtype != "<f8" && dtype != "<i8" {
		return "", nil, fmt.Errorf("numbers of type %q, want '<f8' or '<i8'", dtype)
	}
	for d := range strings.SplitSeq(dims, ",") {
		if d = strings.TrimSpace(d); d == "" {
			continue // after the last comma, as in (3,)
		}
		n, err := strconv.Atoi(d)
		if err != nil || n < 0 {
			return "", nil, fmt.Errorf("shape (%s) holds %q", dims, d)
		}
		shape = append(shape, n)
	}
	return dtype, shape, nil
}
