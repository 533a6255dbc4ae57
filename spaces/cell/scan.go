package cell

import "bytes"

// scanJSON reads what Spec.MarshalJSON writes, with any white space and the two
// members in any order, of a valid cell of at most MaxVertices vertices: that is
// ten times as fast as encoding/json. Of anything else it leaves the judgement to
// that.
func scanJSON(text []byte) (Spec, bool) {
	s := scanner{text}
	var matrix [MaxVertices]row
	var ops [MaxVertices][]byte
	vertices, names := 0, 0
	if !s.take('{') {
		return Spec{}, false
	}
	for member := range 2 {
		if member > 0 && !s.take(',') {
			return Spec{}, false
		}
		key, ok := s.text()
		if !ok || !s.take(':') || !s.take('[') {
			return Spec{}, false
		}
		switch {
		case string(key) == "matrix" && vertices == 0:
			for ok := true; ok; ok = s.take(',') {
				if vertices == MaxVertices || !s.row(&matrix[vertices]) {
					return Spec{}, false
				}
				vertices++
			}
		case string(key) == "operations" && names == 0:
			for ok := true; ok; ok = s.take(',') {
				if names == MaxVertices {
					return Spec{}, false
				}
				if ops[names], ok = s.text(); !ok {
					return Spec{}, false
				}
				names++
			}
		default:
			return Spec{}, false
		}
		if !s.take(']') {
			return Spec{}, false
		}
	}
	if !s.take('}') || !s.end() || vertices < 2 || vertices != names || string(ops[0]) != inputName || string(ops[names-1]) != outputName {
		return Spec{}, false
	}
	spec := Spec{Matrix: newMatrix(vertices)}
	for x := range vertices {
		if matrix[x].length != vertices {
			return Spec{}, false
		}
		copy(spec.Matrix[x], matrix[x].entries[:])
	}
	for _, name := range ops[1 : names-1] {
		op, err := ParseOp(string(name))
		if err != nil {
			return Spec{}, false
		}
		spec.Ops = append(spec.Ops, op)
	}
	return spec, spec.validate() == nil
}

type row struct {
	entries [MaxVertices]uint8
	length  int
}

// scanner takes tokens off a JSON text.
type scanner struct {
	rest []byte
}

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r' || s.rest[0] == '\n') {
		s.rest = s.rest[1:]
	}
}

func (s *scanner) end() bool {
	s.space()
	return len(s.rest) == 0
}

// take takes a character, if it is the next.
func (s *scanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// row takes an array of digits 0 and 1.
func (s *scanner) row(r *row) bool {
	if !s.take('[') {
		return false
	}
	for ok := true; ok; ok = s.take(',') {
		if s.space(); r.length == MaxVertices || len(s.rest) == 0 || s.rest[0]|1 != '1' {
			return false
		}
		r.entries[r.length] = s.rest[0] - '0'
		r.length++
		s.rest = s.rest[1:]
	}
	return s.take(']')
}

// text takes a string without escapes.
func (s *scanner) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	end := bytes.IndexByte(s.rest, '"')
	if end < 0 || bytes.IndexByte(s.rest[:end], '\\') >= 0 {
		return nil, false
	}
	text := s.rest[:end]
	s.rest = s.rest[end+1:]
	return text, true
}
