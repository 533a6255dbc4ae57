package benchmark

// For tests.
var (
	DiscreteForm   = discreteForm
	NormalizedForm = normalizedForm
)
