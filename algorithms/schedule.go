package algorithms

import "math"

// Cosine is the learning rate annealed without restarts (Loshchilov and Hutter,
// 2017): Max at time 0, Min at time Length, and back up after that.
type Cosine struct {
	Max, Min float64
	Length   int
}

// At returns the rate at time t.
func (c Cosine) At(t int) float64 {
	return c.Min + (c.Max-c.Min)*(1+math.Cos(math.Pi*float64(t)/float64(c.Length)))/2
}

// Linear is a value that moves from From at time 0 to To at time Length.
type Linear struct {
	From, To float64
	Length   int
}

// At returns the value at time t.
func (l Linear) At(t int) float64 {
	return l.From + (l.To-l.From)*float64(t)/float64(l.Length)
}

// ImageNetRate is the learning rate of the released scripts that train a cell on ImageNet:
// it falls to 0 linearly, more slowly in the last five epochs, and in the first five rises
// to Max instead if a batch has more than 256 images.
type ImageNetRate struct {
	Max    float64
	Epochs int // more than 5
	Batch  int
}

// At returns the rate in an epoch.
func (r ImageNetRate) At(epoch int) float64 {
	const slow, warm, large = 5, 5, 256
	left, linear := r.Epochs-epoch, float64(r.Epochs-slow)
	switch {
	case epoch < warm && r.Batch > large:
		return r.Max * float64(epoch+1) / warm
	case left > slow:
		return r.Max * float64(left-slow) / linear
	}
	return r.Max * float64(left) / (linear * slow)
}
