// Package protobuf goes through the fields of protobuf messages that no generated code
// describes.
package protobuf

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// Key is the number of a field and how its value is written.
type Key struct {
	Number protowire.Number
	Type   protowire.Type
}

// Varint is the key of a field of this type, as are Fixed32, Fixed64 and Bytes.
func Varint(number protowire.Number) Key { return Key{number, protowire.VarintType} }

// Fixed32 is the key of a field of this type.
func Fixed32(number protowire.Number) Key { return Key{number, protowire.Fixed32Type} }

// Fixed64 is the key of a field of this type.
func Fixed64(number protowire.Number) Key { return Key{number, protowire.Fixed64Type} }

// Bytes is the key of a field of this type.
func Bytes(number protowire.Number) Key { return Key{number, protowire.BytesType} }

// Field is one field of a message.
type Field struct {
	Key
	Bits  uint64 // of a value of type Varint, Fixed32 or Fixed64
	Bytes []byte // of one of type Bytes, a part of the message
}

// Each calls visit for every field of a message, in order, and stops at its first error.
// Groups, which proto3 does not have, are refused.
func Each(message []byte, visit func(Field) error) error {
	for len(message) > 0 {
		var f Field
		var n int
		f.Number, f.Type, n = protowire.ConsumeTag(message)
		if n < 0 {
			return parseError(n)
		}
		message = message[n:]
		switch f.Type {
		case protowire.VarintType:
			f.Bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			f.Bits, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.Bytes, n = protowire.ConsumeBytes(message)
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(message)
			f.Bits = uint64(bits)
		default:
			return fmt.Errorf("not a protobuf message: field %d has wire type %d, want 0, 1, 2 or 5", f.Number, f.Type)
		}
		if n < 0 {
			return parseError(n)
		}
		message = message[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// parseError words what protowire reports. Its own words differ from build to build.
func parseError(n int) error {
	if protowire.ParseError(n) == io.ErrUnexpectedEOF {
		return errors.New("not a protobuf message: it ends within a field")
	}
	return errors.New("not a protobuf message")
}
