package results_test

import (
	"fmt"

	"github.com/nb1shot/nb1shot/results"
)

// One run of the recorded study.
func ExampleRead() {
	h, err := results.Read("study/s1-darts-small-eb491bd4-seed0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s on space %s, seed %d: %d epochs, %s\n", h.Run.Algorithm, h.Run.Space, h.Run.Seed, h.Trained(), h.Status.State)
	last := h.Epochs[len(h.Epochs)-1]
	fmt.Printf("test error of the final cell: %.2f %%\n", 100**results.TestError(last))
	// Output:
	// darts on space 1, seed 0: 100 epochs, finished
	// test error of the final cell: 6.70 %
}

// The mean over the seeds of a configuration.
func ExampleGroup() {
	var runs []*results.History
	for seed := range 3 {
		h, err := results.Read(fmt.Sprintf("study/s1-darts-small-eb491bd4-seed%d", seed))
		if err != nil {
			fmt.Println(err)
			return
		}
		runs = append(runs, h)
	}
	curves, err := results.Group(runs)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range curves {
		points := c.Trajectory(results.Eigenvalue, results.Geometric)
		first, last := points[0], points[len(points)-1]
		fmt.Printf("%s, %d seeds: λ from %.2f to %.2f\n", c.Algorithm, last.Seeds, first.Middle, last.Middle)
	}
	// Output:
	// darts, 3 seeds: λ from 0.14 to 2.21
}
