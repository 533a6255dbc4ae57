package data

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// matStyle is how a MAT-file is written.
type matStyle struct {
	bigEndian, compressed bool
	doubles               bool // labels of class double, stored as such
	narrow                bool // labels of class double, stored as bytes
	swapped               bool // labels first
}

// matWriter writes the elements of MAT-files of level 5, after MathWorks' description.
type matWriter struct {
	bytes.Buffer
	order binary.AppendByteOrder
}

// element writes an element: in its tag where it is short, else padded to 8 bytes.
func (w *matWriter) element(kind uint32, content []byte) {
	if n := len(content); n > 0 && n <= 4 {
		w.Write(w.order.AppendUint32(nil, uint32(n)<<16|kind))
		w.Write(append(slices.Clone(content), 0, 0, 0, 0)[:4])
		return
	}
	w.Write(w.order.AppendUint32(w.order.AppendUint32(nil, kind), uint32(len(content))))
	w.Write(content)
	for w.Len()%8 != 0 {
		w.WriteByte(0)
	}
}

func (w *matWriter) words(values ...uint32) (b []byte) {
	for _, v := range values {
		b = w.order.AppendUint32(b, v)
	}
	return b
}

// array writes a variable: flags with the class, dimensions, name, numbers.
func (w *matWriter) array(name string, flags uint32, dims []uint32, kind uint32, numbers []byte, compressed bool) {
	inner := matWriter{order: w.order}
	inner.element(6, inner.words(flags, 0))
	inner.element(5, inner.words(dims...))
	inner.element(1, []byte(name))
	inner.element(kind, numbers)
	outer := matWriter{order: w.order}
	outer.element(14, inner.Bytes())
	if !compressed {
		w.Write(outer.Bytes())
		return
	}
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	z.Write(outer.Bytes())
	z.Close()
	w.Write(w.words(15, uint32(packed.Len())))
	w.Write(packed.Bytes()) // not padded
}

// header writes the 128 bytes before the first element.
func (w *matWriter) header() {
	text := "MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Mon Dec  5 21:09:26 2011"
	w.WriteString(text + strings.Repeat(" ", 116-len(text)) + strings.Repeat("\x00", 8))
	mark := uint16('M')<<8 | 'I'
	var b [4]byte
	if w.order == binary.AppendByteOrder(binary.BigEndian) {
		binary.BigEndian.PutUint16(b[:], 0x100)
		binary.BigEndian.PutUint16(b[2:], mark)
	} else {
		binary.LittleEndian.PutUint16(b[:], 0x100)
		binary.LittleEndian.PutUint16(b[2:], mark)
	}
	w.Write(b[:])
}

// matOf returns a file of SVHN's form.
func matOf(images, labels []uint8, style matStyle) []byte {
	w := &matWriter{order: binary.LittleEndian}
	if style.bigEndian {
		w.order = binary.BigEndian
	}
	n := len(labels)
	// The array's element at row r, column c, colour k of image i is at r+32(c+32(k+3i)).
	x := make([]byte, len(images))
	for i := range n {
		for k := range 3 {
			for r := range 32 {
				for c := range 32 {
					x[r+32*(c+32*(k+3*i))] = images[((i*3+k)*32+r)*32+c]
				}
			}
		}
	}
	var y []byte
	kind, class := uint32(2), uint32(9)
	for _, label := range labels {
		if label == 0 {
			label = 10
		}
		if style.doubles {
			bits := math.Float64bits(float64(label))
			if style.bigEndian {
				y = binary.BigEndian.AppendUint64(y, bits)
			} else {
				y = binary.LittleEndian.AppendUint64(y, bits)
			}
			continue
		}
		y = append(y, label)
	}
	if style.doubles {
		kind, class = 9, 6
	} else if style.narrow {
		class = 6
	}
	w.header()
	put := []func(){
		func() { w.array("X", 9, []uint32{32, 32, 3, uint32(n)}, 2, x, style.compressed) },
		func() { w.array("y", class, []uint32{uint32(n), 1}, kind, y, style.compressed) },
	}
	if style.swapped {
		slices.Reverse(put)
	}
	for _, f := range put {
		f()
	}
	return w.Bytes()
}

