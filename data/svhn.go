package data

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

const (
	svhnTrain = 73257
	svhnTest  = 26032
)

// svhn is SVHN, Street View House Numbers (Y. Netzer et al., Reading Digits in Natural
// Images with Unsupervised Feature Learning, 2011), in its form of cropped digits: the
// 73,257 training images and the 26,032 test images. The 531,131 extra ones are never
// trained on, as in the released code (quirk C28). Label 10, which is the digit 0, is class 0.
var svhn = collection{
	kind: KindSVHN, title: "SVHN", classes: 10, normalization: SVHNNormalization,
	formats: []format{{
		name:   "MATLAB",
		folder: "svhn",
		files: []imageFile{
			{officialSVHN[0].Name, officialSVHN[0].Sum, svhnTrain, 256 << 20, false},
			{officialSVHN[1].Name, officialSVHN[1].Sum, svhnTest, 128 << 20, true},
		},
		decode: decodeMAT,
	}},
}

// Types of data elements and classes of arrays in a MAT-file of level 5 (MathWorks,
// MAT-File Format), as far as SVHN has them.
const (
	matInt8       = 1
	matUint8      = 2
	matInt32      = 5
	matUint32     = 6
	matDouble     = 9
	matMatrix     = 14
	matCompressed = 15

	matClassDouble = 6
	matClassUint8  = 9
	matComplex     = 0x800 // flag of an array
)

const (
	matHeader = 128 // bytes before the first element
	// maxVariables bounds the variables of a file: SVHN's have two.
	maxVariables = 16
)

// decodeMAT decodes a MAT-file of level 5 with two variables: X, an array of 32×32×3×n
// unsigned bytes, which are the rows, the columns, the colours and the images, stored with
// the first index fastest; and y, n×1 labels from 1 to 10, bytes or doubles, of which 10
// becomes 0. Variables may be compressed, and the file of either byte order. Other
// variables are passed over. Nothing is unpacked but what is wanted.
func decodeMAT(raw, images, labels []uint8) error {
	order, err := matOrder(raw)
	if err != nil {
		return err
	}
	d := &matDecoder{order: order, images: images, labels: labels}
	for at := matHeader; at < len(raw); {
		if d.variables++; d.variables > maxVariables {
			return fmt.Errorf("offset %d: more than %d variables", at, maxVariables)
		}
		size, err := d.variable(raw[at:])
		if err != nil {
			return fmt.Errorf("offset %d: %w", at, err)
		}
		at += size
	}
	switch {
	case !d.haveImages:
		return errors.New("no variable X")
	case !d.haveLabels:
		return errors.New("no variable y")
	}
	return nil
}

