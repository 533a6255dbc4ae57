// Package algorithms holds the search algorithms: how one training step moves a
// supernet's weights and its architecture parameters.
//
// An algorithm is a [Definition] in the registry, made known by [Register] in
// the file that implements it; [New] builds its [Searcher]. A searcher owns the
// architecture parameters, their optimiser and its random streams; the weights
// live in the supernet, which it sees through the small interface [Supernet],
// and the images in queues behind the interface [Batches].
//
// Architecture parameters (alphas) and mixing weights are flat vectors over all
// tensors of the space in list order, row-major, of length space.Dim(). The
// softmax of the alphas and the chain rule through it are done here, on the host
// in float64 (see [Mixing]), so a supernet only ever sees the weights it mixes with.
//
// Where the released code of the SDARTS paper departs from the paper, the
// default is the code and the quirk is named by its number, as in "quirk Q4";
// the alternatives are settings.
package algorithms

import (
	"context"
	"errors"

	"github.com/nb1shot/nb1shot/algorithms/controller"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// Supernet is what a search needs of a one-shot network. mixing is the flat
// vector of weights that mix operations and edges, used as they are: values on
// the simplex, or 0 and 1 for a discrete cell. It has space.Dim() numbers, or
// that many for each cell (supernet.Variant.Sampled).
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
	// Droppable is how many operations drop path scales, in all cells together.
	Droppable() int
	// SetDropPath sets the multipliers of the passes that train, see supernet.Net:
	// Droppable times as many as the batch has images.
	SetDropPath(multipliers []float64)
	// SetDraws names the streams of the noise and the dropout masks that the following
	// passes draw, HoldDraws lets the next pass take those of the last one again, and
	// SetDropout sets the probability of dropout, see supernet.Net.
	SetDraws(seed uint64, purpose string, index ...uint64)
	HoldDraws()
	SetDropout(p float64)

	HessianNet
	Weights
}

// HessianNet is a supernet that can differentiate its loss twice with respect to
// the mixing weights.
type HessianNet interface {
	// HessianForms returns the gradient and the Hessian in every two of the directions, all
	// of the loss with respect to mixing, normalising by batch statistics and moving the
	// running ones once.
	HessianForms(ctx context.Context, b data.Batch, mixing []float64, directions []supernet.Direction) (pass supernet.Pass, grad []float64, forms [][]float64, err error)
	// HessianSequence returns products of the Hessian with directions that may depend on
	// the products with those before them: next is called with nil for the first direction,
	// then with the gradient and the product with the direction that it returned last, until
	// it returns nil.
	HessianSequence(ctx context.Context, b data.Batch, mixing []float64, next func(grad, product []float64) (direction []float64)) (supernet.Pass, error)
}

// Weights gives access to the numbers of a supernet, as flat vectors of
// ParameterCount or StatisticsCount entries.
type Weights interface {
	ParameterCount() int
	StatisticsCount() int
	ReadParameters(dst []float64)
	WriteParameters(src []float64)
	ReadGradient(dst []float64) // of the last WeightGradient, clipped once StepWeights has been called
	WriteGradient(src []float64)
	ReadMomentum(dst []float64)
	ReadStatistics(dst []float64) // running batch-norm statistics
	WriteStatistics(src []float64)
}

// Queue names the images, or the text, that batches are drawn from.
type Queue int

const (
	Train   Queue = iota // training part: the weights learn from it
	Search               // search part: the architecture learns from it; transformed like Train (quirk Q10)
	Held                 // search part, in file order, without augmentation; of a text its passages one after another
	TestSet              // the data set's test images, in file order, without augmentation
)

// String is the name of the queue.
func (q Queue) String() string {
	return [...]string{"train", "search", "held", "test"}[q]
}

// Batches hands out batches of images.
type Batches interface {
	// Len is the number of batches in one pass over the queue.
	Len(q Queue) int
	// Batch returns batch k of the queue, counted from 0 since the start of the
	// epoch. From Len on it goes round again, in a new order where the queue is
	// shuffled. The batch is valid until the queue's next one.
	Batch(q Queue, epoch, k int) data.Batch
}

// Searcher is one run of an algorithm. It is not safe for concurrent use.
type Searcher interface {
	// Steps is the number of steps in an epoch.
	Steps(b Batches) int
	// StartEpoch begins the given epoch, counted from 0, at its first step.
	StartEpoch(epoch int)
	// Step makes the next step of the epoch; for most algorithms an architecture
	// step on a search batch, then a weight step on a training batch. After an
	// error neither the searcher nor the supernet may be used until restored from
	// a saved state. Algorithms that only query the table are given a nil net.
	Step(ctx context.Context, net Supernet, b Batches) (StepInfo, error)
	// Architecture is the cell that the search would deliver now.
	Architecture() spaces.Architecture
	// State returns everything that SetState needs to continue with the same
	// numbers, the supernet excepted.
	State() ([]byte, error)
	// SetState restores what State returned. It changes nothing on error.
	SetState([]byte) error
}

