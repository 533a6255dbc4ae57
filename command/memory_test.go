package command

import "testing"

func TestFitting(t *testing.T) {
	const gib = 1 << 30
	for _, test := range []struct {
		jobs      int
		run, free int64
		want      int
	}{
		{8, gib, 100 * gib, 8},
		{8, gib, 5 * gib, 4}, // half of the last tenth is left alone
		{8, 3 * gib, 22 * gib, 6},
		{8, 30 * gib, 22 * gib, 1}, // which may try
		{8, 0, gib, 8},
		{1, gib, 0, 1},
	} {
		if got := fitting(test.jobs, test.run, test.free); got != test.want {
			t.Errorf("%d of %d jobs of %d GiB in %d GiB, want %d", got, test.jobs, test.run/gib, test.free/gib, test.want)
		}
	}
	if free := freeMemory(); free != 0 && free < 1<<20 {
		t.Errorf("%d bytes are free", free)
	}
}
