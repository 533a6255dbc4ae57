package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pickler writes opcodes as Python 2 does by protocol 2, keeping each object.
type pickler struct {
	bytes.Buffer
	kept int
}

func (p *pickler) keep() {
	if p.kept++; p.kept < 256 {
		p.Write([]byte{'q', byte(p.kept)})
		return
	}
	p.WriteByte('r')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(p.kept)))
}

func (p *pickler) str(s string) {
	if len(s) < 256 {
		p.WriteString("U" + string([]byte{byte(len(s))}) + s)
	} else {
		p.WriteByte('T')
		p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
		p.WriteString(s)
	}
	p.keep()
}

func (p *pickler) num(v int) {
	switch {
	case v >= 0 && v < 1<<8:
		p.Write([]byte{'K', byte(v)})
	case v >= 0 && v < 1<<16:
		p.Write([]byte{'M', byte(v), byte(v >> 8)})
	default:
		p.WriteByte('J')
		p.Write(binary.LittleEndian.AppendUint32(nil, uint32(v)))
	}
}

func (p *pickler) ops(s string) { p.WriteString(s) }

// pickleBatch returns a batch file of CIFAR-10's Python form.
func pickleBatch(images, labels []uint8, columnMajor bool) []byte {
	p := &pickler{}
	p.ops("\x80\x02}")
	p.keep()
	p.ops("(")
	p.str("batch_label")
	p.str("training batch 1 of 5")
	p.str("labels")
	p.list(labels)
	p.str("data")
	p.matrix(images, columnMajor)
	p.str("filenames")
	p.ops("]")
	p.keep()
	p.str("one_s_000001.png")
	p.ops("au.")
	return p.Bytes()
}

// pickleFine returns a file of CIFAR-100's Python form, with a name for each image.
func pickleFine(images, labels []uint8) []byte {
	p := &pickler{}
	p.ops("\x80\x02}")
	p.keep()
	p.ops("(")
	p.str("filenames")
	p.ops("]")
	p.keep()
	p.ops("(")
	for i := range labels {
		p.str(fmt.Sprintf("one_s_%06d.png", i))
	}
	p.ops("e")
	p.str("batch_label")
	p.str("training batch 1 of 1")
	p.str("fine_labels")
	p.list(labels)
	p.str("coarse_labels")
	coarse := make([]uint8, len(labels))
	for i, label := range labels {
		coarse[i] = coarseOf(label)
	}
	p.list(coarse)
	p.str("data")
	p.matrix(images, false)
	p.ops("u.")
	return p.Bytes()
}

// list writes a list of numbers.
func (p *pickler) list(labels []uint8) {
	p.ops("]")
	p.keep()
	for len(labels) > 0 { // 1,000 at a time
		n := min(1000, len(labels))
		p.ops("(")
		for _, v := range labels[:n] {
			p.num(int(v))
		}
		p.ops("e")
		labels = labels[n:]
	}
}

// matrix writes a matrix of bytes, with a row for each image.
func (p *pickler) matrix(images []uint8, columnMajor bool) {
	p.ops("cnumpy.core.multiarray\n_reconstruct\n")
	p.keep()
	p.ops("cnumpy\nndarray\n")
	p.keep()
	p.num(0)
	p.ops("\x85")
	p.keep()
	p.str("b")
	p.ops("\x87")
	p.keep()
	p.ops("R")
	p.keep()
	p.ops("(")
	p.num(1)
	p.num(len(images) / imageBytes)
	p.num(imageBytes)
	p.ops("\x86")
	p.keep()
	p.ops("cnumpy\ndtype\n")
	p.keep()
	p.str("u1")
	p.num(0)
	p.num(1)
	p.ops("\x87")
	p.keep()
	p.ops("R")
	p.keep()
	p.ops("(")
	p.num(3)
	p.str("|")
	p.ops("NNN")
	p.num(-1)
	p.num(-1)
	p.num(0)
	p.ops("t")
	p.keep()
	p.ops("b")
	if columnMajor {
		p.ops("\x88")
		rows := len(images) / imageBytes
		transposed := make([]uint8, len(images))
		for i, v := range images {
			transposed[i%imageBytes*rows+i/imageBytes] = v
		}
		images = transposed
	} else {
		p.ops("\x89")
	}
	p.str(string(images))
	p.ops("t")
	p.keep()
	p.ops("b")
}

