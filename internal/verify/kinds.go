package verify

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// kinds lists what can be verified. A case is of the first kind that it is.
var kinds = slices.Concat(oneShotKinds, cellKinds, recurrentKinds)

// oneShotKinds are the cases of NAS-Bench-1Shot1.
var oneShotKinds = []kind{
	{
		name: "enas", is: allOf(numbered, holds("controller_params")), network: enas,
		// Where the released code records no logits, it says so.
		background: regexp.MustCompile(`^controller_info\[\d+\]\.eval_logits$`),
	},
	{
		name: "attack", is: allOf(numbered, holds("runs")), network: attacks,
		// A supernet here has no mode to be left in: every pass is told its own.
		background: regexp.MustCompile(`\.training_mode_after$`),
	},
	{name: "steps of darts", is: oneShotSteps("darts"), network: steps("darts", "darts")},
	{
		name: "steps of darts-2nd", is: oneShotSteps("darts2"), network: steps("darts-2nd", "darts2"),
		// The released code has no loss of the architecture step to record.
		background: regexp.MustCompile(`^step_info\[\d+\]\.arch_loss$`),
	},
	{name: "steps of sdarts-rs", is: oneShotSteps("sdarts_rs"), network: steps("sdarts-rs", "sdarts_rs")},
	{name: "steps of sdarts-adv", is: oneShotSteps("sdarts_adv"), network: steps("sdarts-adv", "sdarts_adv")},
	{name: "steps of gdas", is: oneShotSteps("gdas"), network: steps("gdas", "gdas")},
	{name: "steps of nasp", is: oneShotSteps("nasp"), network: steps("nasp", "nasp")},
	{name: "steps of pc-darts", is: oneShotSteps("pcdarts"), network: steps("pc-darts", "pcdarts")},
	{name: "steps of pc-darts-rs", is: oneShotSteps("pcdarts_rs"), network: steps("pc-darts-rs", "pcdarts_rs")},
	{name: "steps of pc-darts-adv", is: oneShotSteps("pcdarts_adv"), network: steps("pc-darts-adv", "pcdarts_adv")},
	{name: "forward, full size", is: allOf(numbered, holds("formula_seed")), network: fullSize},
	{
		name: "forward", is: allOf(numbered, holds("init_params"), not(holds("algorithm"))), network: forward,
		// The spectrum is computed as that of a symmetric matrix, and is real.
		background: regexp.MustCompile(`^hessian_max_imag$`),
	},
	{name: "simplex clip", is: either(named("clip_rows"), holds("cases.rows")), host: clipRows},
	{
		name: "schedules", is: either(named("schedules"), holds("schedules.epsilon_alpha")), host: schedules,
		// PyTorch's get_lr, which is not the rate it uses (quirk Q2).
		background: regexp.MustCompile(`^schedules\.get_lr_returned_torch113$`),
	},
	{name: "augmentation", is: either(named("augment"), holds("raw_hwc_uint8")), host: augmentations, tolerance: 1e-6}, // float32 there
	{
		name: "derivation", is: either(named("derive_s[123]"), holds("cases.alpha_shapes")), host: derivations,
		background: regexp.MustCompile(`\.note$`),
	},
	{
		name: "cell hash", is: either(named("nb101_hash"), holds("cases.canonical_ops")), host: hashes,
		background: regexp.MustCompile(`\.worked_example$`),
	},
	{
		name: "enumeration", is: either(named("enumeration"), holds("counts.1.unique_hashes")), host: enumerations,
		// The generator's hashes are counted among those of the space.
		background: regexp.MustCompile(`\.only_without$`),
	},
	{
		name: "benchmark records", is: either(named("tfrecord_synthetic"), holds("expected.records_in_file_order")), host: records,
		// What the benchmark does not report of a run, and checksums of texts that
		// are in no file: those of the records are checked by importing them.
		background: regexp.MustCompile(`\.(repeat_id|total_time|current_epoch)$|\.evaluation_data\[0\]\.|^crc_test_vectors`),
	},
}

// cellKinds are the cases of the spaces of DARTS.
var cellKinds = slices.Concat(
	[]kind{
		{name: "forward, full size, cells", is: allOf(cells, holds("formula_seed")), network: fullSizeCells},
		{
			name: "forward, cells", is: allOf(cells, holds("init_params"), not(holds("hyper"))), network: forwardCells,
			background: regexp.MustCompile(`^hessian_max_imag$`),
		},
		{name: "early stopping", is: either(named("earlystop"), holds("cases[0].es_start_epoch")), host: earlyStops},
		{name: "schedules, cells", is: either(named("schedules_cnn"), holds("schedules.search_cosine")), host: cellSchedules},
	},
	cellSteps("darts", "darts"),
	cellSteps("darts-2nd", "darts2"),
	cellSteps("sdarts-rs", "sdarts_rs"),
	cellSteps("sdarts-adv", "sdarts_adv"),
	cellSteps("pc-darts", "pcdarts", "pcdarts_beta"),
	cellSteps("pc-darts-rs", "pcdarts_rs", "pcdarts_beta_rs"),
	cellSteps("pc-darts-adv", "pcdarts_adv", "pcdarts_beta_adv"),
	cellSteps("p-darts", "pdarts"),
	cellSteps("p-darts-rs", "pdarts_rs"),
	cellSteps("p-darts-adv", "pdarts_adv"),
	cellSteps("r-darts-l2", "rdarts_l2"),
	cellSteps("r-darts-dp", "rdarts_dp"),
	[]kind{evaluationKind},
	genotypeKinds,
)

