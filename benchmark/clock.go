package benchmark

import "time"

// clock estimates how long a run will still take.
type clock struct {
	start time.Time
	epoch int           // being timed
	from  int           // steps of it that were done before the timing
	mean  time.Duration // of the epochs done, weighted to the newest
}

// remaining is the estimate when the given number of steps of the epoch are done: by the
// mean epoch once there is one, until then by the steps of the first, which
// leaves out its Hessian. An epoch that another process began is not timed.
func (c *clock) remaining(epoch, step, steps, epochs int) time.Duration {
	now := time.Now()
	switch {
	case c.start.IsZero():
		c.start, c.epoch, c.from = now, epoch, step
		return 0
	case epoch > c.epoch:
		took := now.Sub(c.start)
		if c.mean == 0 && c.from <= 1 {
			c.mean = took
		}
		if c.mean > 0 {
			c.mean = (3*c.mean + took) / 4
		}
		c.start, c.epoch, c.from = now, epoch, step
	}
	left := float64(epochs-epoch) - float64(step)/float64(steps)
	if c.mean > 0 {
		return time.Duration(left * float64(c.mean))
	}
	if step <= c.from {
		return 0
	}
	perStep := float64(now.Sub(c.start)) / float64(step-c.from)
	return time.Duration(left * float64(steps) * perStep)
}
