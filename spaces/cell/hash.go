package cell

// #cgo CFLAGS: -Wall
// #cgo !asan,!race CFLAGS: -O3
// #cgo noescape nb1_digests
// #cgo nocallback nb1_digests
// #include "digest.h"
import "C"

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"unsafe"
)

// Hash identifies a cell in NAS-Bench-101: cells that differ only by pruned
// vertices or by the numbering of their vertices have the same hash.
type Hash [md5.Size]byte

// String returns the hash as 32 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads 32 hexadecimal digits of either case.
func ParseHash(text string) (Hash, error) {
	var h Hash
	err := h.UnmarshalText([]byte(text))
	return h, err
}

// MarshalText returns what String does.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what ParseHash does.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("cell hash has %d characters, want %d hexadecimal digits", len(text), hex.EncodedLen(len(h)))
	}
	var parsed Hash
	if _, err := hex.Decode(parsed[:], text); err != nil {
		return fmt.Errorf("cell hash %q has other characters than hexadecimal digits", text)
	}
	*h = parsed
	return nil
}

// Hash prunes the cell and returns NAS-Bench-101's hash of it. Its errors are
// those of Check.
func (s Spec) Hash() (Hash, error) {
	p, err := s.canonical()
	if err != nil {
		return Hash{}, err
	}
	return p.digest(), nil
}

// digest hashes a pruned cell of at most MaxVertices vertices.
func (s Spec) digest() Hash {
	c := s.inC()
	var h Hash
	C.nb1_digests(&c, 1, (*[md5.Size]C.uchar)(unsafe.Pointer(&h)), widest)
	return h
}

// widest is the level of vectors that are used where the machine has them.
const widest = 2

func (s Spec) inC() C.nb1_cell {
	c := C.nb1_cell{vertices: C.uint(s.Vertices()), edges: C.uint(s.AdjacencyBits())}
	for i, op := range s.Ops {
		c.ops |= C.uint(op) << (2 * i)
	}
	return c
}

// Hashes returns the hashes of cells that are pruned and pass Check. It is faster
// than one by one.
func Hashes(pruned []Spec) []Hash { return hashesAt(pruned, widest) }

func hashesAt(pruned []Spec, level int) []Hash {
	hashes := make([]Hash, len(pruned))
	if len(pruned) == 0 {
		return hashes
	}
	cells := make([]C.nb1_cell, len(pruned))
	for i, s := range pruned {
		cells[i] = s.inC()
	}
	C.nb1_digests(&cells[0], C.int(len(cells)), (*[md5.Size]C.uchar)(unsafe.Pointer(&hashes[0])), C.int(level))
	return hashes
}
