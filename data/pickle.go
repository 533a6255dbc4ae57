package data

import (
	"bytes"
	"errors"
	"fmt"
)

// decodePython decodes a file of the Python form: a pickled dictionary whose
// "data" is an n×3072 array of bytes, a row being the red, green and blue planes
// of an image, and whose entry of the given key, "labels" or "fine_labels", is a
// list of n integers below classes.
func decodePython(raw, images, labels []uint8, key string, classes int) error {
	v, err := unpickle(raw, maxOpcodes(len(labels)))
	if err != nil {
		return fmt.Errorf("pickle: %w", err)
	}
	dict, ok := v.(pyDict)
	if !ok {
		return errors.New("pickle: it does not hold a dictionary")
	}
	array, ok := dict["data"].(*pyArray)
	if !ok || array.rows != len(labels) || array.columns != imageBytes {
		return fmt.Errorf(`entry "data" is not an array of %d×%d bytes`, len(labels), imageBytes)
	}
	list, ok := dict[key].(*pyList)
	if !ok || len(list.items) != len(labels) {
		return fmt.Errorf("entry %q is not a list of %d labels", key, len(labels))
	}
	for i, item := range list.items {
		label, ok := item.(int)
		if !ok || label < 0 || label >= classes {
			return fmt.Errorf("label %d is not an integer from 0 to %d", i, classes-1)
		}
		labels[i] = uint8(label)
	}
	if !array.columnMajor {
		copy(images, array.data)
		return nil
	}
	for i := range labels {
		for j := range imageBytes {
			images[i*imageBytes+j] = array.data[j*len(labels)+i]
		}
	}
	return nil
}

// The Python values of a batch file. None is nil, truth values are bool,
// integers int, and byte strings []byte that alias the input.
type (
	pyDict   map[string]any // its keys are byte strings
	pyList   struct{ items []any }
	pyTuple  []any
	pyGlobal string   // "module name" of a function or type
	pyMark   struct{} // the stack's marker of where a sequence starts
	pyByte   struct{} // NumPy's type of an unsigned byte
	pyArray  struct { // a matrix of bytes
		rows, columns int
		columnMajor   bool
		data          []byte
	}
)

// The globals that a matrix of bytes is pickled with. No other is let in and
// none is called: what they do is built in.
const (
	globalReconstruct = pyGlobal("numpy.core.multiarray _reconstruct")
	globalArray       = pyGlobal("numpy ndarray")
	globalType        = pyGlobal("numpy dtype")
)

// maxOpcodes bounds the work and the memory of a pickle of so many images. Each has a
// file name, which takes two or three opcodes, and one label or two.
func maxOpcodes(images int) int { return 1<<16 + 16*images }

// unpickler is the stack machine that a pickle is a program for. It has the
// opcodes that Python 2 writes, by protocol 2, for dictionaries, lists and tuples
// of byte strings, integers, truth values, None and matrices of bytes. The first
// error stops it.
type unpickler struct {
	raw    []byte
	offset int
	stack  []any
	memo   map[int]any
	err    error
}

// unpickle returns the value of a pickle. It runs no code of the pickle's
// choosing, and bounds its memory by the number of opcodes.
func unpickle(raw []byte, opcodes int) (any, error) {
	u := &unpickler{raw: raw, memo: map[int]any{}}
	for range opcodes {
		at := u.offset
		op := u.uint(1)
		if op == '.' && len(u.stack) == 1 && u.offset == len(raw) {
			return u.stack[0], nil
		}
		u.step(op)
		if u.err != nil {
			return nil, fmt.Errorf("offset %d: opcode 0x%02x: %w", at, op, u.err)
		}
	}
	return nil, fmt.Errorf("more than %d opcodes", opcodes)
}

// step executes one opcode.
func (u *unpickler) step(op int) {
	switch op {
	case 0x80: // protocol
		if u.uint(1) != 2 {
			u.fail("want protocol 2")
		}
	case 'N':
		u.push(nil)
	case 0x88:
		u.push(true)
	case 0x89:
		u.push(false)
	case 'K':
		u.push(u.uint(1))
	case 'M':
		u.push(u.uint(2))
	case 'J':
		u.push(int(int32(u.uint(4))))
	case 'U':
		u.push(u.take(u.uint(1)))
	case 'T':
		u.push(u.take(u.uint(4)))
	case '(':
		u.push(pyMark{})
	case '}':
		u.push(pyDict{})
	case ']':
		u.push(&pyList{})
	case ')':
		u.push(pyTuple{})
	case 0x85, 0x86, 0x87: // tuple of one, two or three values
		u.push(pyTuple(u.pop(op - 0x84)))
	case 't':
		u.push(pyTuple(u.popToMark()))
	case 'a':
		u.extend(u.pop(1))
	case 'e':
		u.extend(u.popToMark())
	case 's':
		u.set(u.pop(2))
	case 'u':
		u.set(u.popToMark())
	case 'q':
		u.memo[u.uint(1)] = u.top()
	case 'r':
		u.memo[u.uint(4)] = u.top()
	case 'h':
		u.recall(u.uint(1))
	case 'j':
		u.recall(u.uint(4))
	case 'c':
		u.global()
	case 'R':
		u.reduce(u.pop(2))
	case 'b':
		u.build(u.pop(1))
	default:
		u.fail("not one of those that CIFAR's files have")
	}
}