// matOrder checks the header of a file and returns its byte order.
func matOrder(raw []byte) (binary.ByteOrder, error) {
	if !bytes.HasPrefix(raw, []byte("MATLAB 5.0")) {
		return nil, foreign.Mistaken(raw[:min(len(raw), foreign.PrefixSize)], "a MAT-file of level 5")
	}
	if len(raw) < matHeader {
		return nil, fmt.Errorf("%d bytes, want a header of %d", len(raw), matHeader)
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch mark := string(raw[126:128]); mark {
	case "IM":
	case "MI":
		order = binary.BigEndian
	default:
		return nil, fmt.Errorf("the mark of the byte order is %q, want IM or MI", mark)
	}
	if version := order.Uint16(raw[124:]); version != 0x100 {
		return nil, fmt.Errorf("version %#x of MAT-files, want 0x100", version)
	}
	return order, nil
}

// matDecoder collects the variables of a file.
type matDecoder struct {
	order          binary.ByteOrder
	images, labels []uint8

	variables              int
	haveImages, haveLabels bool
}

// variable decodes the variable that b begins with and returns how many bytes it takes.
func (d *matDecoder) variable(b []byte) (int, error) {
	e := matElements{bytes.NewReader(b), d.order}
	kind, size, _, err := e.next()
	if err != nil {
		return 0, err
	}
	const tag = 8
	if size > int64(len(b)-tag) {
		return 0, fmt.Errorf("an element of %d bytes, where %d are left", size, len(b)-tag)
	}
	body := b[tag : tag+int(size)]
	e.r = bytes.NewReader(body)
	if kind == matCompressed {
		if e.r, err = zlib.NewReader(e.r); err == nil {
			kind, _, _, err = e.next()
		}
		if err != nil {
			return 0, fmt.Errorf("unpack: %w", err)
		}
	}
	if kind != matMatrix {
		return 0, fmt.Errorf("an element of type %d, want an array", kind)
	}
	wanted, err := d.array(e)
	if err == nil && wanted {
		err = e.end()
	}
	return tag + len(body), err
}

// array decodes an array, and tells whether it is one of those that are wanted. Of others
// it reads no more than the name.
func (d *matDecoder) array(e matElements) (wanted bool, err error) {
	flags, err := e.short(matUint32, 8)
	if err != nil {
		return false, fmt.Errorf("flags of an array: %w", err)
	}
	dims, err := e.short(matInt32, 64)
	if err != nil {
		return false, fmt.Errorf("dimensions of an array: %w", err)
	}
	name, err := e.short(matInt8, 64)
	if err != nil {
		return false, fmt.Errorf("name of an array: %w", err)
	}
	if len(flags) != 8 || len(dims)%4 != 0 {
		return false, fmt.Errorf("array %q: %d bytes of flags, %d of dimensions", name, len(flags), len(dims))
	}
	word := d.order.Uint32(flags)
	class := word & 0xff
	var shape []int64
	for i := 0; i < len(dims); i += 4 {
		shape = append(shape, int64(int32(d.order.Uint32(dims[i:]))))
	}
	n := int64(len(d.labels))
	var have *bool
	var decode func(matElements, uint32) error
	var want []int64
	classes := []uint32{matClassUint8}
	switch string(name) {
	case "X":
		have, decode, want = &d.haveImages, d.decodeImages, []int64{imageSide, imageSide, 3, n}
	case "y":
		have, decode, want = &d.haveLabels, d.decodeLabels, []int64{n, 1}
		classes = append(classes, matClassDouble)
	default:
		return false, nil
	}
	switch {
	case *have:
		return true, fmt.Errorf("a second variable %s", name)
	case word&matComplex != 0 || !slices.Contains(classes, class):
		return true, fmt.Errorf("variable %s is an array of class %d, flags %#x; want one of real numbers of class %v", name, class, word&^0xff, classes)
	case !slices.Equal(shape, want):
		return true, fmt.Errorf("variable %s is an array of %v, want %v", name, shape, want)
	}
	if err := decode(e, class); err != nil {
		return true, fmt.Errorf("variable %s: %w", name, err)
	}
	*have = true
	return true, nil
}

// decodeImages turns columns of each colour into rows.
func (d *matDecoder) decodeImages(e matElements, _ uint32) error {
	kind, size, data, err := e.numbers()
	if err != nil {
		return err
	}
	if kind != matUint8 || size != int64(len(d.images)) {
		return fmt.Errorf("%d bytes of type %d, want %d of type %d", size, kind, len(d.images), matUint8)
	}
	var columns [imageBytes]byte
	const plane = imageSide * imageSide
	for at := 0; at < len(d.images); at += imageBytes {
		if _, err := io.ReadFull(data, columns[:]); err != nil {
			return fmt.Errorf("image %d: %w", at/imageBytes, err)
		}
		for i, v := range columns {
			row, column := i%imageSide, i/imageSide%imageSide
			d.images[at+i/plane*plane+row*imageSide+column] = v
		}
	}
	return nil
}

func (d *matDecoder) decodeLabels(e matElements, class uint32) error {
	kind, size, data, err := e.numbers()
	if err != nil {
		return err
	}
	width := 1 // an array of doubles may be stored as bytes too, if they fit
	if kind == matDouble && class == matClassDouble {
		width = 8
	} else if kind != matUint8 {
		return fmt.Errorf("numbers of type %d in an array of class %d", kind, class)
	}
	if want := width * len(d.labels); size != int64(want) {
		return fmt.Errorf("%d bytes of type %d, want %d", size, kind, want)
	}
	var number [8]byte
	for i := range d.labels {
		if _, err := io.ReadFull(data, number[:width]); err != nil {
			return fmt.Errorf("label %d: %w", i, err)
		}
		v := float64(number[0])
		if width == 8 {
			v = math.Float64frombits(d.order.Uint64(number[:]))
		}
		if !(v >= 1 && v <= 10) || v != math.Trunc(v) {
			return fmt.Errorf("label %d is %v, want a whole number from 1 to 10", i, v)
		}
		d.labels[i] = uint8(v) % 10
	}
	return nil
}

// matElements reads the elements that an array consists of.
type matElements struct {
	r     io.Reader
	order binary.ByteOrder
}

// next reads the tag of an element: its type, its size in bytes and, where it is in the
// tag itself, its content.
func (e matElements) next() (kind uint32, size int64, content []byte, err error) {
	var tag [8]byte
	if _, err := io.ReadFull(e.r, tag[:]); err != nil {
		return 0, 0, nil, fmt.Errorf("tag of an element: %w", err)
	}
	kind, size = e.order.Uint32(tag[:]), int64(e.order.Uint32(tag[4:]))
	if small := kind >> 16; small > 0 {
		if small > 4 {
			return 0, 0, nil, fmt.Errorf("a small element of %d bytes, want 1 to 4", small)
		}
		return kind & 0xffff, int64(small), tag[4 : 4+small], nil
	}
	return kind, size, nil, nil
}

// short reads an element of the type, of at most max bytes, and the padding after it.
func (e matElements) short(want uint32, max int64) ([]byte, error) {
	kind, size, content, err := e.next()
	switch {
	case err != nil:
		return nil, err
	case kind != want:
		return nil, fmt.Errorf("an element of type %d, want type %d", kind, want)
	case size > max:
		return nil, fmt.Errorf("%d bytes, want at most %d", size, max)
	case content != nil:
		return content, nil
	}
	content = make([]byte, (size+7)/8*8)
	if _, err := io.ReadFull(e.r, content); err != nil {
		return nil, err
	}
	return content[:size], nil
}

// numbers begins the element that holds the numbers of an array, which is the last.
func (e matElements) numbers() (kind uint32, size int64, data io.Reader, err error) {
	kind, size, content, err := e.next()
	if content != nil {
		return kind, size, bytes.NewReader(content), err
	}
	return kind, size, io.LimitReader(e.r, size), err
}

// end checks that nothing but padding is left, and with it the checksum of what was
// compressed.
func (e matElements) end() error {
	rest, err := io.ReadAll(io.LimitReader(e.r, 8))
	if err == nil && len(rest) == 8 {
		err = errors.New("more bytes than the array has")
	}
	return err
}
