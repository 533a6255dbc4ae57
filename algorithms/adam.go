package algorithms

import "math"

// AdamEpsilon is PyTorch's default of Adam.Epsilon.
const AdamEpsilon = 1e-8

// Adam is the optimiser of the architecture parameters (Kingma and Ba, 2015)
// with PyTorch's coupled weight decay, which is added to the gradient.
type Adam struct {
	LearningRate float64
	Beta1, Beta2 float64 // decay of the first and second moment
	WeightDecay  float64
	Epsilon      float64 // keeps the division finite
	Moments
}

// Moments is the state of [Adam] over d parameters.
type Moments struct {
	Steps int       `json:"steps"` // taken so far, one counter for all parameters
	M     []float64 `json:"m"`     // first moments, length d
	V     []float64 `json:"v"`     // second moments, length d
}

// Step moves params against grad. All vectors have the length of the moments.
func (a *Adam) Step(params, grad []float64) {
	a.Steps++
	correct1 := 1 - math.Pow(a.Beta1, float64(a.Steps))
	correct2 := math.Sqrt(1 - math.Pow(a.Beta2, float64(a.Steps)))
	for i, g := range grad {
		g += a.WeightDecay * params[i]
		a.M[i] = a.Beta1*a.M[i] + (1-a.Beta1)*g
		a.V[i] = a.Beta2*a.V[i] + (1-a.Beta2)*g*g
		params[i] -= a.LearningRate / correct1 * a.M[i] / (math.Sqrt(a.V[i])/correct2 + a.Epsilon)
	}
}