func matStyles() (styles []matStyle) {
	for _, big := range []bool{false, true} {
		for _, compressed := range []bool{false, true} {
			styles = append(styles, matStyle{bigEndian: big, compressed: compressed},
				matStyle{bigEndian: big, compressed: compressed, doubles: true, swapped: true},
				matStyle{bigEndian: big, compressed: compressed, narrow: true})
		}
	}
	return styles
}

func TestDecodeMAT(t *testing.T) {
	for _, n := range []int{1, 3, 4, 5, 8, 40} {
		wantImages, wantLabels := someImages(uint64(n), n)
		for _, style := range matStyles() {
			images, labels := make([]uint8, n*imageBytes), make([]uint8, n)
			if err := decodeMAT(matOf(wantImages, wantLabels, style), images, labels); err != nil {
				t.Errorf("%d images, %+v: %v", n, style, err)
			} else if !bytes.Equal(images, wantImages) || !bytes.Equal(labels, wantLabels) {
				t.Errorf("%d images, %+v: other images or labels", n, style)
			}
		}
	}
}

// The files in testdata were written by SciPy, with its own idea of what MATLAB does.
func TestDecodeMATOfSciPy(t *testing.T) {
	for _, name := range []string{"svhn-scipy.mat", "svhn-scipy-compressed.mat"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		images, labels := make([]uint8, 3*imageBytes), make([]uint8, 3)
		if err := decodeMAT(raw, images, labels); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(labels, []uint8{1, 0, 9}) {
			t.Errorf("%s: labels %v", name, labels)
		}
		for at, v := range images {
			i, k, r, c := at/3072, at/1024%3, at/32%32, at%32
			if want := uint8(r*r + 5*c + 60*k + 31*i); v != want {
				t.Fatalf("%s: image %d, colour %d, row %d, column %d: %d, want %d", name, i, k, r, c, v, want)
			}
		}
	}
}

