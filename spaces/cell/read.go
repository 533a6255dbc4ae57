package cell

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The names that the parts of a cell have: ours, NAS-Bench-101's ModelSpec's and
// its statistics'.
var (
	matrixNames = []string{"matrix", "module_adjacency", "adjacency", "adjacency_matrix"}
	opsNames    = []string{"operations", "ops", "module_operations"}
)

// bom may stand at the beginning of a text.
const bom = "\ufeff"

// Read reads a cell as people have it: an object with a matrix (or
// module_adjacency) and operations (or ops, module_operations), in JSON or Python,
// or a pair of both; what else the object has is passed over. The two parts are as
// ReadParts takes them. The errors are *SyntaxError, *MatrixError and *OpError, and
// others where a part is missing.
func Read(text []byte) (Spec, error) {
	if s, ok := scanJSON(text); ok {
		return s, nil
	}
	values, err := parseLiterals(strings.TrimPrefix(string(text), bom))
	switch {
	case err != nil:
		return Spec{}, err
	case len(values) == 1:
		return cellOf(values[0])
	}
	return cellOf(literal{kind: listKind, list: values})
}

// ReadParts reads a cell from its matrix and the names of its operations. The
// matrix is a nested list of 0 and 1 (also 0.0, 1., False, True) in JSON, Python or
// as NumPy prints it, or rows such as 011,001,000 or 0 1 1; 0 0 1; 0 0 0. The names
// are a list, or stand one behind another; "input" and "output" may be left out.
// The errors are *MatrixError and *OpError, or are wrapped around a *SyntaxError.
func ReadParts(matrix, ops string) (Spec, error) {
	return build(literal{kind: quoted, text: matrix}, literal{kind: quoted, text: ops})
}

// errNoCell reports a text that is neither of the two forms of a cell.
var errNoCell = errors.New(`a cell is wanted: {"matrix": [[0, 1], [0, 0]], "operations": ["input", "output"]}`)

// cellOf finds the parts of a cell.
func cellOf(v literal) (Spec, error) {
	switch {
	case v.kind == listKind && len(v.list) == 2:
		return build(v.list[0], v.list[1])
	case v.kind != objectKind:
		return Spec{}, errNoCell
	}
	var matrix, ops *literal
	var inner []literal // that may hold the cell, as the output of query does
	for i, m := range v.members {
		part, name := &matrix, strings.ToLower(m.key)
		switch {
		case slices.Contains(matrixNames, name):
		case slices.Contains(opsNames, name):
			part = &ops
		case m.value.kind == objectKind && name == "cell":
			inner = []literal{m.value}
			continue
		case m.value.kind == objectKind:
			inner = append(inner, m.value)
			continue
		default:
			continue
		}
		if *part != nil {
			return Spec{}, fmt.Errorf("%q: this part of the cell is given twice", m.key)
		}
		*part = &v.members[i].value
	}
	switch {
	case matrix == nil && ops == nil && len(inner) == 1:
		return cellOf(inner[0])
	case matrix == nil && ops == nil:
		return Spec{}, errNoCell
	case matrix == nil:
		return Spec{}, fmt.Errorf("the matrix is missing: it is called one of %q", matrixNames)
	case ops == nil:
		return Spec{}, fmt.Errorf("the operations are missing: they are called one of %q", opsNames)
	}
	return build(*matrix, *ops)
}

// build makes a cell of its two parts.
func build(matrix, ops literal) (Spec, error) {
	rows, err := matrixOf(matrix)
	if err != nil {
		return Spec{}, err
	}
	names, err := namesOf(ops)
	if err != nil {
		return Spec{}, err
	}
	switch n := len(rows); len(names) {
	case n:
	case n - 2:
		names = slices.Concat([]string{inputName}, names, []string{outputName})
	default:
		if _, err := Parse(rows, make([]string, n)); errors.As(err, new(*MatrixError)) {
			return Spec{}, err // which is why the numbers differ
		}
		noun := "names"
		if len(names) == 1 {
			noun = "name"
		}
		return Spec{}, &OpError{-1, "", fmt.Sprintf("%d %s for %d vertices, want %d, or %d with %q and %q", len(names), noun, n, n-2, n, inputName, outputName)}
	}
	return Parse(rows, names)
}

