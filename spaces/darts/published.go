package darts

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nb1shot/nb1shot/spaces"
)

// Published is a genotype that was published with a paper.
type Published struct {
	Name     string      // in the released code
	Source   string      // what found it: "SDARTS-ADV on CIFAR-10, space S2"
	Space    spaces.Name // in which it was found; empty where that is no space of this family
	Classes  int         // of the images on which it was evaluated: 100 for CIFAR-100, otherwise 10
	Genotype Genotype
}

// publishedList has the names and genotypes in the released code of SDARTS, DARTS, PC-DARTS
// and P-DARTS, one on a line, as ParseGenotype reads them.
//
//go:embed published.txt
var publishedList string

// sources are those of the genotypes with a name of their own. P-DARTS and PC-DARTS on
// CIFAR-10 searched the space with 8 operations, as DARTS.
var sources = map[string]Published{
	"NASNet":         {Source: "NASNet-A (Zoph et al., 2018)"},
	"AmoebaNet":      {Source: "AmoebaNet-A (Real et al., 2019)"},
	"DARTS_V1":       {Source: "DARTS of first order on CIFAR-10 (Liu et al., 2019)", Space: "darts8"},
	"DARTS_V2":       {Source: "DARTS of second order on CIFAR-10 (Liu et al., 2019)", Space: "darts8"},
	"PC_DARTS_cifar": {Source: "PC-DARTS on CIFAR-10 (Xu et al., 2020)", Space: "darts8"},
	"PC_DARTS_image": {Source: "PC-DARTS on ImageNet (Xu et al., 2020)", Space: "darts8"},
	"PDARTS":         {Source: "P-DARTS on CIFAR-10 (Chen et al., 2019)", Space: "darts8"},
}

// The parts of the names that the SDARTS paper's code has, such as c10_s2_pgd. Its space
// s5 is that of DARTS.
//
// The one of SDARTS-RS on that space has more parameters than the paper says (quirk C26).
var (
	dataOf   = map[string]string{"c10": "CIFAR-10", "c100": "CIFAR-100", "svhn": "SVHN"}
	searchOf = map[string]string{"random": "SDARTS-RS", "pgd": "SDARTS-ADV", "pcdarts": "PC-DARTS"}
)

var published = sync.OnceValue(func() (all []Published) {
	for line := range strings.Lines(publishedList) {
		name, literal, _ := strings.Cut(strings.TrimSpace(line), "\t")
		p, own := sources[name]
		if !own {
			part := strings.Split(name, "_")
			p.Space, p.Source = "darts", fmt.Sprintf("%s on %s, space of DARTS", searchOf[part[2]], dataOf[part[0]])
			if part[1] != "s5" {
				p.Space = spaces.Name("darts-" + part[1])
				p.Source = fmt.Sprintf("%s on %s, space %s", searchOf[part[2]], dataOf[part[0]], strings.ToUpper(part[1]))
			}
		}
		var err error
		if p.Genotype, err = ParseGenotype(literal); err != nil {
			panic(fmt.Sprintf("spaces/darts: published genotype %s: %v", name, err))
		}
		p.Name, p.Classes = name, 10
		if strings.HasPrefix(name, "c100_") {
			p.Classes = 100
		}
		all = append(all, p)
	}
	return all
})

// AllPublished returns the published genotypes: first those with a name of their own, then
// those of the SDARTS paper by data and space.
func AllPublished() []Published { return slices.Clone(published()) }

// FindPublished returns the published genotype of a name, in lower or upper case, and
// whether there is one.
func FindPublished(name string) (Published, bool) {
	for _, p := range published() {
		if strings.EqualFold(p.Name, name) {
			return p, true
		}
	}
	return Published{}, false
}