func TestDecodeMATErrors(t *testing.T) {
	images, labels := someImages(1, 2)
	labels[0], labels[1] = 3, 0
	good := matOf(images, labels, matStyle{})
	packed := matOf(images, labels, matStyle{compressed: true})
	le := func(values ...uint32) string {
		w := matWriter{order: binary.LittleEndian}
		return string(w.words(values...))
	}
	change := func(raw []byte, old, new string) []byte {
		if bytes.Count(raw, []byte(old)) != 1 {
			t.Fatalf("%q is %d times in the file", old, bytes.Count(raw, []byte(old)))
		}
		return bytes.Replace(raw, []byte(old), []byte(new), 1)
	}
	with := func(array func(w *matWriter)) []byte {
		w := &matWriter{order: binary.LittleEndian}
		w.Write(good)
		array(w)
		return w.Bytes()
	}
	damaged := slices.Clone(packed)
	damaged[len(damaged)-1]++ // the checksum of y
	tail := good[128:]
	const ySize = 8 + 16 + 16 + 8 + 8 // of y: tag, flags, dimensions, name, labels
	dims := le(5, 16, 32, 32, 3, 2)
	for _, test := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "an empty file, want a MAT-file of level 5"},
		{"a page", []byte("<!DOCTYPE html>"), "an HTML page, want a MAT-file"},
		{"level 7.3", []byte("MATLAB 7.3 MAT-file, Platform"), "a MAT-file of MATLAB 7.3, want a MAT-file of level 5"},
		{"half a header", good[:100], "100 bytes, want a header of 128"},
		{"header alone", good[:128], "no variable X"},
		{"no y", good[:len(good)-ySize], "no variable y"},
		{"byte order", change(good, "\x00\x01IM", "\x00\x01XM"), `byte order is "XM"`},
		{"version", change(good, "\x00\x01IM", "\x00\x02IM"), "version 0x200"},
		{"cut short", good[:len(good)-1], "an element of"},
		{"cut short, packed", packed[:len(packed)-20], "an element of"},
		{"half a tag", append(slices.Clone(good), 1, 2, 3), "tag of an element"},
		{"damaged, packed", damaged, "checksum"},
		{"not packed", with(func(w *matWriter) { w.Write(w.words(15, 8, 1, 2)) }), "unpack: "},
		{"other element", with(func(w *matWriter) { w.element(9, make([]byte, 16)) }), "an element of type 9, want an array"},
		{"small element", with(func(w *matWriter) { w.Write(w.words(5<<16|14, 0)) }), "a small element of 5 bytes"},
		{"two X", append(slices.Clone(good), tail[:len(tail)-ySize]...), "a second variable X"},
		{"many variables", with(func(w *matWriter) {
			for range maxVariables {
				w.array("z", 9, []uint32{1, 1}, 2, []byte{1}, false)
			}
		}), "more than 16 variables"},
		{"three images", change(good, dims, le(5, 16, 32, 32, 3, 3)), "variable X is an array of [32 32 3 3], want [32 32 3 2]"},
		{"negative dimension", change(good, dims, le(5, 16, 32, 32, 3, 0xffffffff)), "[32 32 3 -1]"},
		{"three dimensions", change(good, dims, le(5, 12, 32, 32, 3, 2)), "[32 32 3], want"},
		{"dimensions of another type", change(good, dims, le(6, 16, 32, 32, 3, 2)), "dimensions of an array: an element of type 6, want type 5"},
		{"too many dimensions", change(good, dims, le(5, 1<<20, 32, 32, 3, 2)), "dimensions of an array: 1048576 bytes, want at most 64"},
		{"odd dimensions", change(good, dims, le(5, 15, 32, 32, 3, 2)), "15 of dimensions"},
		{"single X", change(good, le(6, 8, 9, 0)+dims, le(6, 8, 7, 0)+dims), "an array of class 7"},
		{"complex X", change(good, le(6, 8, 9, 0)+dims, le(6, 8, 0x809, 0)+dims), "flags 0x800"},
		{"X of words", change(good, le(2, 6144), le(4, 6144)), "6144 bytes of type 4, want 6144 of type 2"},
		{"short X", change(good, le(2, 6144), le(2, 6136)), "6136 bytes of type 2"},
		{"label 11", change(good, "\x03\x0a\x00\x00", "\x03\x0b\x00\x00"), "label 1 is 11, want a whole number from 1 to 10"},
		{"label 0", change(good, "\x03\x0a\x00\x00", "\x00\x0a\x00\x00"), "label 0 is 0"},
		{"label 2.5", change(matOf(images, labels, matStyle{doubles: true}), string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(3))), string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(2.5)))), "label 0 is 2.5"},
		{"label NaN", change(matOf(images, labels, matStyle{doubles: true}), string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(3))), "\xff\xff\xff\xff\xff\xff\xff\xff"), "label 0 is NaN"},
		{"labels of words", change(good, le(2<<16|2), le(2<<16|4)), "numbers of type 4 in an array of class 9"},
		{"labels cut off", change(good, le(2<<16|2)+"\x03\x0a\x00\x00", le(2, 2)), "variable y: label 0: EOF"},
		{"more after y", change(good, le(14, ySize-8), le(14, ySize)), "an element of"},
		{"more after y, packed", func() []byte {
			inner := &matWriter{order: binary.LittleEndian}
			inner.Write(tail[len(tail)-ySize:])
			inner.Write(make([]byte, 8))
			var b bytes.Buffer
			z := zlib.NewWriter(&b)
			z.Write(inner.Bytes())
			z.Close()
			return slices.Concat(good[:len(good)-ySize], []byte(le(15, uint32(b.Len()))), b.Bytes())
		}(), "more bytes than the array has"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := decodeMAT(test.raw, make([]uint8, 2*imageBytes), make([]uint8, 2))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	// Other variables are passed over, however large they are when they are unpacked.
	large := with(func(w *matWriter) { w.array("z", 9, []uint32{1 << 26, 1}, 2, make([]byte, 1<<26), true) })
	if err := decodeMAT(large, make([]uint8, 2*imageBytes), make([]uint8, 2)); err != nil {
		t.Errorf("with another variable: %v", err)
	}
}

func FuzzDecodeMAT(f *testing.F) {
	images, labels := someImages(1, 2)
	for _, style := range matStyles() {
		f.Add(matOf(images, labels, style))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		images, labels := make([]uint8, 2*imageBytes), make([]uint8, 2)
		if err := decodeMAT(raw, images, labels); err == nil {
			if max(labels[0], labels[1]) > 9 {
				t.Errorf("labels %v", labels)
			}
		}
	})
}