// recurrentKinds are the cases of the recurrent space.
var recurrentKinds = []kind{
	{name: "text", is: either(named("pipeline_rnn"), holds("vocabulary")), host: corpora},
	{
		name: "genotype of recurrent cells", is: either(named("genotype_rnn"), holds("cases[0].recurrent")), host: recurrentGenotypes,
		background: regexp.MustCompile(`\.kind$`), // how the parameters were drawn
	},
	{name: "forward, recurrent", is: allOf(languageModel, holds("alpha_train_nll")), network: forwardRecurrent},
	{name: "hessian, recurrent", is: allOf(languageModel, either(holds("nodrop_hessian"), holds("train_hessian"))), network: hessiansRecurrent},
	{name: "training of a recurrent cell", is: allOf(languageModel, holds("epoch_bounds")), network: trainings},
	{name: "trigger of averaging", is: either(named("trigger_rnn"), holds("cases[0].optimizer_per_epoch")), host: triggers},
	{name: "steps of darts, recurrent", is: allOf(languageModel, says("algorithm", "darts1")), network: stepsRecurrent("darts", "darts1")},
	{name: "steps of darts-2nd, recurrent", is: allOf(languageModel, says("algorithm", "darts2")), network: stepsRecurrent("darts-2nd", "darts2")},
	{name: "steps of sdarts-rs, recurrent", is: allOf(languageModel, says("algorithm", "sdarts_rs")), network: stepsRecurrent("sdarts-rs", "sdarts_rs")},
	{name: "steps of sdarts-adv, recurrent", is: allOf(languageModel, says("algorithm", "sdarts_adv")), network: stepsRecurrent("sdarts-adv", "sdarts_adv")},
	{name: "attack, recurrent", is: allOf(languageModel, holds("calls")), network: attacksRecurrent},
	{name: "forward, full size, recurrent", is: allOf(languageModel, holds("formula_seed")), network: fullSizeRecurrent},
}

// cellSteps are training steps of an algorithm, whatever the manifest calls it.
func cellSteps(algorithm string, names ...string) (all []kind) {
	for _, name := range names {
		what := "cells"
		if strings.Contains(name, "_beta") {
			what = "edges" // of which these cells have parameters too
		}
		all = append(all, kind{
			name: "steps of " + algorithm + ", " + what,
			is:   allOf(cells, says("hyper.algorithm", name)), network: stepsCells(algorithm, name),
			single: regexp.MustCompile(`^infer_top1$`),
		})
	}
	return all
}

// A test looks at what a case stores.
type test = func(*golden) bool

// numbered tells a network of NAS-Bench-1Shot1, whose spaces have numbers.
func numbered(g *golden) bool { return len(g.leaves["space"].numbers) == 1 }

// languageModel tells a network of the recurrent space.
func languageModel(g *golden) bool { return says("space", "rnn")(g) && g.has("vocab") }

// oneShotSteps tells training steps of what the manifest calls the algorithm.
func oneShotSteps(algorithm string) test {
	return allOf(numbered, says("algorithm", algorithm))
}

// named tells the name in the manifest, by a pattern as for path.Match.
func named(pattern string) test {
	return func(g *golden) bool {
		name := g.leaves["name"].texts
		if len(name) != 1 {
			return false
		}
		ok, _ := path.Match(pattern, name[0])
		return ok
	}
}

// says tells a text in the manifest, one of several.
func says(leaf string, texts ...string) test {
	return func(g *golden) bool {
		said := g.leaves[leaf].texts
		return len(said) == 1 && slices.Contains(texts, said[0])
	}
}

func holds(name string) test { return func(g *golden) bool { return g.has(name) } }

func not(t test) test { return func(g *golden) bool { return !t(g) } }

func allOf(tests ...test) test {
	return func(g *golden) bool {
		return !slices.ContainsFunc(tests, func(t test) bool { return !t(g) })
	}
}

func either(tests ...test) test {
	return func(g *golden) bool { return slices.ContainsFunc(tests, func(t test) bool { return t(g) }) }
}
