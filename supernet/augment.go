package supernet

import (
	"slices"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
)

// augmenter lets an engine make the images of batches, which it holds once.
type augmenter struct {
	engine engine.Augmenter
	held   map[*data.Set]engine.Held
	levels map[*data.Levels]engine.Vector
	crops  []engine.Crop
}

// augment makes the images of a recipe.
func (a *augmenter) augment(to engine.Vector, r *data.Recipe) {
	images := a.held[r.Set]
	if images == nil {
		images = a.engine.Hold(r.Set.Images)
		a.held[r.Set] = images
	}
	levels := a.levels[r.Levels]
	if levels == nil {
		levels = a.engine.NewVector(len(r.Levels) * len(r.Levels[0]))
		levels.Write(slices.Concat(r.Levels[0][:], r.Levels[1][:], r.Levels[2][:]))
		a.levels[r.Levels] = levels
	}
	a.crops = Crops(a.crops[:0], r)
	a.engine.Augment(to, images, r.Set.Side, levels, a.crops)
}

// Crops appends the crops of a recipe as an Augmenter wants them.
func Crops(dst []engine.Crop, r *data.Recipe) []engine.Crop {
	side := r.Set.Side
	pad := side / 8
	for i, c := range r.Crops {
		top, bottom, left, right := c.Square(side)
		crop := engine.Crop{Image: int64(r.Numbers[i]), Top: int32(c.Top - pad), Left: int32(c.Left - pad),
			CutTop: int32(top), CutBottom: int32(bottom), CutLeft: int32(left), CutRight: int32(right)}
		if c.Flip {
			crop.Flip = 1
		}
		dst = append(dst, crop)
	}
	return dst
}
