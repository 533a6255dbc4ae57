package benchmark_test

import (
	"context"
	"fmt"
	"os"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
)

// Random search asks the table alone, here the embedded surrogate. An algorithm that
// trains a supernet also needs Images and an Engine; a program that imports package
// command has the engines.
func ExampleJob_Run() {
	config, err := benchmark.NewConfig("smoke", "2", "random-search")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := config.Set("epochs", "3"); err != nil {
		fmt.Println(err)
		return
	}
	root, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	job := benchmark.Job{Config: config, Seed: 7, Oracle: nasbench.Default(), Root: root}
	dir, err := job.Run(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := results.Read(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, %s\n", h.Run.Algorithm, h.Status.State)
	for _, e := range h.Epochs {
		fmt.Printf("epoch %d: test error %.1f %%\n", e.Epoch, 100**results.TestError(e))
	}
	// Output:
	// random-search, finished
	// epoch 0: test error 6.9 %
	// epoch 1: test error 6.9 %
	// epoch 2: test error 6.6 %
	// epoch 3: test error 6.6 %
}
