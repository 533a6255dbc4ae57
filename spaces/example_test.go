package spaces_test

import (
	"fmt"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// A space is a flat vector of architecture parameters, in rows.
func Example() {
	space, err := spaces.Get("3")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(space.Dim(), "parameters in", len(space.Rows()), "rows")
	first := space.Rows()[0]
	fmt.Println("the first row:")
	for _, c := range first.Candidates {
		fmt.Println("-", c.Name)
	}
	// Output:
	// 35 parameters in 10 rows
	// the first row:
	// - maxpool3x3
	// - conv3x3-bn-relu
	// - conv1x1-bn-relu
}

// A search ends in an architecture: what is kept of each row.
func ExampleSpace_Discretize() {
	space, err := spaces.Get("1")
	if err != nil {
		fmt.Println(err)
		return
	}
	alphas := make([]float64, space.Dim())
	for _, r := range space.Rows() {
		alphas[r.Offset] = 1 // in favour of the first candidate of each row
	}
	a := space.Discretize(alphas, spaces.TiesNumPy)
	fmt.Println("kept:", a.Kept)
	fmt.Println("share without parameters:", space.ParameterFree(a))
	if cell, ok := nb1shot1.CellOf(a); ok { // a space of NAS-Bench-101
		hash, err := cell.Hash()
		fmt.Println("cell:", hash, err)
	}
	// Output:
	// kept: [[0] [0] [0] [0] [0 1] [0 2] [0 3]]
	// share without parameters: 1
	// cell: 6f6257bc3b12d87b8736e81cd4b7ed8b <nil>
}

func ExampleSpace_Sample() {
	space, err := spaces.Get("2")
	if err != nil {
		fmt.Println(err)
		return
	}
	a := space.Sample(random.New(1, "example"))
	b := space.Mutate(a, random.New(2, "example"))
	fmt.Println(a.Check(), b.Check())
	fmt.Println("choices in which they differ:", a.Changed(b))
	// Output:
	// <nil> <nil>
	// choices in which they differ: 1
}
