package formula

import (
	"math"
	"slices"
	"testing"
)

// The outputs are those of the generator's published C code.
func TestStream(t *testing.T) {
	for seed, want := range map[stream][]uint64{
		0:       {0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F},
		1234567: {6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821},
	} {
		s := seed
		for i, w := range want {
			if got := s.next(); got != w {
				t.Errorf("output %d of seed %d is %d, want %d", i, seed, got, w)
			}
		}
	}
	want := 4*math.Floor(6457827717110365317/2048.)/(1<<53) - 2
	if got := Uniform(1234567, 3, 4, -2); len(got) != 3 || got[0] != want {
		t.Errorf("uniform numbers %v, want 3 from %v on", got, want)
	}
}

func TestWeights(t *testing.T) {
	tensors := []struct {
		name  string
		shape []int
		size  int
	}{
		{"stem.op.0.weight", []int{30, 3, 3, 3}, 810},
		{"stem.op.1.weight", []int{300}, 300},
		{"stem.op.1.bias", []int{300}, 300},
		{"classifier.weight", []int{10, 64}, 640},
		{"classifier.bias", []int{200}, 200},
	}
	all := Weights(func(yield func(string, []int) bool) {
		for _, t := range tensors {
			if !yield(t.name, t.shape) {
				return
			}
		}
	}, 40)
	at := 0
	for i, want := range []struct{ low, high float64 }{
		{-1 / math.Sqrt(27), 1 / math.Sqrt(27)}, {0.5, 1.5}, {-0.2, 0.2}, {-0.125, 0.125}, {-0.125, 0.125},
	} {
		part := all[at : at+tensors[i].size]
		at += tensors[i].size
		near := (want.high - want.low) / 20
		low, high := slices.Min(part), slices.Max(part)
		if low < want.low || low > want.low+near || high > want.high || high < want.high-near {
			t.Errorf("%s lies in %.4f..%.4f, want to fill %.4f..%.4f", tensors[i].name, low, high, want.low, want.high)
		}
		u := Uniform(40+i, 1, 1, 0)[0]
		if first := want.low + u*(want.high-want.low); math.Abs(part[0]-first) > 1e-15 {
			t.Errorf("%s starts with %v, want %v", tensors[i].name, part[0], first)
		}
	}
	if at != len(all) {
		t.Errorf("%d weights, want %d", len(all), at)
	}
}

// The images of a small batch are the first of a larger one.
func TestImages(t *testing.T) {
	large := Pixels(700, 5, 4)
	if len(large) != 5*3*16 || !slices.Equal(Pixels(700, 2, 4), large[:2*3*16]) {
		t.Error("a batch of 2 is not the beginning of one of 5")
	}
}
