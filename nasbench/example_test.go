package nasbench_test

import (
	"fmt"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

func ExampleDefault() {
	spec, err := cell.Parse(
		[][]int{{0, 1, 1}, {0, 0, 1}, {0, 0, 0}},
		[]string{"input", "conv3x3-bn-relu", "output"})
	if err != nil {
		fmt.Println(err)
		return
	}
	oracle := nasbench.Default()
	m, err := oracle.Query(spec)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: test error %.3f ± %.3f, %d parameters\n", m.Kind, m.TestError, m.ErrorBar, m.Parameters)
	// Output: surrogate: test error 0.070 ± 0.002, 11051402 parameters
}
