package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// clipRows computes the simplex clip of SDARTS.
func clipRows(g *golden, out *findings) error {
	n := g.lengths["cases.rows"]
	for i := range n {
		at := fmt.Sprintf("cases.rows[%d].", i)
		row := slices.Clone(g.numbers(at+"input", -1))
		if len(row) == 0 {
			return fmt.Errorf("row %d is empty", i)
		}
		algorithms.ClipRow(row)
		out.set(at+"output", row...)
	}
	out.integers("n", []int{n})
	return nil
}

// schedules computes what an epoch or step uses at the paper's settings.
func schedules(g *golden, out *findings) error {
	epochs := g.integer("schedules.epochs")
	if epochs < 1 || epochs > 1e6 {
		return fmt.Errorf("%d epochs", epochs)
	}
	rate := algorithms.Cosine{Max: 0.025, Min: 0.001, Length: epochs}
	epsilon := algorithms.Linear{From: 0.03, To: 0.3, Length: epochs}
	temperature := algorithms.Linear{From: 10, To: 1, Length: epochs}
	for name, at := range map[string]func(int) float64{
		"sgd_lr_used_step_before_epoch": func(e int) float64 { return rate.At(e + 1) },
		"closed_form_t_eq_epoch_plus_1": func(e int) float64 { return rate.At(e + 1) },
		"closed_form_t_eq_epoch":        rate.At,
		"enas_sgd_lr_per_step":          rate.At,
		"epsilon_alpha":                 epsilon.At,
		"gdas_tau_train":                temperature.At,
		"gdas_tau_infer":                func(e int) float64 { return temperature.At(e + 1) },
	} {
		name = "schedules." + name
		values := make([]float64, len(g.leaves[name].numbers))
		for i := range values {
			values[i] = at(i)
		}
		out.set(name, values...)
	}
	return nil
}

// derivations computes the cells that architecture parameters stand for.
func derivations(g *golden, out *findings) error {
	for _, file := range []struct{ name, size string }{{"cases", "n"}, {"ties_informative", "ties"}} {
		space, err := nb1shot1.Get(spaceOf(g.integer(file.name + ".space")))
		if err != nil {
			return err
		}
		var shapes []int
		for _, t := range space.Tensors() {
			shapes = append(shapes, t.Rows, t.Cols)
		}
		out.integers(file.name+".alpha_shapes", shapes)
		n := g.lengths[file.name+".cases"]
		out.integers(file.size, []int{n})
		for i := range n {
			at := fmt.Sprintf("%s.cases[%d].", file.name, i)
			a := space.Genotype(space.Discretize(g.numbers(at+"alphas", space.Dim()), spaces.TiesNumPy))
			for node, parents := range a.Parents {
				out.integers(fmt.Sprintf("%stop_parents.%d", at, node), parents)
			}
			whole := a.Cell()
			setCell(out, at+"original_matrix", at+"original_ops", whole)
			if err := setPruned(out, at, whole); err != nil {
				return err
			}
			hash, err := whole.Hash()
			if err != nil {
				return err
			}
			out.text(at+"hash", hash.String())
		}
	}
	return nil
}

func setCell(out *findings, matrix, ops string, c cell.Spec) {
	var entries []float64
	for _, row := range c.Matrix {
		for _, v := range row {
			entries = append(entries, float64(v))
		}
	}
	out.set(matrix, entries...)
	out.text(ops, c.OpNames()...)
}

func setPruned(out *findings, at string, c cell.Spec) error {
	pruned, err := c.Prune()
	if err != nil {
		return err
	}
	setCell(out, at+"pruned_matrix", at+"pruned_ops", pruned)
	out.integers(at+"edges", []int{pruned.Edges()})
	return nil
}

