//go:build !gpu

package cuda

import "errors"

// open says how to get a binary that has a Driver.
func open() (Driver, error) {
	return nil, errors.New("CUDA engine: this binary was built without it; build with -tags gpu, which needs cuda.h of the CUDA toolkit 11.8 (docs/cuda.md)")
}
