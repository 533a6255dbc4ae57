package emulator_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine/cuda"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/emulator"
)

func orders() []emulator.Order {
	return []emulator.Order{emulator.Forwards(), emulator.Backwards(), emulator.Shuffled(1), emulator.Shuffled(2)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func alloc(t *testing.T, d *emulator.Device, bytes int) cuda.Address {
	t.Helper()
	a, err := d.Alloc(bytes)
	must(t, err)
	return a
}

func write(t *testing.T, d *emulator.Device, at cuda.Address, x ...float32) {
	t.Helper()
	var b []byte
	for _, v := range x {
		b = binary.NativeEndian.AppendUint32(b, math.Float32bits(v))
	}
	must(t, d.Write(at, b))
}

func read(t *testing.T, d *emulator.Device, at cuda.Address, n int) []float32 {
	t.Helper()
	b := make([]byte, 4*n)
	must(t, d.Read(b, at))
	x := make([]float32, n)
	for i := range x {
		x[i] = math.Float32frombits(binary.NativeEndian.Uint32(b[4*i:]))
	}
	return x
}

func grid(x, y, z, threads int) cuda.Geometry {
	return cuda.Geometry{Grid: [3]int{x, y, z}, Threads: threads}
}

func numbers(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	return x
}

func TestBarriers(t *testing.T) {
	const threads, blocks = 48, 5
	for _, o := range orders() {
		d := emulator.New(o)
		x := alloc(t, d, 4*threads*blocks)
		write(t, d, x, numbers(threads*blocks)...)
		must(t, d.Launch("selftest_rotate", grid(blocks, 1, 1, threads), uint64(x)))
		for i, got := range read(t, d, x, threads*blocks) {
			if want := float32(i/threads*threads + (i+1)%threads); got != want {
				t.Fatalf("%v: number %d is %v, want %v", o, i, got, want)
			}
		}
		must(t, d.Close())
	}
}

// A race shows as a difference between orders.
func TestOrders(t *testing.T) {
	var seen [][]float32
	for _, o := range orders() {
		d := emulator.New(o)
		x := alloc(t, d, 4*64)
		write(t, d, x, numbers(64)...)
		must(t, d.Launch("selftest_race", grid(1, 1, 1, 64), uint64(x)))
		got := read(t, d, x, 64)
		if slices.ContainsFunc(seen, func(s []float32) bool { return slices.Equal(s, got) }) {
			t.Errorf("%v: the same as in another order", o)
		}
		seen = append(seen, got)
	}
}

func TestUnwrittenMemoryIsNaN(t *testing.T) {
	d := emulator.New(emulator.Forwards())
	x := alloc(t, d, 4*64)
	check := func(what string) {
		t.Helper()
		for i, v := range read(t, d, x, 64) {
			if v == v {
				t.Fatalf("%s: number %d is %v", what, i, v)
			}
		}
	}
	check("new memory")
	must(t, d.Clear(x, 4*64))
	must(t, d.Launch("selftest_uninitialized", grid(2, 1, 1, 64), uint64(x)))
	check("shared memory, by the second block")
}

func TestBadKernels(t *testing.T) {
	for _, c := range []struct {
		kernel cuda.Kernel
		want   string
	}{
		{"selftest_diverge", "some threads of a block wait at a barrier and others return"},
		{"selftest_diverge_late", "some threads of a block wait at a barrier and others return"},
		{"selftest_two_barriers", "different barriers"},
		{"selftest_overrun", "past the end of its shared memory"},
		{"selftest_large", "more shared memory than a block can have"},
	} {
		for _, o := range orders() {
			d := emulator.New(o)
			x := alloc(t, d, 4*64)
			for range 2 { // one failure must not hide the next
				if err := d.Launch(c.kernel, grid(1, 1, 1, 8), uint64(x)); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s, %v: error %v, want one with %q", c.kernel, o, err, c.want)
				}
			}
			write(t, d, x, numbers(64)...)
			must(t, d.Launch("selftest_rotate", grid(1, 1, 1, 64), uint64(x)))
			if got := read(t, d, x, 64); got[0] != 1 || got[63] != 0 {
				t.Errorf("after %s: a good kernel gives %v", c.kernel, got)
			}
		}
	}
}

func TestMisuse(t *testing.T) {
	d := emulator.New(emulator.Forwards())
	d.Memory = 1000
	a, b := alloc(t, d, 256), alloc(t, d, 300)
	if d.Held() != 556 {
		t.Fatalf("%d bytes held", d.Held())
	}
	buffer := make([]byte, 301)
	one := grid(1, 1, 1, 1)
	graph, err := d.Capture(func() error { return d.Clear(b, 300) })
	must(t, err)
	inGraph := func(do func() error) func() error {
		return func() error { _, err := d.Capture(do); return err }
	}
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"alloc of nothing", func() error { _, err := d.Alloc(0); return err }, "0 bytes"},
		{"alloc of too much", func() error { _, err := d.Alloc(445); return err }, "445 bytes wanted, 444 of 1000 free"},
		{"free inside", func() error { return d.Free(a + 1) }, "no allocation"},
		{"write past the end", func() error { return d.Write(b, buffer) }, "301 bytes"},
		{"write before", func() error { return d.Write(1, buffer[:1]) }, "not in one allocation"},
		{"read past the end", func() error { return d.Read(buffer[:300], b+1) }, "not in one allocation"},
		{"copy from past the end", func() error { return d.Copy(a, b+299, 2) }, "copy from"},
		{"copy past the end", func() error { return d.Copy(a+255, b, 2) }, "copy to"},
		{"clear past the end", func() error { return d.Clear(a, 257) }, "clear"},
		{"clear of less than nothing", func() error { return d.Clear(a, -1) }, "clear"},
		{"unknown kernel", func() error { return d.Launch("op_magic", one, uint64(a)) }, `no kernel "op_magic"`},
		{"too few arguments", func() error { return d.Launch("op_load", one, uint64(a)) }, "1 arguments, not 2"},
		{"an argument that is no address", func() error { return d.Launch("op_load", one, uint64(a), 7) }, "argument 1"},
		{"no threads", func() error { return d.Launch("op_load", grid(1, 1, 1, 0), uint64(a), uint64(b)) }, "0 threads"},
		{"too many threads", func() error { return d.Launch("op_load", grid(1, 1, 1, 257), uint64(a), uint64(b)) }, "257 threads, of 1 to 256"},
		{"empty grid", func() error { return d.Launch("op_load", grid(1, 0, 1, 1), uint64(a), uint64(b)) }, "grid [1 0 1]"},
		{"large grid", func() error { return d.Launch("op_load", grid(1, 1, 1<<16, 1), uint64(a), uint64(b)) }, "number 2"},
		{"read while recording", inGraph(func() error { return d.Read(buffer[:1], a) }), "while a graph is recorded"},
		{"write while recording", inGraph(func() error { return d.Write(a, buffer[:1]) }), "while a graph is recorded"},
		{"alloc while recording", inGraph(func() error { _, err := d.Alloc(1); return err }), "while a graph is recorded"},
		{"free while recording", inGraph(func() error { return d.Free(a) }), "while a graph is recorded"},
		{"recording while recording", inGraph(inGraph(func() error { return nil })), "while a graph is recorded"},
		{"failed recording", inGraph(func() error { return errors.New("my own") }), "my own"},
		{"replay with memory that is gone", func() error { must(t, d.Free(b)); return graph.Replay() }, "operation 0"},
		{"free again", func() error { return d.Free(b) }, "no allocation"},
		{"replay of a released graph", func() error { must(t, graph.Release()); return graph.Replay() }, "released"},
		{"release again", graph.Release, "released"},
		{"use after close", func() error { must(t, d.Close()); return d.Clear(a, 1) }, "closed"},
		{"close again", d.Close, "closed"},
	} {
		if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestGraph(t *testing.T) {
	d := emulator.New(emulator.Shuffled(3))
	x, y, z := alloc(t, d, 4*64), alloc(t, d, 4*64), alloc(t, d, 4*64)
	write(t, d, x, numbers(64)...)
	write(t, d, z, numbers(64)...)
	g, err := d.Capture(func() error {
		return errors.Join(d.Launch("selftest_rotate", grid(1, 1, 1, 64), uint64(x)), d.Copy(y, x, 4*64), d.Clear(z, 4))
	})
	must(t, err)
	if got := [2]float32{read(t, d, x, 1)[0], read(t, d, z, 2)[1]}; got != [2]float32{0, 1} {
		t.Fatalf("recording did something: %v", got)
	}
	for i := range 3 {
		must(t, g.Replay())
		if got := [3]float32{read(t, d, x, 1)[0], read(t, d, y, 1)[0], read(t, d, z, 1)[0]}; got != [3]float32{float32(i + 1), float32(i + 1), 0} {
			t.Fatalf("replay %d: %v", i, got)
		}
	}
}
