//go:build !gpu

package cuda

import (
	"strings"
	"testing"
)

func TestNoDriver(t *testing.T) {
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "-tags gpu") {
		t.Errorf("error %v", err)
	}
}
