package benchmark

import (
	"fmt"

	"github.com/nb1shot/nb1shot/nasbench/cell"
	"github.com/nb1shot/nb1shot/results"
)

// checkHash compares the hash of a recorded cell with that of its matrix.
func checkHash(c results.Cell) error {
	spec, err := cell.Parse(c.Matrix, c.Operations)
	if err != nil {
		return fmt.Errorf("cell: %w", err)
	}
	hash, err := spec.Hash()
	if err != nil {
		return fmt.Errorf("cell: %w", err)
	}
	if hash.String() != c.Hash {
		return fmt.Errorf("cell: the hash of its matrix is %v, recorded is %s", hash, c.Hash)
	}
	return nil
}
