package kubernetes

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// What YAML is written of. A value is a string, an int, a bool, a word, a script, a
// mapping or a list. Keys are written as they are.
type (
	mapping []field
	field   struct {
		key   string
		value any
	}
	list   []any
	word   string // of the API or checked: no quotes
	script string // constant lines, written as such
	note   string // a comment, in place of a value; its key is ""
)

// document writes a mapping as a document of YAML.
func document(m mapping) string {
	var b strings.Builder
	m.write(&b, "")
	return b.String()
}

func (m mapping) write(b *strings.Builder, indent string) {
	for _, f := range m {
		if text, ok := f.value.(note); ok {
			b.WriteString(indent + "# " + string(text) + "\n")
			continue
		}
		b.WriteString(indent + f.key + ":")
		if items, ok := f.value.(list); ok {
			b.WriteString("\n")
			items.write(b, indent)
			continue
		}
		writeValue(b, f.value, indent)
	}
}

func (l list) write(b *strings.Builder, indent string) {
	for _, item := range l {
		if m, ok := item.(mapping); ok {
			var inner strings.Builder
			m.write(&inner, indent+"  ")
			b.WriteString(indent + "- " + strings.TrimPrefix(inner.String(), indent+"  "))
			continue
		}
		b.WriteString(indent + "-")
		writeValue(b, item, indent)
	}
}

// writeValue writes what follows a colon or a hyphen.
func writeValue(b *strings.Builder, value any, indent string) {
	switch v := value.(type) {
	case mapping:
		b.WriteString("\n")
		v.write(b, indent+"  ")
	case script:
		b.WriteString(" |\n")
		for line := range strings.Lines(string(v)) {
			b.WriteString(indent + "  " + line)
		}
	case string:
		b.WriteString(" " + quote(v) + "\n")
	case word:
		b.WriteString(" " + string(v) + "\n")
	case int:
		b.WriteString(" " + strconv.Itoa(v) + "\n")
	case bool:
		b.WriteString(" " + strconv.FormatBool(v) + "\n")
	default:
		panic(fmt.Sprintf("no YAML of a %T", value))
	}
}

// quote writes a string of valid UTF-8 as a scalar in double quotes.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