// Relaxed is a searcher with continuous architecture parameters.
type Relaxed interface {
	Searcher
	// Space is the space that the parameters belong to: the one searched, or one derived
	// from it (see Definition.Extend and Staged).
	Space() *spaces.Space
	// Alphas returns a copy of the raw architecture parameters.
	Alphas() []float64
	// Prepare sets what is random in the passes over a number of images that follow, to
	// be called before the Hessian is taken at Mixing(ForHessian, k).
	Prepare(net Supernet, use Use, images int)
	// Mixing is where the supernet stands for something done once or several
	// times after the steps of an epoch; k counts the times from 0.
	Mixing(use Use, k int) Mixing
	// Curvature says how the Hessian is taken: over how many samples it is averaged, at
	// least 1, and the weight decay of the alphas, which is added on its diagonal.
	Curvature() (draws int, decay float64)
}

// Staged is a searcher that goes from one network to another, as P-DARTS does.
type Staged interface {
	Relaxed
	// Stage is that of the epoch started last.
	Stage() Stage
}

// Stage is a part of a search with a network of its own, which begins with new weights.
type Stage struct {
	Number int           // from 0
	Space  *spaces.Space // of the mixing weights
	Cells  int           // of the network
}

// Use says what a point of the relaxation is for.
type Use int

const (
	ForArchitecture Use = iota // the architecture step
	ForWeights                 // the weight step, before any perturbation
	ForHessian                 // the Hessian at the end of the epoch
	ForValidation              // a batch of the validation of the supernet
)

// Watcher is a searcher that wants to know what was measured after an epoch.
type Watcher interface {
	Searcher
	// EpochDone tells the eigenvalues of the epoch's architecture Hessian. When it
	// returns true, the search is over and Architecture is its result.
	EpochDone(s Spectrum) (stop bool)
}

// StepInfo is what one step did. Vectors over the architecture belong to the
// receiver and have length space.Dim(), those of mixing weights as many as the
// supernet's mixing vector.
type StepInfo struct {
	Architecture supernet.Pass // architecture step on the search batch; zero where there was none
	ArchGradient []float64     // ∂loss/∂alpha handed to Adam, before its weight decay; for ENAS that of the controller's parameters; nil where there was none
	ArchNorm     float64       // its 2-norm before any clipping
	Simplex      []float64     // mixing weights before any perturbation; nil where there was no weight step
	Epsilon      float64       // radius of the perturbation; 0 without one
	Mixing       []float64     // mixing weights of the weight step: Simplex, possibly perturbed
	Attack       *Attack       // how SDARTS-ADV found Mixing; nil for the others
	Trained      int           // in the training batch; 0 where there was no weight step
	Weights      supernet.Pass // weight step on the training batch
	GradientNorm float64       // 2-norm of the weight gradient before clipping
	LearningRate float64       // of the weight step
	Score        *float64      // error of the cell that the step ranked, in [0,1], or on text its cross-entropy in nats; nil where it ranked none
	Trial        *Trial        // of a search that asks the table alone; nil for the others
}

// Trial is a training that the table was asked for, at the moment at which it would have
// ended.
type Trial struct {
	Architecture spaces.Architecture
	Budget       int      // epochs of the training
	Error        float64  // on the validation images after it, in [0,1]
	Clock        *float64 // seconds of training since the start of the search, with Workers at a time; nil where the table does not know them
	Workers      int      // networks that train at the same time
	Incumbent    bool     // it is the best so far: what was trained the longest, and of that the lowest error
}

// Config is what every algorithm is built from.
type Config struct {
	Space    *spaces.Space
	Ties     spaces.Ties // how equal alphas are ranked (quirk Q31)
	Cells    int         // of the supernet
	Epochs   int         // length of the schedules, at least 1
	Seed     uint64      // of the initial alphas and of the algorithm's own draws
	Settings Settings    // by name; what is absent takes the algorithm's default

	// Query looks up in the table how a cell does after a number of epochs of training,
	// FullBudget or one of Definition.Budgets. Only the algorithms that search the table
	// alone use it.
	Query func(a spaces.Architecture, epochs int) (Answer, error)

	// Noise, when set, fills dst with the random numbers of the steps in the
	// order they are needed, in place of the seeded streams, so that a recorded
	// run can be replayed. For SDARTS these are the perturbations in [-ε, ε], for
	// GDAS the Gumbel draws of one forward pass.
	Noise func(dst []float64)
	// Choose likewise makes the choices of ENAS' controller.
	Choose controller.Draw
}

// Answer is what the table says of a cell.
type Answer struct {
	Error   float64  // on the validation images, in [0,1]
	Seconds *float64 // that the training took; nil where unknown
}

// ErrDiverged reports a loss that is not a finite number.
var ErrDiverged = errors.New("training diverged")
