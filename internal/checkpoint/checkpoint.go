// Package checkpoint keeps the state of a search in one file, from which it
// continues with the same numbers.
//
// A state is named vectors, named byte strings and a JSON object that says what
// they are; what the names mean is the caller's affair. The file is replaced
// atomically and carries a SHA-256 of all its bytes, so that a state is read as
// it was written or not at all. docs/checkpoint.md describes the format.
package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// Version is the format of the file. Any change of it raises the number, and
// Load refuses every version but its own.
const Version = 1

// State is what a file holds.
type State struct {
	// Meta is a JSON object of the caller's; nil stands for {}. It comes back
	// compact, with its members in the order they had.
	Meta    json.RawMessage
	Vectors map[string]Vector
	Blobs   map[string][]byte
}

// Vector is a vector of numbers of any bits, infinities and NaN included.
type Vector struct {
	Values []float64
	// Single stores float32, half the bytes, which loses nothing of the numbers
	// of a float32 engine. Save refuses values that float32 does not hold.
	Single bool
}

// ErrVersion reports an intact file of another format version.
var ErrVersion = errors.New("unknown checkpoint version")

// CorruptError reports a file that is no checkpoint or not as it was written.
type CorruptError struct {
	Path string
	Err  error // what is wrong
}

// Error names the file and what is wrong with it.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("checkpoint %s is damaged: %v", e.Path, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptError) Unwrap() error { return e.Err }

// Save replaces the file at path by one that holds the state, and keeps the old
// one under the name previous in the same folder, "" for not at all: after a
// crash or an error there is the old one or the new one, whole, under the first
// name or the second. Equal states give equal bytes.
func Save(path, previous string, s State) error {
	data, err := encode(s)
	if err == nil {
		err = durable.WriteKeeping(path, previous, data)
	}
	if err != nil {
		return fmt.Errorf("save checkpoint %s: %w", path, err)
	}
	return nil
}

// Load reads the file at path. Its errors are those of the file system, a
// *CorruptError, or one that wraps ErrVersion.
func Load(path string) (State, error) {
	data, err := read(path)
	if err != nil {
		return State{}, fmt.Errorf("load checkpoint: %w", err)
	}
	s, err := decode(data)
	switch {
	case errors.Is(err, ErrVersion):
		return State{}, fmt.Errorf("load checkpoint %s: %w", path, err)
	case err != nil:
		return State{}, &CorruptError{Path: path, Err: err}
	}
	return s, nil
}

// MaxSize bounds a file, in bytes.
const MaxSize = 4 << 30

// read returns the bytes of the file, or only its first where these tell already
// that it is no checkpoint.
func read(path string) ([]byte, error) {
	f, err := foreign.Open(context.Background(), path, MaxSize)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	start := make([]byte, min(info.Size(), int64(prefixSize)))
	if _, err := io.ReadFull(f, start); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(start, []byte(magic)) {
		return start, nil
	}
	data := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	data.Write(start)
	_, err = data.ReadFrom(f)
	return data.Bytes(), err
}

// The fixed parts of the file.
const (
	magic      = "nb1state"
	prefixSize = len(magic) + 8 // and the length of the header
)

// header is the JSON at the start of the file.
type header struct {
	Format   int             `json:"format"`
	Meta     json.RawMessage `json:"meta"`
	Sections []section       `json:"sections"` // in the order of their bytes: by kind, then name
}

// section describes one vector or byte string.
type section struct {
	Name  string `json:"name"`
	Kind  kind   `json:"kind"`
	Count uint64 `json:"count"` // of elements
}

type kind string

const (
	blob   kind = "bytes"
	double kind = "float64"
	single kind = "float32"
)

// size is the length in bytes of an element, 0 for an unknown kind.
func (k kind) size() int {
	switch k {
	case blob:
		return 1
	case single:
		return 4
	case double:
		return 8
	}
	return 0
}

// header describes the state. It is the only description that Load accepts.
func (s State) header() (header, error) {
	meta := s.Meta
	if meta == nil {
		meta = json.RawMessage("{}")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, meta); err != nil {
		return header{}, fmt.Errorf("meta: %w", err)
	}
	if compact.Bytes()[0] != '{' {
		return header{}, fmt.Errorf("meta: %.20s is not a JSON object", compact.Bytes())
	}
	h := header{Version, compact.Bytes(), []section{}}
	for _, name := range slices.Sorted(maps.Keys(s.Blobs)) {
		h.Sections = append(h.Sections, section{name, blob, uint64(len(s.Blobs[name]))})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Vectors)) {
		v := s.Vectors[name]
		k := double
		if v.Single {
			k = single
		}
		h.Sections = append(h.Sections, section{name, k, uint64(len(v.Values))})
	}
	for _, part := range h.Sections {
		if !utf8.ValidString(part.Name) {
			return header{}, fmt.Errorf("section %q: a name must be valid UTF-8", part.Name)
		}
	}
	return h, nil
}

