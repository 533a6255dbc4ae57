package algorithms_test

import (
	"context"
	"fmt"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
)

// A searcher makes steps on a supernet; here it is a quadratic function that stands in for one.
func Example() {
	space, err := spaces.Get("1")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := algorithms.New("sdarts-rs", algorithms.Config{
		Space: space, Cells: 3, Epochs: 2, Seed: 1,
		Settings: algorithms.Settings{"epsilon-max": 0.2},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	net := algorithmstest.NewQuadratic(space.Dim(), 1)
	batches := algorithmstest.Batches{
		algorithms.Train:  {algorithmstest.Batch(0), algorithmstest.Batch(1)},
		algorithms.Search: {algorithmstest.Batch(2), algorithmstest.Batch(3)},
	}
	for epoch := range 2 {
		s.StartEpoch(epoch)
		for range s.Steps(batches) {
			info, err := s.Step(context.Background(), net, batches)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Printf("epoch %d: ε %.3f, learning rate %.3f\n", epoch, info.Epsilon, info.LearningRate)
		}
	}
	fmt.Println("an architecture of space", s.Architecture().Space)
	// Output:
	// epoch 0: ε 0.030, learning rate 0.013
	// epoch 0: ε 0.030, learning rate 0.013
	// epoch 1: ε 0.115, learning rate 0.001
	// epoch 1: ε 0.115, learning rate 0.001
	// an architecture of space 1
}

// An algorithm of the DARTS family replaces a part of its loop: here the gradient of
// the architecture step has the other sign.
func ExampleNewRelaxation() {
	contrary := algorithms.Definition{
		Name:    "contrary",
		Options: algorithms.RelaxationOptions(),
		New: func(cfg algorithms.Config) (algorithms.Searcher, error) {
			r := algorithms.NewRelaxation("contrary", cfg, 0)
			r.ArchGradient = func(_ context.Context, net algorithms.Supernet, _, search data.Batch, info *algorithms.StepInfo) error {
				err := r.FirstOrder(net, search, info)
				for i := range info.ArchGradient {
					info.ArchGradient[i] *= -1
				}
				return err
			}
			return r, nil
		},
	}
	// algorithms.Register(contrary) would make it known to every command.
	space, err := spaces.Get("1")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := contrary.NewSearcher(algorithms.Config{Space: space, Cells: 3, Epochs: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(s.(algorithms.Relaxed).Alphas()), "architecture parameters")
	// Output:
	// 24 architecture parameters
}

func ExampleDefinition_Resolve() {
	d, err := algorithms.Lookup("darts")
	if err != nil {
		fmt.Println(err)
		return
	}
	all, err := d.Resolve(algorithms.Settings{"momentum": 0.5})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(all.Number("momentum"), all.Number("learning-rate"))
	_, err = d.Resolve(algorithms.Settings{"momentum": 2})
	fmt.Println(err)
	// Output:
	// 0.5 0.025
	// algorithm darts: setting momentum is 2, want 0 to 1
}
