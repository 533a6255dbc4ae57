package darts_test

import (
	"fmt"

	"github.com/nb1shot/nb1shot/spaces/darts"
)

// A published genotype, its measures, and the size of its network for CIFAR-10.
func ExampleFindPublished() {
	p, _ := darts.FindPublished("c10_s5_pgd")
	fmt.Println(p.Source)
	fmt.Println(p.Genotype.Short(darts.Normal))
	fmt.Println("without parameters:", p.Genotype.ParameterFree())
	fmt.Println("width and depth:", p.Genotype.Width(darts.Normal), p.Genotype.Depth(darts.Normal))
	cost, err := darts.CIFARNetwork.Cost(p.Genotype)
	fmt.Println(cost.Parameters, cost.MACs, err)
	// Output:
	// SDARTS-ADV on CIFAR-10, space of DARTS
	// sep3:0 sep3:1 / sep3:1 skip:0 / sep5:0 dil3:3 / dil3:4 skip:0
	// without parameters: 0.25
	// width and depth: 3 4
	// 3344806 526755456 <nil>
}

// From architecture parameters to a genotype.
func ExampleSpace_Derive() {
	s, err := darts.Get("darts-s2") // skip-connection or separable convolution
	if err != nil {
		fmt.Println(err)
		return
	}
	alpha := make([]float64, s.Dim())
	for _, r := range s.Rows()[:darts.Edges] {
		alpha[r.Offset] = 0.1 // in favour of the skip-connections of the normal cell
	}
	fmt.Println(s.Derive(alpha).Short(darts.Normal))
	fmt.Println("architectures:", s.Architectures())
	// Output:
	// skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1 / skip:0 skip:1
	// architectures: 2123366400
}