// someImages returns n random images and labels.
func someImages(seed uint64, n int) (images, labels []uint8) {
	r := rand.New(rand.NewPCG(seed, 0))
	for range n * imageBytes {
		images = append(images, uint8(r.Uint32()))
	}
	for range n {
		labels = append(labels, uint8(r.IntN(10)))
	}
	return images, labels
}

func TestDecodePython(t *testing.T) {
	for _, test := range []struct {
		name        string
		n           int
		columnMajor bool
	}{{"row-major", 3, false}, {"column-major", 3, true}, {"1,001 images", 1001, false}, {"none", 0, false}} {
		t.Run(test.name, func(t *testing.T) {
			wantImages, wantLabels := someImages(1, test.n)
			images, labels := make([]uint8, test.n*imageBytes), make([]uint8, test.n)
			if err := decodePython(pickleBatch(wantImages, wantLabels, test.columnMajor), images, labels, "labels", 10); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(images, wantImages) || !bytes.Equal(labels, wantLabels) {
				t.Error("other images or labels")
			}
		})
	}
}

// The Python form of CIFAR-100 has two kinds of labels, and many more opcodes.
func TestDecodePythonFine(t *testing.T) {
	images, labels := fineImages(1, 3000)
	raw := pickleFine(images, labels)
	gotImages, gotLabels := make([]uint8, len(images)), make([]uint8, len(labels))
	if err := decodePython(raw, gotImages, gotLabels, "fine_labels", fineClasses); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(gotImages, images) || !bytes.Equal(gotLabels, labels) {
		t.Error("other images or labels")
	}
	err := decodePython(bytes.Replace(raw, []byte("fine_labels"), []byte("xine_labels"), 1), gotImages, gotLabels, "fine_labels", fineClasses)
	if err == nil || !strings.Contains(err.Error(), `"fine_labels" is not a list of 3000 labels`) {
		t.Errorf("error %v", err)
	}
	if err := decodePython(raw, gotImages, gotLabels, "fine_labels", 99); err == nil || !strings.Contains(err.Error(), "is not an integer from 0 to 98") {
		t.Errorf("error %v", err)
	}
}

