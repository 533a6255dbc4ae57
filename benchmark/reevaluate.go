package benchmark

import (
	"fmt"

	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// Reevaluate replaces what was said of the cells of a run by what another oracle
// says of them, and the table in its provenance. The search itself stays as it
// was; one that ranked cells by a table would not have found the same with another.
// The run's files are not touched. A run on a space without a table stays as it is.
func Reevaluate(h *results.History, oracle nasbench.Oracle) error {
	if !FamilyOf(h.Run.Space).HasTable() {
		return nil
	}
	source := oracle.Source()
	again := func(epoch int, c results.Cell, into *results.Lookup) error {
		spec, err := cell.Parse(c.Matrix, c.Operations)
		if err != nil {
			return fmt.Errorf("look up again: %s: epoch %d: %w", h.Dir, epoch, err)
		}
		m, err := oracle.Query(spec)
		if err != nil {
			return fmt.Errorf("look up again: %s: epoch %d: %w", h.Dir, epoch, err)
		}
		*into = lookup(source.Kind, m)
		return nil
	}
	for i := range h.Epochs {
		e := &h.Epochs[i]
		if err := again(e.Epoch, e.Cell, &e.Lookup); err != nil {
			return err
		}
		if e.Queries == nil {
			continue
		}
		for k := range e.Queries.Incumbents {
			n := &e.Queries.Incumbents[k]
			if err := again(e.Epoch, n.Cell, &n.Lookup); err != nil {
				return err
			}
		}
	}
	p := &h.Run.Provenance
	p.Table, p.TableDetail, p.TableDigest, p.TableContent = source.Kind, source.Detail, source.Digest, ""
	return nil
}
