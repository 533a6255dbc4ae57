// Package algorithms holds the search algorithms: how one training step moves a
// supernet's weights and its architecture parameters.
//
// An algorithm is a [Definition] in the registry, made known by [Register] in
// the file that implements it; [New] builds its [Searcher]. A searcher owns the
// architecture parameters, their optimiser and its random streams; the weights
// live in the supernet, which it sees through the small interface [Supernet].
//
// Architecture parameters (alphas) and mixing weights are flat vectors over all
// tensors of the space in list order, row-major, of length space.Dim(). The
// softmax of the alphas and the chain rule through it are done here, on the host
// in float64, so a supernet only ever sees the weights it mixes with.
//
// Where the released code of the SDARTS paper departs from the paper, the
// default is the code and the quirk is named by its number, as in "quirk Q4";
// the alternatives are settings.
package algorithms

import (
	"errors"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// Supernet is what a search step needs of a one-shot network. mixing is the flat
// vector of weights that mix operations and edges, used as they are: values on
// the simplex, or 0 and 1 for a discrete cell.
type Supernet interface {
	// Forward evaluates the batch.
	Forward(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error)
	// MixingGradient also writes the loss's gradient with respect to mixing into grad.
	MixingGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm, grad []float64) (supernet.Pass, error)
	// WeightGradient also computes the gradient with respect to the weights and
	// keeps it for StepWeights.
	WeightGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error)
	// StepWeights moves the weights and returns the gradient's 2-norm before clipping.
	StepWeights(supernet.SGD) (float64, error)
}

// Searcher is one run of an algorithm. It is not safe for concurrent use.
type Searcher interface {
	// StartEpoch begins the given epoch, counted from 0, at its first step.
	StartEpoch(epoch int)
	// Step makes one training step: the architecture step on the search batch,
	// then the weight step on the training batch. After an error neither the
	// searcher nor the supernet may be used until restored from a saved state.
	Step(net Supernet, train, search data.Batch) (StepInfo, error)
	// Alphas returns a copy of the raw architecture parameters.
	Alphas() []float64
	// Point returns a copy of the architecture parameters at which the Hessian is
	// taken and the supernet validated; for most algorithms that is Alphas.
	Point() []float64
	// State returns everything that SetState needs to continue with the same
	// numbers, the supernet excepted.
	State() ([]byte, error)
	// SetState restores what State returned. It changes nothing on error.
	SetState([]byte) error
}

// StepInfo is what one step did. Vectors over the architecture have length
// space.Dim() and belong to the receiver.
type StepInfo struct {
	Architecture supernet.Pass // architecture step on the search batch; zero during warm start
	ArchGradient []float64     // ∂loss/∂alpha handed to Adam, before its weight decay; nil during warm start
	Simplex      []float64     // softmax of the alphas after the architecture step
	Epsilon      float64       // radius of the perturbation; 0 without one
	Mixing       []float64     // mixing weights of the weight step: Simplex, possibly perturbed
	Attack       *Attack       // how SDARTS-ADV found Mixing; nil for the others
	Weights      supernet.Pass // weight step on the training batch
	GradientNorm float64       // 2-norm of the weight gradient before clipping
	LearningRate float64       // of the weight step
}

// Config is what every algorithm is built from.
type Config struct {
	Space    *spaces.Space
	Epochs   int      // length of the schedules, at least 1
	Seed     uint64   // of the initial alphas and of the algorithm's own draws
	Settings Settings // by name; what is absent takes the algorithm's default

	// Noise, when set, fills dst with the random numbers of the steps in the
	// order they are needed, in place of the seeded streams, so that a recorded
	// run can be replayed. For SDARTS these are the perturbations in [-ε, ε].
	Noise func(dst []float64)
}

// ErrDiverged reports a loss that is not a finite number.
var ErrDiverged = errors.New("training diverged")