// matrixOf reads a matrix: a list of rows, or a text that has one.
func matrixOf(v literal) ([][]int, error) {
	if v.kind == quoted {
		if !strings.ContainsAny(v.text, `[]({'"`) {
			return readRows(v.text)
		}
		values, err := parseLiterals(v.text)
		if err != nil {
			return nil, fmt.Errorf("adjacency matrix: %w", err)
		}
		if v = (literal{kind: listKind, list: values}); len(values) == 1 {
			v = values[0]
		}
	}
	if v.kind != listKind {
		return nil, &MatrixError{-1, -1, v.shown() + ", want a list of rows"}
	}
	rows := make([][]int, len(v.list))
	for x, row := range v.list {
		var fields []string
		switch row.kind {
		case word, quoted:
			fields = fieldsOf(row.text)
		case listKind:
			for y, entry := range row.list {
				if entry.kind != word {
					return nil, &MatrixError{x, y, "entry is " + entry.shown() + ", want 0 or 1"}
				}
				fields = append(fields, entry.text)
			}
		default:
			return nil, &MatrixError{x, -1, row.shown() + ", want a list of 0 and 1"}
		}
		var err error
		if rows[x], err = entries(x, fields); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// readRows reads rows without brackets. New lines or semicolons part them, or else
// commas, or else blanks.
func readRows(text string) ([][]int, error) {
	lines := strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' || c == ';' })
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" })
	if len(lines) == 1 && strings.Contains(lines[0], ",") {
		lines = strings.Split(strings.TrimSuffix(strings.TrimSpace(lines[0]), ","), ",")
	} else if len(lines) == 1 {
		lines = strings.Fields(lines[0])
	}
	rows := make([][]int, len(lines))
	for x, line := range lines {
		var err error
		if rows[x], err = entries(x, fieldsOf(line)); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// fieldsOf parts the entries of a row; one without blanks and commas is of digits.
func fieldsOf(row string) []string {
	fields := strings.FieldsFunc(row, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
	if len(fields) == 1 && isDigits(fields[0]) {
		return strings.Split(fields[0], "")
	}
	return fields
}

func isDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

var (
	isZero = regexp.MustCompile(`^([+-]?(0(\.0*)?|\.0+)([eE][+-]?\d+)?|(\w+\.)?[Ff]alse_?)$`)
	isOne  = regexp.MustCompile(`^(\+?1(\.0*)?([eE][+-]?0+)?|(\w+\.)?[Tt]rue_?)$`)
)

// entries reads row x of a matrix.
func entries(x int, fields []string) ([]int, error) {
	row := make([]int, len(fields))
	for y, text := range fields {
		switch {
		case isZero.MatchString(text):
		case isOne.MatchString(text):
			row[y] = 1
		default:
			return nil, &MatrixError{x, y, "entry is " + clipped(text) + ", want 0 or 1"}
		}
	}
	return row, nil
}

// namesOf reads the names of operations: a list, or a text that has them.
func namesOf(v literal) ([]string, error) {
	list := v.list
	if v.kind == quoted {
		var err error
		if list, err = parseLiterals(v.text); err != nil {
			return nil, fmt.Errorf("operations: %w", err)
		}
		if len(list) == 1 && list[0].kind == listKind {
			list = list[0].list
		}
	} else if v.kind != listKind {
		return nil, &OpError{-1, "", v.shown() + ", want a list of names"}
	}
	names := []string{}
	for i, name := range list {
		if name.kind > quoted {
			return nil, &OpError{-1, "", fmt.Sprintf("number %d is %s, want a name", i, name.shown())}
		}
		names = append(names, fullName(name.text))
	}
	return names, nil
}

// shown says in an error what was found.
func (v literal) shown() string {
	switch v.kind {
	case word:
		return clipped(v.text)
	case quoted:
		return "the text " + strconv.Quote(clipped(v.text))
	case listKind:
		return "a list"
	}
	return "an object"
}

// clipped shortens what is too long for an error.
func clipped(text string) string {
	const longest = 40
	if letters := []rune(text); len(letters) > longest {
		return string(letters[:longest]) + "…"
	}
	return text
}

// UnmarshalJSON reads what MarshalJSON writes, and the other forms of JSON that
// Read takes.
func (s *Spec) UnmarshalJSON(text []byte) error {
	parsed, err := Read(bytes.TrimSpace(text))
	if err == nil {
		*s = parsed
	}
	return err
}
