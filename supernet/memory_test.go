package supernet_test

import (
	"testing"

	"github.com/nb1shot/nb1shot/supernet"
)

// The Hessian takes more than a step, a larger batch more than a smaller one, and at the
// paper's setting a search fits into a few GiB, as measured (1.7).
func TestMemory(t *testing.T) {
	small := supernet.Config{Space: space(t, 2), Channels: 4, Cells: 3, Classes: 10, Side: 8, BatchNormMomentum: 0.997}
	memory := func(c supernet.Config, batch, hessian int) int64 {
		n, err := c.Memory(batch, hessian, 4)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	step, larger, hessian := memory(small, 4, 0), memory(small, 8, 0), memory(small, 4, 4)
	if !(0 < step && step < larger && step < hessian) {
		t.Errorf("a step %d, of twice the batch %d, with the Hessian %d", step, larger, hessian)
	}
	if testing.Short() {
		return
	}
	paper := supernet.Config{Space: space(t, 3), Channels: 16, Cells: 9, Classes: 10, Side: 32, BatchNormMomentum: 0.997}
	if n := memory(paper, 96, 40); n < 17<<26 || n > 4<<30 {
		t.Errorf("the paper's setting: %d MiB", n>>20)
	}
	small.Cells = 0
	if _, err := small.Memory(4, 0, 4); err == nil {
		t.Error("no cells take memory")
	}
}
