package cuda

import (
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
)

// held is images on the device.
type held struct{ *memory }

func (h held) Len() int { return h.bytes }

// Hold copies images to the device.
func (e *Engine) Hold(pixels []uint8) engine.Held {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	h := held{e.newMemory(len(pixels))}
	if len(pixels) > 0 {
		check(e.driver.Write(h.address, pixels))
	}
	return h
}

// Augment makes a batch of images that the device holds.
func (e *Engine) Augment(to engine.Vector, from engine.Held, side int, levels engine.Vector, crops []engine.Crop) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	v, images := to.(*vector), from.(held)
	size := 3 * side * side
	if v.n != len(crops)*size || levels.Len() != 3*256 {
		panic("cuda: room for other images or levels than are to be made")
	}
	for _, c := range crops {
		if c.Image < 0 || (int(c.Image)+1)*size > images.bytes {
			panic("cuda: a crop of an image that is not there")
		}
	}
	if len(crops) == 0 {
		return
	}
	if bytes := len(crops) * int(unsafe.Sizeof(engine.Crop{})); e.crops == nil || e.crops.bytes < bytes {
		e.crops = e.newMemory(bytes)
	}
	check(e.driver.Write(e.crops.address, bytesOf(crops)))
	check(e.driver.Launch("augment_images", augmentGeometry(side, len(crops)),
		uint64(v.address), uint64(images.address), uint64(levels.(*vector).address), uint64(e.crops.address), uint64(side)))
}
