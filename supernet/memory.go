package supernet

import "slices"

// Memory returns the bytes that a search takes on a CPU engine at most, for weights and
// values of so many bytes: the largest of the plans that it needs, since they share their
// memory, and what is kept of each weight. hessian is the batch of the Hessian, 0 where
// none is taken. Nothing is compiled, but planning a large network takes seconds.
func (c Config) Memory(batch, hessian, element int) (int64, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	n := &Net{config: c, blueprint: c.blueprint()}
	tasks := []key{{task: weightGradient, bn: BatchStatistics, batch: batch}}
	if c.Evaluation == nil {
		tasks = append(tasks, key{task: mixingGradient, bn: BatchStatistics, batch: batch})
	}
	if hessian > 0 {
		tasks = append(tasks, key{task: hessianProduct, bn: BatchStatistics, batch: hessian})
		var rows []int
		for i, row := range c.Space.Rows() { // as many directions as change anything
			rows = append(rows, slices.Repeat([]int{i}, len(row.Candidates)-1)...)
		}
		if n.formsAtOnce(hessian, len(rows)) {
			tasks = append(tasks, formsKey(hessian, rows))
		}
	}
	largest := 0
	for _, k := range tasks {
		plan, err := n.plan(k)
		if err != nil {
			return 0, err
		}
		largest = max(largest, plan.Bytes(element))
	}
	const copies = 6 // weights, gradient, momentum, packed for kernels, and for a checkpoint in double precision
	return int64(largest) + int64(copies*element*size(n.blueprint.parameters)), nil
}
