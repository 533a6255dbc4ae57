package cuda

import (
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine/cuda/kernels"
	"github.com/nb1shot/nb1shot/internal/engine/phases"
)

// The kernels see how many output blocks a tile has by the width of the grid.
func TestConvolvedBlocks(t *testing.T) {
	for outs := range 70 {
		for _, side := range []int{1, 4, 8, 9, 16, 32, 33} {
			for _, images := range []int{1, 2, 64, 96, 300} {
				for _, kind := range []int32{phases.OpConv1, phases.OpConv3} {
					for _, slots := range []phases.Address{0, 1} {
						op := phases.Op{Kind: kind, H: int32(side), W: int32(side), Outs: int32(outs + 1), Slots: slots}
						want := convolvedBlocks(&op, images)
						g := geometryOf(&op, images, 1)
						if got := divideUp(outs+1, g.Grid[0]); got != want {
							t.Fatalf("%+v, %d images: %d blocks chosen, %d made of the grid %v", op, images, want, got, g.Grid)
						}
						if slots != 0 && g.Grid[1] != 1 {
							t.Fatalf("%+v: sums of an image by several blocks, grid %v", op, g.Grid)
						}
					}
				}
			}
		}
	}
}

func TestGeometryOfConvolutions(t *testing.T) {
	const conv1, conv3 = phases.OpConv1, phases.OpConv3
	for _, c := range []struct {
		kind               int32
		side, outs, images int
		sums               bool
		columns, tiles     int
	}{
		{conv3, 32, 1, 96, false, 1, 4},  // 16×16 pixels, one output block
		{conv3, 32, 1, 96, true, 1, 1},   // all tiles of an image by one block
		{conv3, 16, 2, 96, true, 2, 1},   // too few blocks otherwise
		{conv3, 16, 2, 300, false, 1, 2}, // 16×8 pixels, two output blocks
		{conv3, 8, 4, 96, true, 1, 1},    // 8×8 pixels, four output blocks
		{conv1, 32, 3, 96, false, 3, 4},  // neither two nor four without waste
		{conv1, 32, 5, 96, false, 3, 8},  // two; one of six unused
		{conv1, 32, 7, 96, false, 2, 16}, // four; one of eight unused
		{conv1, 7, 1, 1, false, 1, 1},
	} {
		op := phases.Op{Kind: c.kind, H: int32(c.side), W: int32(c.side), Outs: int32(c.outs)}
		if c.sums {
			op.Slots = 1
		}
		want := Geometry{Grid: [3]int{c.columns, c.tiles, c.images}, Threads: kernels.Threads}
		if got := geometryOf(&op, c.images, 1); got != want {
			t.Errorf("%+v: %+v, want %+v", c, got, want)
		}
	}
}