// hashes computes prunings and hashes of NAS-Bench-101 cells.
func hashes(g *golden, out *findings) error {
	out.text("cases.canonical_ops", cell.Conv3x3.String(), cell.Conv1x1.String(), cell.MaxPool3x3.String())
	n, invalid := g.lengths["cases.cases"], 0
	for i := range n {
		at := fmt.Sprintf("cases.cases[%d].", i)
		ops := g.texts(at + "ops")
		entries := g.numbers(at+"matrix", len(ops)*len(ops))
		matrix := make([][]int, len(ops))
		for k, v := range entries {
			matrix[k/len(ops)] = append(matrix[k/len(ops)], int(v))
		}
		c, err := cell.Parse(matrix, ops)
		if err != nil {
			return err
		}
		err = setPruned(out, at, c)
		out.flag(at+"valid", err == nil)
		if err != nil {
			if !errors.Is(err, cell.ErrDisconnected) {
				return err
			}
			invalid++
			continue
		}
		hash, err := c.Hash()
		if large := (*cell.DomainError)(nil); errors.As(err, &large) {
			g.texts(at + "hash") // outside the benchmark, where the program gives no hash
			continue
		}
		if err != nil {
			return err
		}
		out.text(at+"hash", hash.String())
	}
	out.integers("n", []int{n})
	out.integers("invalid", []int{invalid})
	return nil
}

// enumerations counts the spaces.
func enumerations(_ *golden, out *findings) error {
	for _, space := range nb1shot1.All() {
		at := fmt.Sprintf("counts.%d.", space.Number())
		c, published := space.Count(), space.Published()
		for name, count := range map[string]int{
			"without_loose_ends_generator_yield_adjacency": c.LooseEndFreeTopologies,
			"without_loose_ends_generator_yield_specs":     c.LooseEndFree,
			"without_loose_ends_distinct_adjacency":        c.LooseEndFreeTopologies,
			"without_loose_ends_distinct_specs":            c.LooseEndFree,
			"with_loose_ends_adjacency":                    c.Topologies,
			"with_loose_ends_distinct_adjacency":           c.Topologies,
			"with_loose_ends_valid_adjacency":              c.Topologies,
			"with_loose_ends_specs":                        c.Architectures,
			"with_loose_ends_adjacency_all_nodes_used":     c.AllBlocksUsed,
			"pruned_distinct_matrices":                     c.PrunedMatrices,
			"pruned_labelled_graphs":                       c.LabelledGraphs,
			"unique_hashes":                                c.Hashes,
			"unique_hashes_from_without_loose_ends":        c.LooseEndFreeHashes,
			"only_with":                                    c.Hashes - c.LooseEndFreeHashes,
		} {
			out.integers(at+name, []int{count})
		}
		for vertices, count := range c.HashesByVertices {
			out.integers(fmt.Sprintf("%sunique_by_vertices.%d", at, vertices), []int{count})
		}
		for edges, count := range c.HashesByEdges {
			out.integers(fmt.Sprintf("%sunique_by_edges.%d", at, edges), []int{count})
		}
		out.flag(at+"hash_sets_equal", c.Hashes == c.LooseEndFreeHashes)
		out.text(at+"fingerprint_md5_of_sorted_hashes_newline_joined", space.Fingerprint())
		out.set(at+"test_min_error", published.MinTestError)
		out.set(at+"valid_min_error", published.MinValidationError)
	}
	return nil
}

