package cell_test

import (
	"errors"
	"testing"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

func TestShape(t *testing.T) {
	for _, tt := range []struct {
		name   string
		matrix [][]int
		ops    []string
		want   cell.Shape
	}{
		{"straight", [][]int{{0, 1}, {0, 0}}, []string{"input", "output"}, cell.Shape{Depth: 1}},
		{"chain", [][]int{{0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 0}},
			[]string{"input", "maxpool3x3", "conv1x1-bn-relu", "output"}, cell.Shape{Depth: 3, Width: 1, Vertices: 2, Pools: 1}},
		{"second vertex half from the input", [][]int{{0, 1, 1, 1}, {0, 0, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 0}},
			[]string{"input", "conv3x3-bn-relu", "conv1x1-bn-relu", "output"}, cell.Shape{Depth: 3, Width: 1.5, Vertices: 2}},
		{"parallel", [][]int{{0, 1, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 1}, {0, 0, 0, 0}},
			[]string{"input", "maxpool3x3", "maxpool3x3", "output"}, cell.Shape{Depth: 2, Width: 2, Vertices: 2, Pools: 2}},
		{"loose end", [][]int{{0, 1, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
			[]string{"input", "conv1x1-bn-relu", "maxpool3x3", "output"}, cell.Shape{Depth: 2, Width: 1, Vertices: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec, err := cell.Parse(tt.matrix, tt.ops)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := spec.Shape(); err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	apart, err := cell.Parse([][]int{{0, 0}, {0, 0}}, []string{"input", "output"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apart.Shape(); !errors.Is(err, cell.ErrDisconnected) {
		t.Errorf("a cell without a path: %v", err)
	}
}
