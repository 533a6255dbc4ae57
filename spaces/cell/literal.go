package cell

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The literals that people have cells in: JSON, Python, and arrays as NumPy and
// PyTorch print them. A comma between two values may be missing, an array(…) is
// what it holds, and the arguments of a call are members, as in
// ModelSpec(matrix=[…], ops=[…]).

// SyntaxError reports a text that is no literal.
type SyntaxError struct {
	Line, Column int // of the text, from 1; the column counts characters
	Problem      string
}

// Error names the line and the column.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Problem)
}

// literal is a value of a text.
type literal struct {
	kind    kind
	text    string    // of a word or a string
	list    []literal // of a list
	members []member  // of an object
}

type member struct {
	key   string
	value literal
}

type kind int

const (
	word       kind = iota // what stands without quotes: a number, a name
	quoted                 // a string
	listKind               // a list, tuple or array
	objectKind             // an object, dictionary or call with names
)

// deepest bounds how deep literals are nested.
const deepest = 32

// parser takes literals off a text.
type parser struct {
	text  string
	at    int // how much is taken
	depth int
}

// parseLiterals reads the literals of a text, one behind another, or its
// assignments NAME = LITERAL as the members of one object.
func parseLiterals(text string) ([]literal, error) {
	p := &parser{text: text}
	var values []literal
	named := literal{kind: objectKind}
	for p.space(); p.at < len(p.text); p.space() {
		if name, ok := p.assigned(); ok {
			value, err := p.value()
			if err != nil {
				return nil, err
			}
			named.members = append(named.members, member{name, value})
		} else {
			value, err := p.value()
			if err != nil {
				return nil, err
			}
			values = append(values, value)
		}
		if p.space(); !p.take(',') {
			p.take(';')
		}
	}
	if named.members != nil {
		values = append(values, named)
	}
	return values, nil
}

// value takes a literal.
func (p *parser) value() (literal, error) {
	p.space()
	if p.depth++; p.depth > deepest {
		return literal{}, p.wrong("nested deeper than %d", deepest)
	}
	defer func() { p.depth-- }()
	switch {
	case p.at == len(p.text):
		return literal{}, p.wrong("the text ends in the middle")
	case p.take('['):
		v, _, err := p.sequence(']')
		return v, err
	case p.take('('):
		v, commas, err := p.sequence(')')
		if err == nil && len(v.list) == 1 && commas == 0 {
			return v.list[0], nil // brackets around a value make no tuple
		}
		return v, err
	case p.take('{'):
		return p.object()
	case p.text[p.at] == '"' || p.text[p.at] == '\'':
		return p.quoted()
	}
	text := p.word()
	switch {
	case text == "":
		c, _ := utf8.DecodeRuneInString(p.text[p.at:])
		return literal{}, p.wrong("%q where a value is wanted", c)
	case p.at < len(p.text) && strings.ContainsRune(`"'`, rune(p.text[p.at])) && strings.Contains("bur", strings.ToLower(text)):
		return p.quoted() // b'…' and u'…' of Python
	case p.take('('):
		return p.call()
	}
	return literal{kind: word, text: text}, nil
}

// sequence takes values up to the closing bracket. A semicolon ends a row, as in
// MATLAB.
func (p *parser) sequence(end byte) (v literal, commas int, err error) {
	v.kind = listKind
	var rows []literal
	for p.space(); !p.take(end); p.space() {
		if p.take(';') {
			rows = append(rows, v)
			v = literal{kind: listKind}
			continue
		}
		element, err := p.value()
		if err != nil {
			return literal{}, 0, err
		}
		v.list = append(v.list, element)
		if p.space(); p.take(',') {
			commas++
		}
	}
	if rows != nil {
		if v.list != nil {
			rows = append(rows, v)
		}
		v = literal{kind: listKind, list: rows}
	}
	return v, commas, nil
}

// object takes members up to the closing brace.
func (p *parser) object() (literal, error) {
	v := literal{kind: objectKind}
	for p.space(); !p.take('}'); p.space() {
		key, err := p.value()
		if err != nil {
			return literal{}, err
		}
		if p.space(); key.kind > quoted || !p.take(':') {
			return literal{}, p.wrong("want NAME: VALUE between braces")
		}
		value, err := p.value()
		if err != nil {
			return literal{}, err
		}
		v.members = append(v.members, member{key.text, value})
		p.space()
		p.take(',')
	}
	return v, nil
}

// call takes arguments up to the closing bracket. array(LIST, dtype=int) is its
// list, f(a=1) an object.
func (p *parser) call() (literal, error) {
	v := literal{kind: objectKind}
	var values []literal
	for p.space(); !p.take(')'); p.space() {
		name, named := p.assigned()
		value, err := p.value()
		if err != nil {
			return literal{}, err
		}
		if named {
			v.members = append(v.members, member{name, value})
		} else {
			values = append(values, value)
		}
		p.space()
		p.take(',')
	}
	switch {
	case len(values) > 1 && values[1].kind == listKind:
		return literal{kind: listKind, list: values}, nil
	case len(values) > 0:
		return values[0], nil
	}
	return v, nil
}

// assigned takes a name and the equals sign behind it, or nothing.
func (p *parser) assigned() (name string, ok bool) {
	start := p.at
	name = p.word()
	if p.space(); name != "" && p.take('=') {
		return name, true
	}
	p.at = start
	return "", false
}

// word takes what stands without quotes; it may be empty.
func (p *parser) word() string {
	start := p.at
	for p.at < len(p.text) {
		c, n := utf8.DecodeRuneInString(p.text[p.at:])
		if unicode.IsSpace(c) || unicode.IsControl(c) || strings.ContainsRune(`,:;=()[]{}"'#`, c) {
			break
		}
		p.at += n
	}
	return p.text[start:p.at]
}

// quoted takes a string.
func (p *parser) quoted() (literal, error) {
	start := p.at
	quote := p.text[p.at]
	var b strings.Builder
	for p.at++; p.at < len(p.text); {
		rest := p.text[p.at:]
		switch {
		case rest[0] == quote:
			p.at++
			return literal{kind: quoted, text: b.String()}, nil
		case rest[0] != '\\' || len(rest) == 1:
			b.WriteByte(rest[0])
			p.at++
		case strings.ContainsRune(`"'/`, rune(rest[1])):
			b.WriteByte(rest[1])
			p.at += 2
		default:
			c, _, after, err := strconv.UnquoteChar(rest, 0)
			if err != nil {
				c, after = '\\', rest[1:] // of a language that we do not know
			}
			b.WriteRune(c)
			p.at = len(p.text) - len(after)
		}
	}
	p.at = start
	return literal{}, p.wrong("the quotation mark is never closed")
}

// space takes blanks and comments.
func (p *parser) space() {
	for p.at < len(p.text) {
		c, n := utf8.DecodeRuneInString(p.text[p.at:])
		switch {
		case unicode.IsSpace(c):
			p.at += n
		case c == '#':
			if end := strings.IndexByte(p.text[p.at:], '\n'); end >= 0 {
				p.at += end
			} else {
				p.at = len(p.text)
			}
		default:
			return
		}
	}
}

// take takes a character, if it is the next.
func (p *parser) take(c byte) bool {
	if p.at == len(p.text) || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

func (p *parser) wrong(format string, args ...any) error {
	before := p.text[:p.at]
	line := strings.Count(before, "\n")
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return &SyntaxError{line + 1, column + 1, fmt.Sprintf(format, args...)}
}