// augmentations transforms images with explicit parameters.
func augmentations(g *golden, out *findings) error {
	const channels = 3
	shape := g.shape("raw_hwc_uint8", 4)
	n, side := shape[0], shape[1]
	size := channels * side * side
	raw := g.numbers("raw_hwc_uint8", n*size)
	if n != g.lengths["cases"] {
		return fmt.Errorf("%d images, %d cases", n, g.lengths["cases"])
	}
	normalisations := map[string]data.Normalization{"darts": data.DARTSNormalization, "enas": data.ENASNormalization}
	for name, normalisation := range normalisations {
		out.set("normalisation."+name+".mean", widen(normalisation.Mean)...)
		out.set("normalisation."+name+".std", widen(normalisation.Std)...)
	}
	images := make([]float64, n*size)
	for i := range n {
		planar := make([]uint8, size)
		for k, v := range raw[i*size : (i+1)*size] {
			if v < 0 || v > 255 {
				return fmt.Errorf("image %d has the grey level %v", i, v)
			}
			planar[k%channels*side*side+k/channels] = uint8(v)
		}
		at := fmt.Sprintf("cases[%d].", i)
		crop := data.Crop{
			Top: g.integer(at + "top"), Left: g.integer(at + "left"),
			Flip: g.number(at+"flip") == 1, Cutout: g.number(at+"cutout") == 1,
			Row: g.integer(at + "cutout_centre_row"), Col: g.integer(at + "cutout_centre_col"),
		}
		crop.Apply(images[i*size:(i+1)*size], planar, side, normalisations[g.text(at+"normalisation")].Levels())
		out.integers(at+"cutout_length", []int{side / 2})
	}
	out.set("output_chw", images...)
	return nil
}

func widen(v [3]float32) []float64 {
	return []float64{float64(v[0]), float64(v[1]), float64(v[2])}
}

// records imports files in NAS-Bench-101's layout: a good one, and two that
// must be refused.
func records(g *golden, out *findings) (err error) {
	folder, err := durable.MkdirTemp(os.TempDir(), "nb1shot-verify-")
	if err != nil {
		return err
	}
	defer folder.Close()
	dir := folder.Name()
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx := context.Background()
	for _, name := range []string{"corrupt.tfrecord", "truncated.tfrecord", "synthetic.tfrecord"} {
		if err := os.WriteFile(filepath.Join(dir, name), g.file(name), 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{"corrupt.tfrecord", "truncated.tfrecord"} {
		var corrupt *nasbench.CorruptError
		if err := nasbench.Import(ctx, filepath.Join(dir, name), filepath.Join(dir, "bad"), nil); !errors.As(err, &corrupt) {
			return fmt.Errorf("%s was not refused as corrupt: %v", name, err)
		}
	}
	path := filepath.Join(dir, "table")
	if err := nasbench.Import(ctx, filepath.Join(dir, "synthetic.tfrecord"), path, nil); err != nil {
		return err
	}
	table, err := nasbench.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()

	type budget struct {
		hash   cell.Hash
		epochs int
	}
	seen := map[budget]int{}
	n := g.lengths["expected.records_in_file_order"]
	out.integers("records", []int{n})
	for i := range n {
		at := fmt.Sprintf("expected.records_in_file_order[%d].", i)
		hash, err := cell.ParseHash(g.text(at + "module_hash"))
		if err != nil {
			return err
		}
		b := budget{hash, g.integer(at + "epochs")}
		m, err := table.Lookup(b.hash, b.epochs)
		if err != nil {
			return err
		}
		if seen[b] >= len(m.Repeats) {
			return fmt.Errorf("record %d: the table has only %d runs of cell %v at %d epochs", i, len(m.Repeats), b.hash, b.epochs)
		}
		run := m.Repeats[seen[b]]
		seen[b]++
		out.integers(at+"trainable_parameters", []int{m.Parameters})
		for k, e := range map[int]nasbench.Evaluation{1: run.Halfway, 2: run.Final} {
			at := fmt.Sprintf("%sevaluation_data[%d].", at, k)
			out.set(at+"training_time", e.Seconds)
			out.set(at+"train_accuracy", e.TrainAccuracy)
			out.set(at+"validation_accuracy", e.ValidationAccuracy)
			out.set(at+"test_accuracy", e.TestAccuracy)
		}
		err = table.Each(ctx, "", b.epochs, func(e nasbench.Entry) error {
			if e.Hash == b.hash {
				setCell(out, at+"matrix", at+"ops", e.Spec)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