func TestUnpickle(t *testing.T) {
	for _, test := range []struct {
		name, pickle string
		want         any
	}{
		{"none", "\x80\x02N.", nil},
		{"true", "\x80\x02\x88.", true},
		{"byte", "\x80\x02K\xff.", 255},
		{"two bytes", "\x80\x02M\x01\x02.", 513},
		{"negative", "\x80\x02J\xfe\xff\xff\xff.", -2},
		{"long string", "T\x02\x00\x00\x00ab.", []byte("ab")},
		{"tuples", "K\x01K\x02\x86K\x03\x85)\x87.", pyTuple{pyTuple{1, 2}, pyTuple{3}, pyTuple{}}},
		{"empty tuple", ").", pyTuple{}},
		{"marked tuple", "(K\x01K\x02t.", pyTuple{1, 2}},
		{"nested marks", "((K\x01tK\x02t.", pyTuple{pyTuple{1}, 2}},
		{"list", "]K\x01a(K\x02K\x03e.", &pyList{items: []any{1, 2, 3}}},
		{"dictionary", "}U\x01aK\x01s(U\x01bK\x02U\x01cK\x03u.", pyDict{"a": 1, "b": 2, "c": 3}},
		{"memo", "(U\x02abq\x05h\x05r\x00\x01\x00\x00j\x00\x01\x00\x00t.", pyTuple{[]byte("ab"), []byte("ab"), []byte("ab")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := unpickle([]byte(test.pickle), 1000)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(pyList{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPickleErrors(t *testing.T) {
	images, labels := someImages(1, 2)
	good := string(pickleBatch(images, labels, false))
	replace := func(old, new string) string {
		if strings.Count(good, old) == 0 {
			t.Fatalf("%q is not in the pickle", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, test := range []struct{ name, pickle, want string }{
		{"empty", "", "ends early"},
		{"cut short", good[:len(good)/2], "ends early"},
		{"no end", good[:len(good)-1], "ends early"},
		{"trailing byte", good + "N", "opcode 0x2e"},
		{"text", "not a pickle", "opcode 0x6e"},
		{"protocol 3", "\x80\x03N.", "protocol 2"},
		{"foreign global", "cos\nsystem\nU\x02ls\x85R.", `refused to load "os system"`},
		{"foreign opcode", "\x80\x02\x8a\x01\x01.", "opcode 0x8a"},
		{"call of a string", "U\x01a)R.", "no function"},
		{"call of a type", "cnumpy\nndarray\n)R.", "no function"},
		{"type without a name", "cnumpy\ndtype\n)R.", "without a name"},
		{"floats", replace("U\x02u1", "U\x02f4"), "unsigned bytes"},
		{"end with two values", "NN.", "opcode 0x2e"},
		{"end with none", ".", "opcode 0x2e"},
		{"pop of nothing", "\x85.", "too few values"},
		{"no mark", "NNt.", "no mark"},
		{"mark below", "(\x85\x85NNNNt.", "no mark"},
		{"keep nothing", "q\x01.", "too few values"},
		{"recall nothing", "h\x01.", "no such value"},
		{"append to a string", "U\x01aK\x01a.", "no list"},
		{"pair for a list", "]U\x01aK\x01s.", "no dictionary"},
		{"half a pair", "}(U\x01au.", "no dictionary"},
		{"integer as a key", "}K\x01K\x02s.", "not a byte string"},
		{"state for a string", "U\x01aNb.", "no object"},
		{"state not a tuple", "cnumpy.core.multiarray\n_reconstruct\n)RNb.", "matrix of bytes"},
		{"too many opcodes", strings.Repeat("N", maxOpcodes(2)+1), "more than"},
		{"huge string", "T\xff\xff\xff\xffab.", "ends early"},
		{"global without end", "cnumpy", "ends early"},
		{"not a dictionary", "].", "dictionary"},
		{"no data", "}.", `"data"`},
		{"wrong rows", replace("K\x02M\x00\x0c", "K\x03M\x00\x0c"), "matrix of bytes"},
		{"negative rows", replace("K\x02M\x00\x0c", "J\xfe\xff\xff\xffM\x00\x0c"), "matrix of bytes"},
		{"wrong columns", replace("K\x02M\x00\x0c", "K\x04M\x00\x06"), `"data"`},
		{"no labels", replace("U\x06labels", "U\x06sebals"), `"labels"`},
		{"too few labels", replace("K"+string(labels[:1])+"K"+string(labels[1:]), "K\x01"), `"labels"`},
		{"label 10", replace("K"+string(labels[:1])+"K"+string(labels[1:]), "K\x01K\x0a"), "label 1 is not"},
		{"label negative", replace("K"+string(labels[:1])+"K"+string(labels[1:]), "J\xff\xff\xff\xffK\x01"), "label 0 is not"},
		{"label not a number", replace("K"+string(labels[:1])+"K"+string(labels[1:]), "NK\x01"), "label 0 is not"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := decodePython([]byte(test.pickle), make([]uint8, 2*imageBytes), make([]uint8, 2), "labels", 10)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func FuzzUnpickle(f *testing.F) {
	images, labels := someImages(1, 1)
	f.Add(pickleBatch(images, labels, false))
	f.Add(pickleBatch(images, labels, true))
	f.Add([]byte("\x80\x02}(U\x01aK\x01U\x01b]K\x02au."))
	f.Add([]byte("(U\x02abq\x05h\x05r\x00\x01\x00\x00j\x00\x01\x00\x00t."))
	f.Add([]byte("cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xfftb."))
	f.Fuzz(func(t *testing.T, raw []byte) {
		images, labels := make([]uint8, imageBytes), make([]uint8, 1)
		if err := decodePython(raw, images, labels, "labels", 10); err == nil {
			if labels[0] >= 10 {
				t.Errorf("label %d", labels[0])
			}
			if len(raw) < imageBytes {
				t.Errorf("an image from %d bytes", len(raw))
			}
		}
	})
}
