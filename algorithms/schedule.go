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