// fail records an error unless there is one already.
func (u *unpickler) fail(message string) {
	if u.err == nil {
		u.err = errors.New(message)
	}
}

// take returns the next n bytes, or none where fewer are left.
func (u *unpickler) take(n int) []byte {
	if n < 0 || n > len(u.raw)-u.offset {
		u.fail("the file ends early")
		return nil
	}
	b := u.raw[u.offset : u.offset+n]
	u.offset += n
	return b
}

// uint returns the little-endian number in the next bytes.
func (u *unpickler) uint(size int) int {
	v := 0
	for i, b := range u.take(size) {
		v |= int(b) << (8 * i)
	}
	return v
}

// line returns the bytes before the next line feed and passes it.
func (u *unpickler) line() []byte {
	n := bytes.IndexByte(u.raw[u.offset:], '\n')
	if n < 0 {
		u.fail("the file ends early")
		return nil
	}
	return u.take(n + 1)[:n]
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// pop takes the last n values off the stack, first pushed first; on failure it
// returns n times None.
func (u *unpickler) pop(n int) []any {
	items := make([]any, n)
	start := len(u.stack) - n
	if start < 0 {
		u.fail("too few values on the stack")
		return items
	}
	copy(items, u.stack[start:])
	u.stack = u.stack[:start]
	return items
}

// popToMark takes the values after the last mark, and the mark, off the stack.
func (u *unpickler) popToMark() []any {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(pyMark); ok {
			return u.pop(len(u.stack) - i)[1:]
		}
	}
	u.fail("no mark on the stack")
	return nil
}

// top returns the last value of the stack and leaves it there.
func (u *unpickler) top() any {
	if len(u.stack) == 0 {
		u.fail("too few values on the stack")
		return nil
	}
	return u.stack[len(u.stack)-1]
}

// recall pushes a value put into the memo before.
func (u *unpickler) recall(key int) {
	v, ok := u.memo[key]
	if !ok {
		u.fail("no such value was kept")
	}
	u.push(v)
}

// extend appends the values to the list on top of the stack.
func (u *unpickler) extend(items []any) {
	list, ok := u.top().(*pyList)
	if !ok {
		u.fail("no list to append to")
		return
	}
	list.items = append(list.items, items...)
}

// set adds the values, keys and contents in turn, to the dictionary on top of
// the stack.
func (u *unpickler) set(items []any) {
	dict, ok := u.top().(pyDict)
	if !ok || len(items)%2 != 0 {
		u.fail("no dictionary to add pairs to")
		return
	}
	for i := 0; i < len(items); i += 2 {
		key, ok := items[i].([]byte)
		if !ok {
			u.fail("a dictionary's key is not a byte string")
			return
		}
		dict[string(key)] = items[i+1]
	}
}

// global pushes one of the globals let in.
func (u *unpickler) global() {
	g := pyGlobal(u.line()) + " " + pyGlobal(u.line())
	switch g {
	case globalReconstruct, globalArray, globalType:
		u.push(g)
	default:
		u.fail(fmt.Sprintf("refused to load %q", g))
	}
}

// reduce pushes what the call of a global, given with its arguments, returns.
func (u *unpickler) reduce(call []any) {
	args, _ := call[1].(pyTuple)
	switch call[0] {
	case globalReconstruct:
		u.push(&pyArray{})
	case globalType:
		if len(args) == 0 {
			u.fail("a type of array without a name")
			return
		}
		if name, ok := args[0].([]byte); !ok || string(name) != "u1" {
			u.fail("an array of something other than unsigned bytes")
			return
		}
		u.push(pyByte{})
	default:
		u.fail("no function to call")
	}
}

// build gives the object on top of the stack its state. That of the type of
// bytes (alignment, byte order) says nothing new.
func (u *unpickler) build(state []any) {
	switch object := u.top().(type) {
	case pyByte:
	case *pyArray:
		if !object.setState(state[0]) {
			u.fail("the array is not a matrix of bytes")
		}
	default:
		u.fail("no object to give a state to")
	}
}

// setState sets a matrix from the tuple (version, shape, type, column-major or
// not, bytes), and tells whether it could.
func (a *pyArray) setState(state any) bool {
	t, ok := state.(pyTuple)
	if !ok || len(t) != 5 {
		return false
	}
	shape, isTuple := t[1].(pyTuple)
	_, isByte := t[2].(pyByte)
	columnMajor, isBool := t[3].(bool)
	data, isBytes := t[4].([]byte)
	if !isTuple || !isByte || !isBool || !isBytes || len(shape) != 2 {
		return false
	}
	rows, isInt := shape[0].(int)
	columns, isInt2 := shape[1].(int)
	// No factor exceeds 2³¹, so their product does not overflow.
	if !isInt || !isInt2 || rows < 0 || columns < 0 || int64(rows)*int64(columns) != int64(len(data)) {
		return false
	}
	*a = pyArray{rows: rows, columns: columns, columnMajor: columnMajor, data: data}
	return true
}
