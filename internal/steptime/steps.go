package steptime

import (
	"context"
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/supernet"
)

// Step is a kind of work that a search does over and over.
type Step struct {
	Name    string
	Doc     string
	Repeats int  // unless the configuration says
	Sampled bool // whether sampled networks can be timed
	// Evaluation tells whether the network of a genotype can be.
	Evaluation bool
	Recurrent  bool // whether the space of recurrent cells can

	batch func(*problem) data.Batch
	do    func(context.Context, *problem) (Outcome, error)
	flops func(*problem) (float64, error)
}

// Steps are all steps there are.
var Steps = []Step{
	{"arch", "loss and its gradient with respect to the alphas, training mode", 10, true, false, true, all, arch, archFLOPs},
	{"weight", "loss and its gradient with respect to the weights, training mode; clip, step of SGD", 10, true, true, true, all, weight, weightFLOPs},
	{"pgd", "attack of SDARTS-ADV in 7 steps, evaluation mode", 10, false, false, true, all, attack, attackFLOPs},
	{"forward", "loss alone, evaluation mode", 10, true, true, true, all, forward, forwardFLOPs},
	{"hessian", "exact Hessian of the loss with respect to the alphas on a smaller batch, training mode", 3, false, false, false, some, hessian, hessianFLOPs},
}

// Names lists the names of Steps.
func Names() []string {
	var names []string
	for _, s := range Steps {
		names = append(names, s.Name)
	}
	return names
}

func lookup(name string) (Step, error) {
	i := slices.IndexFunc(Steps, func(s Step) bool { return s.Name == name })
	if i < 0 {
		return Step{}, fmt.Errorf("unknown step %q", name)
	}
	return Steps[i], nil
}

func all(p *problem) data.Batch  { return p.images }
func some(p *problem) data.Batch { return p.hessianImages }

func arch(_ context.Context, p *problem) (Outcome, error) {
	pass, err := p.supernet().MixingGradient(p.images, p.nextMixing(), supernet.BatchStatistics, p.gradient)
	if p.choices == nil {
		algorithms.SoftmaxGradient(p.space, p.mixing, p.gradient)
	}
	return Outcome{Loss: new(pass.Loss)}, err
}

func archFLOPs(p *problem) (float64, error) { return p.net.MixingGradientFLOPs(p.images.N) }

// sgd is the weight step of the paper.
var sgd = supernet.SGD{LearningRate: 0.025, Momentum: 0.9, WeightDecay: 3e-4, Clip: 5}

func weight(_ context.Context, p *problem) (Outcome, error) {
	net := p.supernet()
	pass, err := net.WeightGradient(p.images, p.nextMixing(), supernet.BatchStatistics)
	if err != nil {
		return Outcome{}, err
	}
	_, err = net.StepWeights(p.sgd)
	return Outcome{Loss: new(pass.Loss)}, err
}

func weightFLOPs(p *problem) (float64, error) { return p.net.WeightGradientFLOPs(p.images.N) }

// The attack has no random start, so that two programs attack the same.
var pgd = algorithms.PGD{Steps: 7, Simplex: true, BatchNorm: supernet.RunningStatistics}

const epsilon = 0.1

func attack(_ context.Context, p *problem) (Outcome, error) {
	a, err := pgd.Attack(p.supernet(), p.space, p.images, p.mixing, epsilon, nil)
	return Outcome{Before: &a.Before, After: &a.After}, err
}

// attackFLOPs counts a pass before and one after the steps.
func attackFLOPs(p *problem) (float64, error) {
	pass, err := p.net.ForwardFLOPs(p.images.N)
	if err != nil {
		return 0, err
	}
	step, err := p.net.MixingGradientFLOPs(p.images.N)
	return 2*pass + float64(pgd.Steps)*step, err
}

func forward(_ context.Context, p *problem) (Outcome, error) {
	pass, err := p.supernet().Forward(p.images, p.nextMixing(), supernet.RunningStatistics)
	return Outcome{Loss: new(pass.Loss)}, err
}

func forwardFLOPs(p *problem) (float64, error) { return p.net.ForwardFLOPs(p.images.N) }

func hessian(ctx context.Context, p *problem) (Outcome, error) {
	net := &observed{Net: p.net}
	_, spectrum, err := algorithms.Hessian(ctx, net, algorithms.Softmax(p.space, p.alphas), p.hessianImages, 0)
	if err != nil {
		return Outcome{}, err
	}
	p.directions = net.rows
	return Outcome{Loss: &net.loss, Eigenvalue: new(spectrum[len(spectrum)-1])}, nil
}

func hessianFLOPs(p *problem) (float64, error) {
	return p.net.HessianFLOPs(p.hessianImages.N, p.directions)
}

// observed notes what algorithms.Hessian asks of a network.
type observed struct {
	*supernet.Net
	loss float64
	rows []int // of the directions
}

func (o *observed) HessianForms(ctx context.Context, b data.Batch, mixing []float64, directions []supernet.Direction) (supernet.Pass, []float64, [][]float64, error) {
	pass, grad, forms, err := o.Net.HessianForms(ctx, b, mixing, directions)
	o.loss, o.rows = pass.Loss, nil
	for _, v := range directions {
		o.rows = append(o.rows, v.Row)
	}
	return pass, grad, forms, err
}
