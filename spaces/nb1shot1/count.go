package nb1shot1

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"maps"
	"math/bits"
	"runtime"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// Published holds numbers printed by the authors of NAS-Bench-1Shot1 or fixed in
// their code. They are facts about the publication, not about the space (quirks
// Q29 and Q30): compare Counts.
type Published struct {
	// Architectures is the size of the space. The counts of spaces 1 and 3
	// leave out the operations of blocks without an outgoing edge
	// (Counts.WithOutgoing); that of space 2 includes all (Counts.Architectures).
	Architectures int
	// LooseEndFree is the size without loose ends, Counts.LooseEndFree.
	LooseEndFree int
	// MinTestError and MinValidationError are the smallest final errors, in
	// [0,1], of any single training run at 108 epochs among the loose-end-free
	// cells. A cell's error is elsewhere the mean of its three runs.
	MinTestError, MinValidationError float64
}

// Published returns the published numbers of the space.
func (s *Space) Published() Published { return s.published }

// Counts are the ways to count a space. A topology is a choice of parents for
// every node; with operations for its blocks it is an architecture.
type Counts struct {
	// Topologies is the number of choices of parents.
	Topologies int
	// Architectures counts every topology with operations for all blocks.
	Architectures int
	// WithOutgoing counts every topology with operations only for the blocks that
	// have an outgoing edge, even one to a loose end.
	WithOutgoing int
	// Surviving counts every topology with operations only for the blocks that
	// survive pruning.
	Surviving int
	// LooseEndFreeTopologies counts the adjacency matrices that the released
	// generator of cells without loose ends yields. It explores the ancestry of
	// each parent on a copy of the matrix that it drops before the next parent,
	// and so completes only the cells in which repeatedly stepping from the
	// output to the last parent passes through every used block.
	LooseEndFreeTopologies int
	// LooseEndFree counts those matrices with operations for the used blocks.
	LooseEndFree int
	// PrunedMatrices is the number of different adjacency matrices after
	// pruning.
	PrunedMatrices int
	// LabelledGraphs counts those matrices with operations for their blocks.
	LabelledGraphs int
	// Hashes is the number of different cells of NAS-Bench-101 that a search
	// can end in.
	Hashes int
	// LooseEndFreeHashes is the number of those that the released generator
	// reaches.
	LooseEndFreeHashes int
	// AllBlocksUsed is the number of topologies without loose ends.
	AllBlocksUsed int
	// HashesByVertices[v] is the number of hashes of pruned cells with v
	// vertices, input and output included.
	HashesByVertices [cell.MaxVertices + 1]int
	// HashesByEdges[e] is the number of hashes of pruned cells with e edges.
	HashesByEdges [cell.MaxEdges + 1]int
}

// Count enumerates the space. The first call for space 3 takes a second or two;
// the result is kept.
func (s *Space) Count() Counts { return s.enumerate().counts }

// Hashes returns the hashes of all cells of the space, ascending and without
// repetition. Like Count, it enumerates the space once.
func (s *Space) Hashes() []cell.Hash {
	hashes := make([]cell.Hash, 0, len(s.enumerate().cells))
	for _, c := range s.enumerate().cells {
		hashes = append(hashes, c.Hash)
	}
	return hashes
}

// Reachable is a cell of NAS-Bench-101 that a search can end in.
type Reachable struct {
	Hash cell.Hash
	// Architectures is how many architectures of the space are this cell, of
	// Counts.Architectures in all: its weight when one is drawn uniformly.
	Architectures int
	// LooseEndFree tells whether the released generator of cells without loose
	// ends reaches it.
	LooseEndFree bool
}

// Reachable returns the cells of the space, by ascending hash. Like Count, it
// enumerates the space once.
func (s *Space) Reachable() []Reachable { return slices.Clone(s.enumerate().cells) }