// text is the header as it stands in the file: a line of JSON.
func (h header) text() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // Meta stays as it is
	err := e.Encode(h)
	return b.Bytes(), err
}

// encode returns the bytes of the file.
func encode(s State) ([]byte, error) {
	h, err := s.header()
	if err != nil {
		return nil, err
	}
	text, err := h.text()
	if err != nil {
		return nil, err
	}
	size := prefixSize + len(text) + sha256.Size
	for _, part := range h.Sections {
		size += int(part.Count) * part.Kind.size()
	}
	data := append(make([]byte, 0, size), magic...)
	data = binary.LittleEndian.AppendUint64(data, uint64(len(text)))
	data = append(data, text...)
	for _, part := range h.Sections {
		switch part.Kind {
		case blob:
			data = append(data, s.Blobs[part.Name]...)
		case double:
			for _, v := range s.Vectors[part.Name].Values {
				data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
			}
		case single:
			for i, v := range s.Vectors[part.Name].Values {
				if math.Float64bits(float64(float32(v))) != math.Float64bits(v) {
					return nil, fmt.Errorf("vector %q: float32 does not hold entry %d, %g: store the vector as float64", part.Name, i, v)
				}
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
			}
		}
	}
	sum := sha256.Sum256(data)
	return append(data, sum[:]...), nil
}

// decode returns the state in the bytes of a file. The checksum comes before
// anything that the file says of itself.
func decode(data []byte) (State, error) {
	if !bytes.HasPrefix(data, []byte(magic)) {
		return State{}, fmt.Errorf("it does not begin with %q", magic)
	}
	if len(data) < prefixSize+sha256.Size {
		return State{}, fmt.Errorf("%d bytes are too few for a checkpoint", len(data))
	}
	body, stated := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], stated) {
		return State{}, errors.New("the SHA-256 at the end is not that of the content")
	}
	length, body := binary.LittleEndian.Uint64(body[len(magic):]), body[prefixSize:]
	if length > uint64(len(body)) {
		return State{}, fmt.Errorf("a header of %d bytes where %d are left", length, len(body))
	}
	text, body := body[:length], body[length:]

	var version struct{ Format int } // all that versions have in common
	if err := json.Unmarshal(text, &version); err != nil {
		return State{}, fmt.Errorf("header: %w", err)
	}
	if version.Format != Version {
		return State{}, fmt.Errorf("%w: %d, this program knows %d", ErrVersion, version.Format, Version)
	}
	var h header
	if err := json.Unmarshal(text, &h); err != nil {
		return State{}, fmt.Errorf("header: %w", err)
	}
	s := State{Meta: h.Meta, Vectors: map[string]Vector{}, Blobs: map[string][]byte{}}
	for _, part := range h.Sections {
		size := uint64(part.Kind.size())
		if size == 0 {
			return State{}, fmt.Errorf("section %q: unknown kind %q", part.Name, part.Kind)
		}
		if part.Count > uint64(len(body))/size {
			return State{}, fmt.Errorf("section %q: %d × %d bytes where %d are left", part.Name, part.Count, size, len(body))
		}
		content := body[:part.Count*size]
		body = body[len(content):]
		if part.Kind == blob {
			s.Blobs[part.Name] = bytes.Clone(content)
			continue
		}
		values := make([]float64, part.Count)
		for i := range values {
			if part.Kind == single {
				values[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(content[4*i:])))
			} else {
				values[i] = math.Float64frombits(binary.LittleEndian.Uint64(content[8*i:]))
			}
		}
		s.Vectors[part.Name] = Vector{values, part.Kind == single}
	}
	if len(body) > 0 {
		return State{}, fmt.Errorf("%d bytes that no section claims", len(body))
	}
	// One state has one file: a section named twice, a member that this version
	// does not know, or another order would go unnoticed otherwise.
	want, err := s.header()
	if err != nil {
		return State{}, fmt.Errorf("header: %w", err)
	}
	if again, err := want.text(); err != nil || !bytes.Equal(again, text) {
		return State{}, errors.New("header: it is not the one of its content")
	}
	return s, nil
}
