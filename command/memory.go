package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/internal/abandon"
)

// fitMemory lowers the number of runs at a time to those that fit into the memory that is
// free, and says so. It is an estimate from above.
func (p *sweepPlan) fitMemory(ctx context.Context, log io.Writer) error {
	r := &p.runner
	free := freeMemory()
	jobs := min(r.Jobs, len(p.units))
	if jobs < 2 || free == 0 || r.Shared.Engine == "cuda" {
		return nil
	}
	run, err := abandon.Do(ctx, 0, func() (int64, error) { return r.Memory(p.units) })
	if err != nil {
		return err
	}
	if fit := fitting(jobs, run, free); fit < jobs {
		fmt.Fprintf(log, "memory  a run takes up to %.1f GiB, %.1f GiB are free: %d at a time instead of %d\n", gibibytes(run), gibibytes(free), fit, jobs)
		r.Jobs = fit
	}
	return nil
}

func gibibytes(n int64) float64 { return float64(n) / (1 << 30) }

// fitting is how many of the jobs fit into nine tenths of the free memory; one always
// may try.
func fitting(jobs int, run, free int64) int {
	if run <= 0 {
		return jobs
	}
	return int(min(int64(jobs), max(free/10*9/run, 1)))
}

// freeMemory is how many bytes a process may still take, in the limits of its control
// group; 0 where that is not known.
func freeMemory() int64 {
	free := meminfo("MemAvailable:")
	limit, used := cgroup("memory.max"), cgroup("memory.current")
	if limit > 0 && limit-used < free {
		free = max(limit-used, 1)
	}
	return free
}

func meminfo(name string) int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 && fields[0] == name {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// cgroup reads a number of the control group of the process; 0 is none.
func cgroup(name string) int64 {
	of, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	_, path, ok := strings.Cut(strings.TrimSpace(string(of)), "0::")
	if !ok {
		return 0
	}
	path, _, _ = strings.Cut(path, "\n")
	text, err := os.ReadFile("/sys/fs/cgroup" + path + "/" + name)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
