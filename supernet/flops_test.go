package supernet_test

import (
	"math"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/supernet"
)

// Counted by hand: weights times positions of each layer of a network of space 2
// with 2 channels, 3 cells and side 4.
func TestFLOPs(t *testing.T) {
	net, err := supernet.New(supernet.Config{
		Space: space(t, 2), Channels: 2, Cells: 3, Classes: 10, Side: 4, BatchNormMomentum: 0.997,
	}, ref.New[float32](1))
	if err != nil {
		t.Fatal(err)
	}
	const (
		stem        = (3 * 2 * 9) * 16
		projections = (5*2*2 + 3*2*2) * 16 // of the first cell: four to 2 channels, one to 8
		block       = (2*2*9 + 2*2) * 16   // of the first cell
		second      = (4*4*4*10 + 4*8*4 + 8*16) * 9
		third       = (4*8*8*10 + 4*16*8 + 16*32) * 4
		head        = (32*8)*4 + 8*10
		all         = stem + projections + 4*block + second + third + head
		// The first block's sum is fixed, so its operations have no gradient to pass on.
		mixed = 3*block + second + third + head
	)
	const images, many = 3, 1 << 20
	for _, test := range []struct {
		name  string
		count func() (float64, error)
		want  int
	}{
		{"forward", func() (float64, error) { return net.ForwardFLOPs(images) }, all},
		{"mixing gradient", func() (float64, error) { return net.MixingGradientFLOPs(images) }, all + mixed},
		{"weight gradient", func() (float64, error) { return net.WeightGradientFLOPs(images) }, 3*all - stem},
		{"Hessian, gradient alone", func() (float64, error) { return net.HessianFLOPs(images, nil) }, all + 3*mixed},
		{"Hessian, first block", func() (float64, error) { return net.HessianFLOPs(images, []int{0}) }, all + mixed + mixed},
		// What the last block does moves nothing else in the first cell.
		{"Hessian, first and last block", func() (float64, error) { return net.HessianFLOPs(images, []int{0, 0, 3}) }, all + mixed + 3*mixed - 3*block},
		{"Hessian of many images, 5 directions", func() (float64, error) {
			n, err := net.HessianFLOPs(many*images, make([]int, 5))
			return n / many, err
		}, all + mixed + 5*2*mixed},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.count()
			if want := float64(2 * images * test.want); err != nil || got != want {
				t.Errorf("%v operations, %v; want %v", got, err, want)
			}
		})
	}
	config := net.Config()
	config.Sampled = true
	net, err = supernet.New(config, ref.New[float32](1))
	if err != nil {
		t.Fatal(err)
	}
	// On average a third of what the blocks do without sampling.
	const left = (4*block + 4*(4*4*10)*9 + 4*(8*8*10)*4) * 2.0 / 3
	if got, err := net.ForwardFLOPs(images); err != nil || math.Abs(got-2*images*(all-left)) > 1e-9*got {
		t.Errorf("sampled forward: %v operations, %v; want %v", got, err, 2*images*(all-left))
	}
	for _, count := range []func() (float64, error){
		func() (float64, error) { return net.ForwardFLOPs(0) },
		func() (float64, error) { return net.HessianFLOPs(0, []int{0}) },
	} {
		if _, err := count(); err == nil {
			t.Error("a batch without images was counted")
		}
	}
}

// The paper's network of PC-DARTS, counted by the released modules.
func TestPartialFLOPs(t *testing.T) {
	for id, want := range map[int]float64{1: 77_535_360, 2: 77_535_360, 3: 117_744_128} {
		net, err := supernet.New(supernet.Config{
			Space: space(t, id), Channels: 16, Cells: 9, Classes: 10, Side: 32, BatchNormMomentum: 0.997,
			Variant: supernet.Variant{Partial: 4},
		}, ref.New[float32](1))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := net.ForwardFLOPs(2); err != nil || got != 2*2*want {
			t.Errorf("space %d: %v operations, %v; want %v", id, got, err, 2*2*want)
		}
	}
}