// Fingerprint identifies the set of hashes: the MD5 sum, in lower-case
// hexadecimal digits, of their ascending texts joined by newlines.
func (s *Space) Fingerprint() string {
	var lines []string
	for _, c := range s.enumerate().cells {
		lines = append(lines, c.Hash.String())
	}
	sum := md5.Sum([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

type enumeration struct {
	counts Counts
	cells  []Reachable // by ascending hash
}

// matrix is the adjacency matrix of a pruned cell.
type matrix struct {
	vertices int
	bits     uint32
}

func (s *Space) enumerateCells() enumeration {
	var c Counts
	generated := map[uint32]bool{} // matrices of the released generator, not renumbered by pruning
	pruned := map[matrix]origin{}  // all matrices
	for parents := range s.topologies {
		blocks := count(usedNodes(parents)[1:s.output()])
		c.Topologies++
		c.Architectures += power3(s.Blocks())
		c.WithOutgoing += power3(blocksWithOutgoing(parents))
		c.Surviving += power3(blocks)
		if blocks == s.Blocks() {
			c.AllBlocksUsed++
		}
		spec := Genotype{parents, make([]Operation, s.Blocks())}.Cell()
		p, err := spec.Prune()
		if err != nil {
			panic(err) // cannot be: every ancestry ends in the cell input
		}
		key := matrix{p.Vertices(), p.AdjacencyBits()}
		isGenerated := blocksByLastParent(parents) == blocks
		o := pruned[key]
		o.generated = o.generated || isGenerated
		o.architectures += power3(s.Blocks() - blocks)
		pruned[key] = o
		if edges := spec.AdjacencyBits(); isGenerated && !generated[edges] {
			generated[edges] = true
			c.LooseEndFreeTopologies++
			c.LooseEndFree += power3(blocks)
		}
	}
	c.PrunedMatrices = len(pruned)

	matrices := slices.Collect(maps.Keys(pruned))
	cells := map[cell.Hash]Reachable{}
	for i, hashes := range hashAll(matrices) {
		m := matrices[i]
		c.LabelledGraphs += len(hashes)
		for _, hash := range hashes {
			r, seen := cells[hash]
			if !seen {
				c.HashesByVertices[m.vertices]++
				c.HashesByEdges[bits.OnesCount32(m.bits)]++
			}
			r.Hash = hash
			r.Architectures += pruned[m].architectures
			if pruned[m].generated && !r.LooseEndFree {
				r.LooseEndFree = true
				c.LooseEndFreeHashes++
			}
			cells[hash] = r
		}
	}
	c.Hashes = len(cells)
	return enumeration{c, slices.SortedFunc(maps.Values(cells), func(a, b Reachable) int {
		return bytes.Compare(a.Hash[:], b.Hash[:])
	})}
}

// origin tells where a pruned matrix comes from.
type origin struct {
	generated     bool // by the released generator
	architectures int  // for each choice of operations
}

// hashAll returns, for each matrix, the hashes under all operations. It uses all
// processors.
func hashAll(matrices []matrix) [][]cell.Hash {
	all := make([][]cell.Hash, len(matrices))
	stride := runtime.GOMAXPROCS(0)
	var workers fault.Group
	for first := range stride {
		workers.Go(func() {
			for i := first; i < len(matrices); i += stride {
				all[i] = matrices[i].hashes()
			}
		})
	}
	workers.Wait()
	return all
}

// hashes returns the hashes of the matrix under all operations.
func (m matrix) hashes() []cell.Hash {
	var all []cell.Spec
	for ops := range tuples[cell.Op](m.vertices - 2) {
		spec, err := cell.FromBits(m.vertices, m.bits, ops)
		if err != nil {
			panic(err) // cannot be: the matrix is that of a cell
		}
		all = append(all, spec)
	}
	return cell.Hashes(all) // in-degrees sum to the edges NAS-Bench-101 allows
}

// blocksWithOutgoing counts the blocks that are the parent of some node.
func blocksWithOutgoing(parents [][]int) int {
	outgoing := make([]bool, len(parents))
	for _, set := range parents {
		for _, parent := range set {
			outgoing[parent] = true
		}
	}
	return count(outgoing[1:])
}

// blocksByLastParent counts the blocks met when stepping from the output to the
// last parent again and again.
func blocksByLastParent(parents [][]int) int {
	blocks := -1 // the output is none
	for node := len(parents) - 1; node > 0; node = parents[node][len(parents[node])-1] {
		blocks++
	}
	return blocks
}

func count(flags []bool) int {
	n := 0
	for _, flag := range flags {
		if flag {
			n++
		}
	}
	return n
}

func power3(n int) int {
	p := 1
	for range n {
		p *= operations
	}
	return p
}
