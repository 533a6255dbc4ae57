package supernet

// The tests' small networks take all directions of a Hessian at once.
func init() { leastAtOnce = 0 }
